"""Your own folder of pictures: `split/class/*` or `class/*`, class names matched to emotions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fer_bench.data.card import (
    Card,
    NativeClass,
    Official,
    Protocol,
    Quirk,
    Split,
    SplitName,
    Stratified,
    TreeEntry,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.folders import Listing, list_folder, pictures_of_class
from fer_bench.data.reading.sequences import subfolders
from fer_bench.emotions import Emotion, aliases, match_emotion
from fer_bench.errors import DataError

SUFFIXES: frozenset[str] = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings, in any case, of the files that count as pictures."""

_SPLITS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SHOWN = 20

CARD = Card(
    name="folder",
    title="Folder of pictures",
    setting="wild",
    citation="The user's own pictures.",
    licence="The terms of their owner.",
    obtain="Put pictures into one folder per class, below one folder per split or without splits.",
    classes=tuple(NativeClass(emotion.value, emotion.value, emotion) for emotion in Emotion),
    tree=(
        TreeEntry(
            "[<split>/]<class>/<name>.<ending>",
            f"split: {', '.join(_SPLITS)}; class: an emotion; ending: {', '.join(sorted(SUFFIXES))}",
        ),
    ),
    protocols=(
        Protocol(
            name="found",
            label_set=tuple(Emotion),
            split=Stratified(),
            note="the classes and splits found; without splits 70/15/15 of every class",
        ),
    ),
    default_protocol="found",
    quick_protocol="found",
    quirks=(
        Quirk(
            "Faces are detected. Where the pictures are face crops already, use `--faces whole`: it takes "
            "them as they are and keeps their proportions.",
            "code",
            "fer_bench.data.crops.recipe",
        ),
        Quirk(
            "Class names are matched by name and alias in any case, with leading sort numbers ignored.",
            "code",
            "fer_bench.emotions.match_emotion",
        ),
        Quirk(
            "Identities are unknown, so a person may be on both sides of a split made here.",
            "inferred",
            "a folder tree has no identities",
        ),
    ),
    unit="image",
)


class Folder(FaceDataset):
    """Pictures in class folders; the card of an instance has the classes and the split that were found."""

    card = CARD
    crop = "detect"

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._places = self._find_classes()
        self.card = self._own_card()

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if at least one class folder is in it, or in a split folder of it."""
        for child in subfolders(folder):
            if _means_class(child):
                return folder
            if _split_of(child.name) and any(_means_class(inner) for inner in subfolders(child)):
                return folder
        return None

    @classmethod
    def _not_found(cls, root: Path) -> DataError:
        if not root.is_dir():
            return super()._not_found(root)
        places = [child for child in subfolders(root) if _split_of(child.name)] or [root]
        return _no_emotion(root, [str(c.relative_to(root)) for place in places for c in subfolders(place)])

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per picture.

        Raises:
            DataError: A class folder without pictures, or a picture that leads out of the folder.
        """
        ignored = 0
        for place, split in self._places:
            listing = list_folder(self.base / place, self.base)
            hint = f"add pictures ({', '.join(sorted(SUFFIXES))}) or remove the folder"
            names = pictures_of_class(listing, SUFFIXES, hint=hint)
            ignored += len(listing.files) - len(names) + len(listing.folders)
            code = listing.folder.name
            for name in names:
                path = f"{place}/{name}"
                yield {
                    "sample_id": path,
                    "path": path,
                    "native_label": code,
                    "label": self.card.emotion_of(code),
                    "split": split,
                }
        if ignored:
            self.notes.append(
                f"{ignored} files and folders in class folders are not pictures and are ignored."
            )

    def _find_classes(self) -> list[tuple[str, SplitName]]:
        """Return every class folder, relative to the base, with its split."""
        top = list_folder(self.base, self.base)
        splits = _split_folders(top)
        if not splits:
            return [(name, "none") for name in _class_names(top, self.base)]
        others = sorted(top.folders - set(splits))
        for name in others:
            if match_emotion(name) is not None:
                raise DataError(
                    "there are class folders next to split folders",
                    file=self.base,
                    value=name,
                    hint="move the class folder into a split, or remove one of the two",
                )
        if others:
            self.notes.append(f"Folders next to the splits are ignored: {', '.join(others)}.")
        found: list[tuple[str, SplitName]] = []
        for name, split in splits.items():
            inner = list_folder(self.base / name, self.base)
            found += [(f"{name}/{child}", split) for child in _class_names(inner, self.base)]
        return found

    def _own_card(self) -> Card:
        emotion_of = {
            code: match_emotion(code) for code in sorted({Path(place).name for place, _ in self._places})
        }
        present = set(emotion_of.values())
        label_set = tuple(emotion for emotion in Emotion if emotion in present)
        splits = {split for _, split in self._places}
        for split in sorted(splits):
            here = {emotion_of[Path(place).name] for place, s in self._places if s == split}
            if absent := [emotion.value for emotion in label_set if emotion not in here]:
                self.notes.append(f"The split {split} has no pictures of {', '.join(absent)}.")
        rule = _rule(splits)
        return self.card.model_copy(
            update={
                "classes": tuple(
                    NativeClass(code, code, emotion)
                    for emotion in label_set
                    for code, meant in emotion_of.items()
                    if meant is emotion
                ),
                "protocols": (CARD.protocols[0].model_copy(update={"label_set": label_set, "split": rule}),),
                # Without a training part no rule can assign roles, and all rows are for testing.
                "as_target": "test" if splits & {"train", "none"} else "all",
            }
        )


def _rule(splits: set[SplitName]) -> Split:
    """Return the split rule for the split folders that exist."""
    if splits <= {"none"} or splits == {"train"}:
        return Stratified()
    if "test" not in splits:
        return Official(test="val", validation="carved", carve="label")
    return Official(test="test", validation="official" if "val" in splits else "carved", carve="label")


def _means_class(folder: Path) -> bool:
    """Return whether a folder is surely a class; one called `other` could be anything."""
    return match_emotion(folder.name) not in (None, Emotion.OTHER)


def _split_of(name: str) -> SplitName | None:
    return _SPLITS.get(name.casefold())


def _split_folders(top: Listing) -> dict[str, SplitName]:
    """Return the split of every folder that is named like one, refusing two folders for one split."""
    splits: dict[str, SplitName] = {}
    for name in sorted(top.folders | top.leaving):
        split = _split_of(name)
        if split is None:
            continue
        top.has_folder(name, file=top.folder)
        if split in splits.values():
            raise DataError(
                f"two folders mean the split {split}", file=top.folder, value=name, hint="merge them"
            )
        splits[name] = split
    return splits


def _class_names(place: Listing, base: Path) -> list[str]:
    """Return the class folders of a place, refusing those whose names match no emotion."""
    place.refuse_links()
    unmatched = sorted(name for name in place.folders if match_emotion(name) is None)
    if unmatched or not place.folders:
        raise _no_emotion(place.folder, unmatched)
    return sorted(place.folders)


def _no_emotion(folder: Path, names: list[str]) -> DataError:
    known = "\n".join(f"    {emotion.value}: {', '.join(aliases(emotion))}" for emotion in Emotion)
    return DataError(
        "class folders whose names match no emotion" if names else "there are no class folders here",
        file=folder,
        value=names[:_SHOWN] or None,
        hint=f"for the expected tree: fer-bench data describe folder; recognised class names:\n{known}",
    )
