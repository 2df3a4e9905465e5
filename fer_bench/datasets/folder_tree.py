"""Walking a folder of pictures: which class, split and person every picture is below."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fer_bench.data.card import SplitName
from fer_bench.data.reading.folders import Listing, list_folder
from fer_bench.data.reading.formats import is_picture
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.datasets.folder_classes import ClassNames, no_emotion
from fer_bench.emotions import match_emotion
from fer_bench.errors import DataError

SPLITS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
}
_EITHER = ("eval", "evaluation")
"""Names of a validation part, or of the test part beside another validation part."""
_NAMED = 10
_EMOTION_IN_PERSON = 3
"""Least letters of a class name inside a class folder that is surely no person's initials."""


@dataclass(frozen=True)
class Picture:
    """One picture of the tree.

    Attributes:
        path: Its path relative to the base folder.
        code: Name of its class folder.
        split: The split folder it is below.
        people: Further folders on the way, such as a person's.
    """

    path: str
    code: str
    split: SplitName
    people: tuple[str, ...]


class Tree:
    """What is in a folder of pictures.

    Args:
        base: The folder.
        names: What class names mean.

    Attributes:
        pictures: In the order of their paths.
        notes: What was met and does no harm, one sentence each.
        warnings: What is not read, one sentence each.
        met: Names of the folders that could be classes.

    Raises:
        DataError: The first fault; inside `collecting` only if there is no class at all.
    """

    def __init__(self, base: Path, names: ClassNames) -> None:
        self.base, self.names = base, names
        self.pictures: list[Picture] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.met: set[str] = set()
        self._files = 0
        self._others: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._dangling: list[str] = []
        self._classless: Counter[str] = Counter()
        self._filled: dict[tuple[SplitName, str], Path | None] = {}
        self._visited: set[str] = set()
        self._outside("", "none", ())
        if not self._filled:
            raise no_emotion(base, [])
        for folder in self._filled.values():
            if folder is not None:
                raise_or_collect(
                    DataError(
                        "empty class: no picture in this folder",
                        file=folder,
                        hint="add pictures, or remove the folder",
                    )
                )
        self.pictures.sort(key=lambda picture: picture.path)
        self._warn()

    def _outside(self, place: str, split: SplitName, people: tuple[str, ...]) -> None:
        """Read a folder that is not below a class folder."""
        listing = self._list(place)
        if listing is None:
            return
        parts = {} if people or split != "none" else self._split_folders(listing)
        rest = listing.folders - set(parts)
        self.met |= rest
        classes = sorted(name for name in rest if self.names.is_class(name))
        others = sorted(rest - set(classes) - {n for n in rest if self._drops(n, place)})
        if parts and classes:
            raise_or_collect(
                DataError(
                    "there are class folders next to split folders",
                    file=listing.folder,
                    value=classes[0],
                    hint="move the class folder into a split, remove one of the two, or --drop NAME",
                ),
                rows=sum(self._count(_join(place, name)) for name in classes),
            )
            classes = []
        if strays := self._pictures_in(listing):
            self._classless[place or "."] += len(strays)
        for name, part in parts.items():
            self._outside(_join(place, name), part, people)
        for name in classes:
            self._class(_join(place, name), name, split, people)
        if parts:
            self._beside_splits(place, others)
        elif not classes and others and all(self._holds_classes(_join(place, name)) for name in others):
            for name in others:
                self._outside(_join(place, name), split, (*people, name))
        elif others or not classes:
            rows = sum(self._count(_join(place, name)) for name in others)
            raise_or_collect(no_emotion(listing.folder, others), rows=rows)

    def _class(self, place: str, code: str, split: SplitName, people: tuple[str, ...]) -> None:
        """Read a class folder, or a folder below one."""
        listing = self._list(place)
        if listing is None:
            return
        pictures = self._pictures_in(listing)
        self._files += len(listing.files)
        for name in listing.files - set(pictures):
            self._others[Path(name).suffix.casefold() or "no ending"] += 1
        # A link to a picture that is absent is a row: a check lists it, and it can be left out by name.
        there = sorted((*pictures, *listing.dangling))
        self.pictures += [Picture(_join(place, name), code, split, people) for name in there]
        is_empty = not there and not self._count(place)
        if not is_empty or (split, code) not in self._filled:
            self._filled[split, code] = listing.folder if is_empty else None
        parts = {} if split != "none" or people else self._split_folders(listing)
        for name in sorted(listing.folders):
            inner = _join(place, name)
            emotion = match_emotion(name)
            if self._drops(name, place):
                continue
            if name in parts:
                self._class(inner, code, parts[name], people)
            elif emotion is not None and len(name.strip("0123456789_-. ")) >= _EMOTION_IN_PERSON:
                raise_or_collect(
                    DataError(
                        "a class folder is inside a class folder",
                        file=self.base / place,
                        value=name,
                        hint="move it beside the others, or leave it out with --drop NAME",
                    ),
                    rows=self._count(inner),
                )
            else:
                self._class(inner, code, split, (*people, name))

    def _list(self, place: str) -> Listing | None:
        """Return what is in a folder; None where it was read already, through a link."""
        real = os.path.realpath(self.base / place)
        if real in self._visited:
            problem = "this folder is a link to one that is read already"
            raise_or_collect(DataError(problem, file=self.base / place, value=real, hint="remove the link"))
            return None
        self._visited.add(real)
        listing = list_folder(self.base / place, self.base)
        self._dangling += [_join(place, name) for name in sorted(listing.dangling)]
        try:
            listing.refuse_links()
        except DataError as error:
            raise_or_collect(error, rows=len(listing.leaving))
        return listing

    def _drops(self, name: str, place: str) -> bool:
        """Return whether the user drops a folder, and count its pictures if so."""
        if not self.names.is_dropped(name):
            return False
        self.met.add(name)
        self._dropped[name] += self._count(_join(place, name))
        return True

    def _pictures_in(self, listing: Listing) -> list[str]:
        return sorted(name for name in listing.files if is_picture(listing.folder / name))

    def _count(self, place: str, above: frozenset[str] = frozenset()) -> int:
        """Return how many pictures are in a folder and below it; a link to a folder above counts none."""
        real = os.path.realpath(self.base / place)
        if real in above:
            return 0
        listing = list_folder(self.base / place, self.base)
        below = sum(self._count(_join(place, name), above | {real}) for name in listing.folders)
        return len(self._pictures_in(listing)) + below

    def _holds_classes(self, place: str) -> bool:
        inner = list_folder(self.base / place, self.base).folders
        return any(self.names.is_class(name) for name in inner)

    def _split_folders(self, listing: Listing) -> dict[str, SplitName]:
        """Return the split of every folder that is named like one, refusing two folders for one split."""
        splits: dict[str, SplitName] = {}
        named = [name for name in sorted(listing.folders) if name.casefold() in SPLITS]
        for name in sorted(named, key=lambda name: name.casefold() in _EITHER):
            split = SPLITS[name.casefold()]
            if name.casefold() in _EITHER and split in splits.values():
                split = "test"
            if split in splits.values():
                problem = f"two folders mean the split {split}"
                raise_or_collect(DataError(problem, file=listing.folder, value=name, hint="merge them"))
            splits[name] = split
        return splits

    def _beside_splits(self, place: str, others: list[str]) -> None:
        """Refuse folders with classes beside splits, which would be lost; say which others are not read."""
        for name in others:
            if self._holds_classes(_join(place, name)):
                raise_or_collect(
                    DataError(
                        "a folder next to the splits holds classes, and its name says no split",
                        file=self.base / place,
                        value=name,
                        hint=f"call it one of {', '.join(SPLITS)}, or leave it out with --drop NAME",
                    ),
                    rows=self._count(_join(place, name)),
                )
            elif count := self._count(_join(place, name)):
                self._classless[_join(place, name)] += count
        if others:
            self.notes.append(f"Folders next to the splits are ignored: {', '.join(others)}.")

    def _warn(self) -> None:
        if self._others:
            left = sum(self._others.values())
            endings = ", ".join(f"{ending} {count}" for ending, count in self._others.most_common())
            self.warnings.append(
                f"{left} of {self._files} files in class folders ({left / self._files:.1%}) are not pictures "
                f"that can be decoded here and are ignored: {endings}."
            )
        if self._dangling:
            first = self._dangling[0]
            where = os.readlink(self.base / first)
            self.warnings.append(
                f"{len(self._dangling)} links lead nowhere, first {first} -> {where}; fetch what they mean "
                "(git annex get, dvc pull), or leave them out by name."
            )
        for place, count in list(self._classless.items())[:_NAMED]:
            self.warnings.append(f"{count} pictures in {place} are in no class folder and are ignored.")
        for name, count in self._dropped.items():
            self.warnings.append(f"The folder {name} is dropped as asked: {count} pictures.")


def _join(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name
