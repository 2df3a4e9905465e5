"""Your own folder of pictures: `split/class/*` or `class/*`, class names matched to emotions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from fer_bench.data.card import (
    Card,
    Folds,
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
from fer_bench.data.reading.notes import listed
from fer_bench.data.reading.sequences import subfolders
from fer_bench.datasets.folder_classes import ClassNames, no_emotion
from fer_bench.datasets.folder_people import people_of, splits_of
from fer_bench.datasets.folder_tree import SPLITS, Tree
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError

FOLDS = 5
"""Folds of the protocol that tests every person, where all pictures name one."""
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
            "[<split>/]<class>/<name>",
            f"split: {', '.join(SPLITS)}; class: an emotion; any picture that OpenCV decodes",
        ),
        TreeEntry(
            "[<split>/]<class>/<person>/<name> or [<split>/]<person>/<class>/<name>",
            "the same with a folder per person",
            required=False,
        ),
    ),
    protocols=(
        Protocol(
            name="found",
            label_set=tuple(Emotion),
            split=Stratified(),
            note="the classes and splits found; without splits 70/15/15 of every class, or of the people",
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
            "People are known from folders of people, or from file names as in CK+, KDEF, JAFFE and MMI; a "
            "split made here then keeps a person on one side. Otherwise a person may be on both sides.",
            "code",
            "fer_bench.datasets.folder_people",
        ),
        Quirk(
            "Folders named otherwise (in another language, by number) are named by --classes map.yaml, with "
            "lines such as `glad: happiness` or `unknown: drop`, or left out by --drop NAME.",
            "code",
            "fer_bench.datasets.folder_classes",
        ),
    ),
    unit="image",
)


class Folder(FaceDataset):
    """Pictures in class folders; the card of an instance has the classes and the split that were found."""

    card = CARD
    crop = "detect"
    is_official = False
    class_names: ClassVar[ClassNames] = ClassNames()
    """What folder names mean; a class made by `named` has the user's map."""

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        tree = Tree(self.base, self.class_names)
        if unused := self.class_names.unused(tree.met | {p.code for p in tree.pictures}):
            raise DataError(
                "no folder has this class name",
                file=self.base,
                value=unused[0],
                hint=f"--classes and --drop take names of folders: {', '.join(sorted(tree.met)) or 'none'}",
            )
        self._pictures = tree.pictures
        self.notes += tree.notes
        self.warnings += tree.warnings
        stems = [PurePosixPath(picture.path).stem for picture in tree.pictures]
        self._splits: list[SplitName] = [picture.split for picture in tree.pictures]
        if set(self._splits) == {"none"} and (named := splits_of(stems)) is not None:
            self._splits = named
            self.notes.append("The parts are those of the file names (train_ and test_, as in RAF-DB).")
        self._people = people_of([picture.people for picture in tree.pictures], stems)
        self._crossing = self._people_in_two_parts()
        self.card = self._own_card()
        self._note_people()

    @classmethod
    def named(cls, classes: Mapping[str, Emotion | None]) -> type[Folder]:
        """Return this reader with another meaning of class names.

        Args:
            classes: Emotion by folder name, None for folders that are dropped; see
                `folder_classes.class_names`.
        """
        if not classes:
            return cls
        return type(cls.__name__, (cls,), {"class_names": ClassNames(classes), "__doc__": cls.__doc__})

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if class folders are in it, in a split folder of it, or in folders of people."""
        children = subfolders(folder)
        places = [folder, *(child for child in children if child.name.casefold() in SPLITS)]
        if any(cls._has_class(place) or cls._has_people(place) for place in places):
            return folder
        return None

    @classmethod
    def _has_class(cls, place: Path) -> bool:
        return any(cls.class_names.is_surely_class(child.name) for child in subfolders(place))

    @classmethod
    def _has_people(cls, place: Path) -> bool:
        """Return whether there are several folders and all hold nothing but class folders."""
        inner = [subfolders(child) for child in subfolders(place)]
        return len(inner) > 1 and all(
            bool(found) and all(cls.class_names.is_surely_class(each.name) for each in found)
            for found in inner
        )

    @classmethod
    def _not_found(cls, root: Path) -> DataError:
        if not root.is_dir():
            return super()._not_found(root)
        places = [child for child in subfolders(root) if child.name.casefold() in SPLITS] or [root]
        return no_emotion(root, [str(c.relative_to(root)) for place in places for c in subfolders(place)])

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per picture."""
        people = self._people
        for at, (picture, split) in enumerate(zip(self._pictures, self._splits, strict=True)):
            subject = people.subjects[at] if people is not None else None
            sequence = people.sequences[at] if people is not None else None
            yield {
                "sample_id": picture.path,
                "path": picture.path,
                "native_label": picture.code,
                "label": self.card.emotion_of(picture.code),
                "split": split,
                "subject": subject,
                "sequence": sequence,
                # Parts that the user made are kept, also where a person is in two of them: a warning says so.
                "group": sequence if self._crossing else subject,
            }

    def _people_in_two_parts(self) -> set[str]:
        parts: defaultdict[str, set[str]] = defaultdict(set)
        if self._people is not None:
            for subject, split in zip(self._people.subjects, self._splits, strict=True):
                if subject is not None:
                    parts[subject].add(split)
        return {subject for subject, found in parts.items() if len(found) > 1}

    def _note_people(self) -> None:
        people = self._people
        if people is None:
            if any(picture.people for picture in self._pictures):
                self.notes.append("Folders below class folders are read; they are not taken for people.")
            return
        known = {subject for subject in people.subjects if subject is not None}
        unknown = sum(subject is None for subject in people.subjects)
        more = f"; {unknown} pictures name none and count as people of their own" if unknown else ""
        how = "" if self._crossing else ", and parts that are made here have none in common"
        self.notes.append(f"{len(known)} people were found in {people.origin}{how}{more}.")
        if not self._crossing:
            return
        first, count = min(self._crossing), len(self._crossing)
        self.warnings.append(
            f"{count} people are in more than one of the parts found, first {first}: scores measure faces "
            "that were trained on; put the classes of all parts together, and the parts made here have no "
            "person in common."
        )

    def _own_card(self) -> Card:
        emotion_of = {
            code: self.class_names.emotion(code) for code in sorted({p.code for p in self._pictures})
        }
        present = set(emotion_of.values())
        label_set = tuple(emotion for emotion in Emotion if emotion in present)
        for emotion in label_set:
            codes = {_plain(code): code for code, meant in emotion_of.items() if meant is emotion}
            if len(codes) > 1:
                self.notes.append(
                    f"The folders {listed(sorted(codes.values()))} are one class: {emotion.value}."
                )
        pairs = list(zip(self._pictures, self._splits, strict=True))
        splits = set(self._splits)
        for split in sorted(splits):
            here = {emotion_of[picture.code] for picture, s in pairs if s == split}
            if absent := [emotion.value for emotion in label_set if emotion not in here]:
                self.notes.append(f"The split {split} has no pictures of {', '.join(absent)}.")
        people = self._people
        rule = _rule(splits, by_person=people is not None and not self._crossing)
        found = CARD.protocols[0].model_copy(update={"label_set": label_set, "split": rule})
        protocols = [found]
        known = people is not None and all(people.subjects)
        if people is not None and known and splits == {"none"} and len(set(people.subjects)) >= FOLDS:
            note = "every person is tested, by a model that was trained and chosen on others"
            folds = {"name": f"{FOLDS}fold", "split": Folds(k=FOLDS), "note": note}
            protocols.append(found.model_copy(update=folds))
        return self.card.model_copy(
            update={
                "classes": tuple(
                    NativeClass(code, code, emotion)
                    for emotion in label_set
                    for code, meant in emotion_of.items()
                    if meant is emotion
                ),
                "protocols": tuple(protocols),
                # Without a training part of the user's own, every picture is new to models of other datasets.
                "as_target": "all" if splits == {"none"} or not splits & {"train", "none"} else "test",
                "unit": "subject" if known else "image",
            }
        )


def _rule(splits: set[SplitName], *, by_person: bool) -> Split:
    """Return the split rule for the split folders that exist."""
    if splits <= {"none"} or splits == {"train"}:
        return Stratified(by="group" if by_person else "row")
    carve: Literal["group", "label"] = "group" if by_person else "label"
    if "test" not in splits:
        return Official(test="val", validation="carved", carve=carve)
    return Official(test="test", validation="official" if "val" in splits else "carved", carve=carve)


def _plain(name: str) -> str:
    return name.casefold().strip("0123456789 _-.")
