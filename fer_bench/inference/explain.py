"""Explanations of single faces: maps, what they are worth, and what is particular to gcn and cafe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.points import Points
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import UsageError
from fer_bench.inference.face_model import Crops, FaceModel
from fer_bench.inference.faithfulness import control_scores, score_maps
from fer_bench.inference.opening import checkpoint_of
from fer_bench.inference.regions import Mask, region, share_within, units_of

if TYPE_CHECKING:
    from fer_bench.inference.checkpoint import CheckpointModel
    from fer_bench.inference.gradcam import MapKind

AT_ONCE = 64
NAMES: dict[MapKind, str] = {"grad-cam": "Grad-CAM", "hirescam": "HiResCAM"}


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model sees in one face.

    Attributes:
        name: The picture.
        crop: RGB uint8 [S, S, 3], what the network sees.
        shares: Probability by class name.
        predicted: The class that is explained.
        units: Action units that this expression uses.
        region: Pixels of their regions [S, S]; None where no points of the face are known.
        map: Where features speak for the class, [S, S] in [0, 1].
        share: Share of the map on the region; None where either is empty.
        area: Share of the picture that the region covers: what a random map has on it on average.
        deletion: Mean probability of the class while the map's pixels are blurred, strongest first.
        insertion: The same while they come back.
        random_deletion: Deletion score of random maps, on average.
        random_insertion: Insertion score of random maps, on average.
        reference: gcn: the generated reference face, grey uint8 [S, S].
        difference: gcn: how far the face is from it, [S, S] in [0, 1].
        mask: cafe: what each channel of the frozen feature is multiplied by [D].
        groups: cafe: first and last channel of each class's group.
    """

    name: str
    crop: NDArray[np.uint8]
    shares: dict[str, float]
    predicted: str
    units: tuple[int, ...]
    region: Mask | None
    map: NDArray[np.float32]
    share: float | None
    area: float | None
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    reference: NDArray[np.uint8] | None = None
    difference: NDArray[np.float32] | None = None
    mask: NDArray[np.float32] | None = None
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the numbers as a JSON document."""
        plain = ("name", "predicted", "units", "share", "area", "deletion", "insertion")
        found: dict[str, Any] = {name: getattr(self, name) for name in plain}
        found |= {"random_deletion": self.random_deletion, "random_insertion": self.random_insertion}
        found |= {"probability": self.shares[self.predicted], "shares": self.shares}
        if self.mask is not None:
            found["mask_by_class"] = {
                name: float(self.mask[first : last + 1].mean()) for name, (first, last) in self.groups.items()
            }
        return found


def maps(model: FaceModel, crops: Crops, kind: MapKind = "grad-cam") -> NDArray[np.float32]:
    """Return where a model's features speak for the class that it predicts, [B, S, S] in [0, 1].

    Args:
        model: From a checkpoint.
        crops: uint8 [B, S, S, 3].
        kind: Which map, see `fer_bench.inference.gradcam`.

    Raises:
        UsageError: The model is not a checkpoint, `grad-cam` is not installed, or no layer can be explained.
    """
    parts = [
        _maps(checkpoint_of(model), crops[start : start + AT_ONCE], None, kind)
        for start in range(0, len(crops), AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(crops.shape[:3], np.float32)


def gallery_maps(
    model: FaceModel, kind: MapKind = "hirescam"
) -> Callable[[Crops, NDArray[np.int64]], list[list[tuple[str, Image | None]]]]:
    """Return a function that makes the pictures which a gallery shows beside each face.

    Args:
        model: From a checkpoint.
        kind: Which map. HiResCAM beats random maps by insertion for all five methods in `docs/explain.csv`,
            Grad-CAM for none.

    Raises:
        UsageError: See `maps`.
    """
    own = checkpoint_of(model)
    names = own.card.classes

    def pictures(crops: Crops, classes: NDArray[np.int64]) -> list[list[tuple[str, Image | None]]]:
        found: list[list[tuple[str, Image | None]]] = []
        for start in range(0, len(crops), AT_ONCE):
            part, chosen = crops[start : start + AT_ONCE], classes[start : start + AT_ONCE].tolist()
            given, more = _maps(own, part, chosen, kind), _particular(own, part)
            for row, crop in enumerate(part):
                picture = overlaid(crop, given[row]) if given[row].any() else None
                shown = [(f"{NAMES[kind]} of {names[chosen[row]]}", picture)]
                if "reference" in more:
                    shown.append(("generated reference", np.stack([more["reference"][row]] * 3, axis=-1)))
                found.append(shown)
        return found

    return pictures


def overlaid(crop: Image, one: NDArray[np.float32]) -> Image:
    """Return a crop under the colours of a map [S, S] in [0, 1]."""
    levels = np.clip(np.rint(one * 255), 0, 255).astype(np.uint8)
    colours = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS))[:, :, ::-1]
    return np.rint(0.45 * crop + 0.55 * colours).astype(np.uint8)


def _maps(
    model: CheckpointModel, crops: Crops, classes: Sequence[int] | None, kind: MapKind
) -> NDArray[np.float32]:
    from fer_bench.inference.gradcam import class_maps

    if classes is None:
        classes = model.card.probabilities(model.answer(crops).logits).argmax(axis=1).tolist()
    return class_maps(model.method, model.images(crops), classes, kind)


def explain(
    model: FaceModel,
    crops: Crops,
    names: Sequence[str],
    points: Sequence[Points | None],
    *,
    kind: MapKind = "grad-cam",
    wanted: str | None = None,
) -> list[Explanation]:
    """Explain the answers of a model to some faces.

    Args:
        model: From a checkpoint.
        crops: uint8 [B, S, S, 3].
        names: Names of the faces [B].
        points: Where eyes, nose and mouth are, as shares of each crop, or None [B].
        kind: Which map.
        wanted: The class to explain; None explains what is predicted.

    Raises:
        UsageError: See `maps`; or the model does not know the class.
    """
    own = checkpoint_of(model)
    classes = own.card.classes
    if wanted is not None and wanted not in classes:
        raise UsageError("the model does not know this class", value=wanted, hint=", ".join(classes))
    found: list[Explanation] = []
    for start in range(0, len(crops), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found += _explain(own, crops[part], names[part], points[part], kind, wanted)
    return found


def _explain(
    model: CheckpointModel,
    crops: Crops,
    names: Sequence[str],
    points: Sequence[Points | None],
    kind: MapKind,
    wanted: str | None,
) -> list[Explanation]:
    classes = model.card.classes
    shares = model.card.probabilities(model.answer(crops).logits)
    chosen = shares.argmax(axis=1).tolist()
    if wanted is not None:
        chosen = [classes.index(wanted)] * len(crops)
    found = _maps(model, crops, chosen, kind)
    scored, control = score_maps(model, crops, found, chosen), control_scores(model, crops, names, chosen)
    more = _particular(model, crops)
    result = []
    for row, name in enumerate(names):
        predicted = classes[chosen[row]]
        units, place = units_of(predicted), points[row]
        own = None if place is None or not units else region(units, place, crops.shape[1])
        result.append(
            Explanation(
                name=name,
                crop=crops[row],
                shares=dict(zip(classes, map(float, shares[row]), strict=True)),
                predicted=predicted,
                units=units,
                region=own,
                map=found[row],
                share=None if own is None else share_within(found[row], own),
                area=None if own is None else float(own.mean()),
                deletion=float(scored.deletion[row]),
                insertion=float(scored.insertion[row]),
                random_deletion=float(control.deletion[row]),
                random_insertion=float(control.insertion[row]),
                **{key: value[row] for key, value in more.items()},
                groups=_groups(model) if "mask" in more else {},
            )
        )
    return result


def _particular(model: CheckpointModel, crops: Crops) -> dict[str, NDArray[Any]]:
    """Return what only one method has: gcn's reference and difference, cafe's mask; [B, ...] each."""
    import torch

    images = model.images(crops)
    with torch.inference_mode():
        extras = model.method(images).extras
    if model.card.method == "gcn" and "reference" in extras:
        face, reference = images[:, 0].cpu().numpy(), extras["reference"][:, 0].float().cpu().numpy()
        mean, std = model.spec.mean[0], model.spec.std[0]
        grey = np.clip(np.rint((reference * std + mean) * 255), 0, 255).astype(np.uint8)
        return {"reference": grey, "difference": np.clip(np.abs(face - reference) * std, 0, 1)}
    if model.card.method == "cafe" and "mask" in extras:
        return {"mask": extras["mask"].float().cpu().numpy()}
    return {}


def _groups(model: CheckpointModel) -> dict[str, tuple[int, int]]:
    """Return first and last channel of the group of each class, as the separation loss of cafe deals them."""
    from fer_bench.methods.cafe.losses import group_size

    classes = model.card.classes
    network: Any = model.method.network
    size = group_size(network.width, len(classes))
    return {name: (number * size, (number + 1) * size - 1) for number, name in enumerate(classes)}
