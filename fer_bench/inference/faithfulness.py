"""Whether a map shows what a model uses: insertion and deletion (Petsiuk et al., arXiv:1806.07421)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.inference.face_model import Crops, FaceModel

STEPS = 20
"""Equal parts in which pixels are exchanged."""
BLUR = 0.12
"""Standard deviation, as a share of the crop's side, of the blur that leaves nothing to recognise: unlike a
patch of one colour it adds no edges."""
COARSE = 7
"""Positions along a side of a random map before it is enlarged, as coarse as those of Grad-CAM."""
CONTROLS = 4
"""Random maps per picture."""
Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """How the probability of a class goes as pixels are exchanged in the order of a map.

    Attributes:
        deletion: Its mean while pixels are blurred, the strongest first [B]: low for a good map.
        insertion: Its mean while a blurred crop gets its pixels back, the strongest first [B]: high for a
            good map.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


def score_maps(model: FaceModel, crops: Crops, maps: Maps, classes: Sequence[int]) -> Scores:
    """Return the insertion and deletion scores of maps.

    Args:
        model: The model.
        crops: uint8 [B, S, S, 3].
        maps: [B, S, S]; pixels of equal weight are taken in a fixed random order.
        classes: Position of the class whose probability is watched, per crop [B].

    Returns:
        Areas under the curves, in [0, 1].
    """
    side = crops.shape[1]
    tie = np.random.default_rng(0).random(side * side)
    order = np.stack([np.lexsort((tie, -one.reshape(-1).astype(np.float64))) for one in maps])
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(side * side)[None], axis=1)
    rank = rank.reshape(len(crops), side, side, 1)
    blurred = np.stack(
        [cv2.GaussianBlur(crop, (0, 0), BLUR * side, borderType=cv2.BORDER_REPLICATE) for crop in crops]
    )
    curves: dict[str, list[NDArray[np.float64]]] = {"deletion": [], "insertion": []}
    for step in range(STEPS + 1):
        taken = rank < round(step / STEPS * side * side)
        for name, mixed in (
            ("deletion", np.where(taken, blurred, crops)),
            ("insertion", np.where(taken, crops, blurred)),
        ):
            shares = model.card.probabilities(model.answer(mixed.astype(np.uint8)).logits)
            curves[name].append(shares[np.arange(len(crops)), list(classes)])
    deletion, insertion = (
        np.asarray(np.trapezoid(np.stack(curves[name]), dx=1 / STEPS, axis=0))
        for name in ("deletion", "insertion")
    )
    return Scores(deletion, insertion)


def random_maps(names: Sequence[str], side: int, number: int) -> Maps:
    """Return smooth random maps [B, side, side], one per name: the control that a map must beat.

    Args:
        names: What a map is drawn from, besides the number.
        side: Side in pixels.
        number: Which of several.
    """
    found = []
    for name in names:
        digest = hashlib.blake2b(f"{number}\0{name}".encode(), digest_size=8).digest()
        coarse = np.random.default_rng(int.from_bytes(digest, "little")).random((COARSE, COARSE))
        found.append(cv2.resize(coarse.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR))
    return np.stack(found)


def control_scores(model: FaceModel, crops: Crops, names: Sequence[str], classes: Sequence[int]) -> Scores:
    """Return the mean scores of `CONTROLS` random maps per crop; arguments as for `score_maps`.

    Args:
        model: The model.
        crops: uint8 [B, S, S, 3].
        names: Names of the crops, which the random maps are drawn from.
        classes: See `score_maps`.
    """
    drawn = [
        score_maps(model, crops, random_maps(names, crops.shape[1], number), classes)
        for number in range(CONTROLS)
    ]
    return Scores(
        np.mean([one.deletion for one in drawn], axis=0), np.mean([one.insertion for one in drawn], axis=0)
    )
