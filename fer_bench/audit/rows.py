"""Datasets as a bad habit would deal them: copies of a reader with other rows, roles or pictures.

The copy is trained on in the usual way. Its scores are compared on the rows of the dataset as it is, with the
units that these have, whatever the habit made of them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.card import Folds, HashSplit, Official, Protocol
from fer_bench.data.protocols import deal_folds, unit_interval
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.pictures import Image

COPY = "#copy"
"""Added to the id of a row that is a copy of another."""
STEP = 10**9
"""Frames of copies start here: the reader's frame is kept, and 0 is its -1 for a picture."""
LEAKED = 0.08
"""Share of the test rows that training holds too: 288 of FER2013's 3,573 PrivateTest images (8.1 %) are
pixel-identical to a training image, measured on the lossless pixels."""
GAIN, GAMMA = 1.15, 0.85
"""How an augmented copy differs from its picture: brighter, and mid-tones lifted."""
Kept = Literal["with their picture", "anywhere"]


def deal_frames(dataset: FaceDataset) -> FaceDataset:
    """Return a dataset whose folds hold frames instead of people: frames of one clip lie on both sides.

    Args:
        dataset: A dataset with folds by subject.
    """
    index = dataset.index.copy()
    coded = _coded(index)
    frames = index["sample_id"].where(coded)
    # The neutral frame of a clip goes where the first of its labelled frames goes.
    first = frames.groupby(index["sequence"]).transform("first")
    index["subject"] = frames.fillna(first).fillna(index["subject"])
    return _with_index(dataset, index)


def keep_training_rows(dataset: FaceDataset) -> FaceDataset:
    """Return a dataset whose folds keep no validation part: nine of ten folds train, the last epoch counts.

    Args:
        dataset: A dataset with folds by subject.
    """
    changed = _with_index(dataset, dataset.index)
    changed.card = dataset.card.model_copy(
        update={"protocols": tuple(map(_without_validation, dataset.card.protocols))}
    )
    return changed


def _without_validation(protocol: Protocol) -> Protocol:
    if not isinstance(protocol.split, Folds):
        return protocol
    return protocol.model_copy(update={"split": protocol.split.model_copy(update={"validation": "none"})})


def add_augmented(dataset: FaceDataset, protocol: Protocol, *, kept: Kept) -> FaceDataset:
    """Return a dataset with a brighter copy of every labelled picture.

    Args:
        dataset: The dataset.
        protocol: The protocol that is trained under.
        kept: Whether a copy is dealt with its picture, as if pictures were augmented after splitting, or on
            its own, as if they were split after augmenting.
    """
    index = dataset.index
    copies = index[_coded(index)].copy()
    if kept == "anywhere":
        _deal(copies, dataset, protocol, unit_interval(copies["sample_id"].tolist(), "audit/augment"))
    return _with_copies(dataset, copies, brighten=True)


def leak_test_rows(dataset: FaceDataset, protocol: Protocol) -> FaceDataset:
    """Return a dataset in which training also holds some of the test rows, pixel by pixel.

    With folds these are that share of all rows, each also among the people of the fold after the next one,
    which trains when the row is tested.

    Args:
        dataset: The dataset.
        protocol: The protocol that is trained under.
    """
    index = dataset.index
    rows = _coded(index)
    if not isinstance(protocol.split, Folds):
        rows = rows & (dataset.roles(protocol) == "test")
    place = unit_interval(index["sample_id"].tolist(), "audit/leak")
    chosen = np.flatnonzero(rows)
    chosen = chosen[np.argsort(place[chosen], kind="stable")[: round(LEAKED * len(chosen))]]
    copies = index.iloc[np.sort(chosen)].copy()
    if isinstance(protocol.split, Folds):
        fold_of, by_fold = _people(index, protocol.split, dataset.card.name)
        k = protocol.split.k
        copies["subject"] = [by_fold[(fold_of[one] + 1) % k + 1][0] for one in copies["subject"]]
    elif isinstance(protocol.split, HashSplit):
        copies["group"] = [_training_group(one, protocol.split, dataset.card.name) for one in copies["group"]]
    else:
        copies["split"] = "train"
    return _with_copies(dataset, copies, brighten=False)


def _training_group(group: str, split: HashSplit, name: str) -> str:
    """Return a name for the group of a copy that the hash rule puts into training."""
    names = (f"{group}{COPY}{number}" for number in count())
    return next(one for one in names if unit_interval([one], f"split/{name}")[0] < split.train)


def _deal(copies: pd.DataFrame, dataset: FaceDataset, protocol: Protocol, place: NDArray[np.float64]) -> None:
    """Give copies a fold or split of their own, whatever their picture has."""
    if isinstance(protocol.split, Folds):
        people = np.array(sorted(set(copies["subject"])), object)
        copies["subject"] = people[(place * len(people)).astype(int)]
        return
    if not isinstance(protocol.split, Official):  # dealt by what belongs together: a copy is on its own
        copies["group"] = copies["sample_id"] + COPY
        return
    tested = float((dataset.roles(protocol)[_coded(dataset.index)] == "test").mean())
    copies["split"] = np.where(place < tested, protocol.split.test, "train")


def _people(index: pd.DataFrame, split: Folds, name: str) -> tuple[dict[str, int], dict[int, list[str]]]:
    fold_of = deal_folds(index["subject"][_coded(index)].tolist(), split, name)
    by_fold: dict[int, list[str]] = {}
    for subject, fold in fold_of.items():
        by_fold.setdefault(fold, []).append(subject)
    return fold_of, by_fold


def _coded(index: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows have an expression and are not the neutral first frame of a sequence."""
    found: NDArray[np.bool_] = (index["label"].notna() & ~index["is_neutral_frame"]).to_numpy(bool)
    return found


def _with_index(dataset: FaceDataset, index: pd.DataFrame) -> FaceDataset:
    changed = copy.copy(dataset)
    vars(changed)["index"] = index
    return changed


def _with_copies(dataset: FaceDataset, copies: pd.DataFrame, *, brighten: bool) -> FaceDataset:
    """Return a dataset with further rows that show pictures which it has."""
    copies["sample_id"] += COPY
    copies["frame"] += STEP + 1
    index = pd.concat([dataset.index, copies], ignore_index=True)
    changed = _with_index(dataset, index.sort_values("sample_id", kind="stable", ignore_index=True))
    vars(changed)["load"] = partial(_load_copies, dataset, brighten)
    return changed


def _load_copies(dataset: FaceDataset, brighten: bool, path: str, frames: Sequence[int]) -> list[Image]:
    """Decode frames of one file, of which some are those of copies."""
    images = dataset.load(path, [frame - STEP - 1 if frame >= STEP else frame for frame in frames])
    return [
        brighter(image) if brighten and frame >= STEP else image
        for image, frame in zip(images, frames, strict=True)
    ]


def brighter(image: Image) -> Image:
    """Return a picture as an augmented copy shows it, uint8 [H, W, 3]."""
    levels = np.arange(256) / 255
    table = np.clip(np.rint(255 * GAIN * levels**GAMMA), 0, 255).astype(np.uint8)
    found: Image = table[image]
    return found
