"""Check that a dataset, of this or another package, keeps the contracts that the rest relies on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench.data.card import Folds, Protocol
from fer_bench.data.crops.recipe import crop_face, recipe_for
from fer_bench.data.index import NO_AU, fingerprint, validate_index
from fer_bench.data.packs.filling import by_file
from fer_bench.data.protocols import assign_roles, find_protocol, folds_of, in_label_set
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import DataError, FerBenchError

DECODED = 5
"""Number of files that are decoded."""
LOOKED_UP = 500
"""Number of paths that are looked up on disk."""
CROP = 48


@dataclass(frozen=True)
class Check:
    """One contract and whether it is kept.

    Attributes:
        name: The contract.
        ok: Whether it is kept.
        message: What was checked, or what is wrong.
    """

    name: str
    ok: bool
    message: str


def check_contract(name: str, open_dataset: Callable[[], FaceDataset]) -> list[Check]:
    """Check a dataset's card, reader, index, protocols and decoding.

    Args:
        name: The name it is registered under.
        open_dataset: Opens the dataset; called twice.
    """
    try:
        first = open_dataset()
    except FerBenchError as error:
        return [Check("opens", False, str(error))]
    results: list[Check] = []
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("card", lambda: _card(name, first)),
        ("locate", lambda: _locate(first)),
        ("index", lambda: _index(first)),
        ("rows", lambda: _same_again(first, open_dataset)),
        ("paths", lambda: _paths(first)),
        ("protocols", lambda: _protocols(first)),
        ("pictures", lambda: _pictures(first)),
    )
    for title, work in checks:
        try:
            results.append(Check(title, True, work()))
        except FerBenchError as error:
            results.append(Check(title, False, str(error)))
        except (
            Exception
        ) as error:  # a reader of another package may raise anything, and the report must name it
            text = f"{type(error).__name__}: {error}; a reader raises DataError with file, line and value"
            results.append(Check(title, False, text))
    return results


def _card(name: str, dataset: FaceDataset) -> str:
    card = dataset.card
    if card.name != name:
        raise DataError(f"the card's name is not the name it is registered under, {name}", value=card.name)
    for text in ("title", "citation", "licence", "obtain"):
        if not getattr(card, text).strip():
            raise DataError(f"the card has no {text}")
    if not any(entry.required for entry in card.tree):
        raise DataError(
            "the card's tree has no required entry, so the message for missing data would be empty"
        )
    type(card).model_validate(card.model_dump())
    return f"version {card.version}, {len(card.classes)} classes, {len(card.protocols)} protocol(s)"


def _locate(dataset: FaceDataset) -> str:
    kind = type(dataset)
    if kind.locate(dataset.base) != dataset.base:
        raise DataError("locate does not find the base folder that it returned", file=dataset.base)
    with tempfile.TemporaryDirectory() as empty:
        if kind.locate(Path(empty)) is not None or kind.find(Path(empty)) is not None:
            raise DataError("locate accepts an empty folder")
    return f"found in {dataset.base}"


def _index(dataset: FaceDataset) -> str:
    index, card = dataset.index, dataset.card
    validate_index(index, card.name)
    codes = {native.code for native in card.classes}
    strange = index["native_label"].notna() & ~index["native_label"].isin(codes)
    if strange.any():
        raise DataError("a native label is not in the card", value=index["native_label"][strange].iloc[0])
    emotions = {emotion.value for emotion in card.emotions}
    strange = index["label"].notna() & ~index["label"].isin(emotions)
    if strange.any():
        raise DataError("a label is not among the card's emotions", value=index["label"][strange].iloc[0])
    has_va = bool(index["valence"].notna().any())
    if has_va and not card.has_va:
        raise DataError("rows have valence and arousal, but the card says that they have none")
    if not card.has_au and any((units != NO_AU).any() for units in index["au"]):
        raise DataError("rows have action units, but the card says that they have none")
    if index["reference_id"].notna().any() and not card.has_reference:
        raise DataError("rows have a neutral frame, but the card says that they have none")
    return f"{len(index)} rows, {int(index['label'].notna().sum())} with an emotion"


def _same_again(dataset: FaceDataset, open_dataset: Callable[[], FaceDataset]) -> str:
    again = open_dataset().index
    mark = fingerprint(dataset.index)
    if fingerprint(again) != mark or not (again["path"] == dataset.index["path"]).all():
        raise DataError("two readings give different indexes: rows must depend on the files alone")
    return f"two readings agree, fingerprint {mark}"


def _paths(dataset: FaceDataset) -> str:
    root = dataset.base.resolve()
    paths = sorted(set(dataset.index["path"]))
    some = paths[:: max(1, len(paths) // LOOKED_UP)]
    for path in some:
        file = dataset.base / path
        if not file.exists():
            continue  # a path may be virtual; pictures are decoded below
        if not file.resolve().is_relative_to(root):
            raise DataError("the path leaves the dataset root", file=file, value=str(file.resolve()))
    return f"{len(paths)} file(s), {len(some)} looked up, none leaves the root"


def _protocols(dataset: FaceDataset) -> str:
    card = dataset.card
    used, unusable = 0, {}
    for protocol in card.protocols:
        try:
            _protocol(dataset, protocol)
            used += 1
        except _UnusableError as reason:
            unusable[protocol.name] = str(reason)
    if not used:
        raise DataError(f"no protocol can be used: {unusable[find_protocol(card, None).name]}")
    return f"{used} usable" + (f"; not with these data: {', '.join(unusable)}" if unusable else "")


class _UnusableError(Exception):
    """The data at hand are not enough for a protocol."""


def _protocol(dataset: FaceDataset, protocol: Protocol) -> None:
    index, card = dataset.index, dataset.card
    nameless = in_label_set(index, protocol) & index["subject"].isna().to_numpy()
    if isinstance(protocol.split, Folds) and nameless.any():
        raise DataError(f"{protocol.name}: a row has no subject", file=index["path"][nameless].iloc[0])
    tested = np.zeros(len(index), np.int64)
    for fold in folds_of(protocol):
        try:
            roles = assign_roles(index, card, protocol, fold)
        except DataError as error:
            raise _UnusableError(str(error)) from None
        tested += roles == "test"
        sides = pd.DataFrame({"group": index["group"], "role": roles})[roles != ""].drop_duplicates()
        if sides["group"].duplicated().any():
            group = sides["group"][sides["group"].duplicated()].iloc[0]
            raise DataError(f"{protocol.name}, fold {fold}: a group is on both sides", value=group)
        for other in _rearranged(index, protocol):
            changed = pd.Series(assign_roles(other, card, protocol, fold), other["sample_id"])
            if (changed.loc[index["sample_id"]].to_numpy() != roles).any():
                raise DataError(f"{protocol.name}, fold {fold}: roles depend on other rows or their order")
    if isinstance(protocol.split, Folds) and (tested[in_label_set(index, protocol)] != 1).any():
        raise DataError(f"{protocol.name}: a labelled row is not tested exactly once over the folds")


def _rearranged(index: pd.DataFrame, protocol: Protocol) -> Iterator[pd.DataFrame]:
    """Yield the index in another order and, for folds, with a person who has no label."""
    yield index.iloc[::-1].reset_index(drop=True)
    if isinstance(protocol.split, Folds):
        stranger = index.iloc[[0]].copy()
        stranger["sample_id"] = stranger["subject"] = stranger["group"] = " stranger"
        stranger["label"] = stranger["native_label"] = stranger["reference_id"] = None
        stranger["is_neutral_frame"] = False
        yield pd.concat([index, stranger], ignore_index=True)


def _pictures(dataset: FaceDataset) -> str:
    index = dataset.index
    files = list(by_file(index))
    chosen = sorted({round(i) for i in np.linspace(0, len(files) - 1, DECODED)})
    frames = index["frame"].to_numpy()
    recipe = recipe_for(dataset, CROP)
    for position in chosen:
        path, rows = files[position]
        wanted = [int(frame) for frame in frames[rows[:DECODED]]]
        images, again = dataset.load(path, wanted), dataset.load(path, wanted)
        file = dataset.base / path
        if len(images) != len(wanted):
            raise DataError("load returns another number of pictures than requested", file=file)
        for row, image, same in zip(rows, images, again, strict=False):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise DataError(
                    "load does not return RGB uint8 [H, W, 3]",
                    file=file,
                    value=f"{image.dtype} {image.shape}",
                )
            if not np.array_equal(image, same):
                raise DataError("decoding twice gives different pictures", file=file)
            crop_face(image, index["box"].iloc[row], index["landmarks"].iloc[row], recipe)
    return f"{len(chosen)} file(s) decoded and cropped ({recipe.text})"
