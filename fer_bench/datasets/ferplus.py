"""FERPlus: FER2013's pictures with ten people's votes each, for eight emotions, unknown and not a face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import (
    Card,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
    class_counts,
    native_classes,
)
from fer_bench.data.reading.dataset import SoftLabels
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import Listing, list_folder, listed_path
from fer_bench.data.reading.links import following
from fer_bench.data.reading.missing import refuse_missing
from fer_bench.data.reading.parsing import csv_fields, parse_line, parsed_lines
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.datasets.fer2013_csv import USAGES, CsvPictures
from fer_bench.datasets.ferplus_votes import CLASSES, FACES, Floats, official_distribution, parse_votes
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.errors import DataError

_MEASURED = "measured on microsoft/FERPlus: fer2013new.csv and data/*/label.csv"
_OFFICIAL_CODE = "microsoft/FERPlus: src/ferplus.py"
_VOTES_CSV = "fer2013new.csv"
_PARTS: dict[str, SplitName] = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
_COLUMNS = ("Usage", "Image name", *CLASSES)
_PLACES = [list(Emotion).index(Emotion(name)) for name in CLASSES[:FACES]]

_FOLDERS = "data/*/label.csv"
_COUNTS: dict[str, dict[SplitName, tuple[int, ...]]] = {
    _VOTES_CSV: {
        "train": (8740, 7287, 3149, 3014, 2100, 119, 532, 119),
        "val": (1182, 865, 415, 351, 287, 24, 62, 13),
        "test": (1090, 893, 396, 384, 273, 18, 83, 16),
    },
    _FOLDERS: {
        "train": (8733, 7284, 3136, 3022, 2098, 116, 536, 120),
        "val": (1180, 862, 411, 348, 289, 25, 60, 16),
        "test": (1083, 892, 394, 382, 269, 16, 86, 15),
    },
}
"""Majority rows per layout: the two layouts differ in their votes."""
_OFFICIAL = Official(test="test", validation="official")
_MAJORITY = ("majority", "majority/repeated")
_ALL = (*_MAJORITY, "plurality", "plurality/repeated")

CARD = Card(
    name="ferplus",
    title="FERPlus",
    setting="wild",
    citation=(
        "Barsoum, Zhang, Canton Ferrer & Zhang (2016), Training Deep Networks for Facial Expression "
        "Recognition with Crowd-Sourced Label Distribution, ICMI, arXiv:1608.01041"
    ),
    licence="The labels are under the MIT licence; the pictures are FER2013's, under its terms.",
    obtain=(
        "github.com/microsoft/FERPlus for the votes, and FER2013 for the pictures: put fer2013.csv next to "
        "fer2013new.csv, or let the official script write the pictures into data/"
    ),
    classes=native_classes(CLASSES, CLASSES),
    tree=(
        TreeEntry(
            "fer2013new.csv", "Usage, picture name and ten columns of votes, row by row as in fer2013.csv"
        ),
        TreeEntry("fer2013.csv", "the pictures: FER2013's own file, or icml_face_data.csv"),
        TreeEntry(
            "data/{FER2013Train,FER2013Valid,FER2013Test}/<fer0000000>.png",
            "the pictures as the official script writes them, read instead of the two files",
            required=False,
        ),
        TreeEntry(
            "data/{FER2013Train,FER2013Valid,FER2013Test}/label.csv",
            "picture name, picture box and ten votes, without a header",
            required=False,
        ),
    ),
    protocols=(
        Protocol(
            name="8-official",
            label_set=LABEL_SETS["8"],
            split=_OFFICIAL,
            variants=_MAJORITY,
            note="rows with a majority, as in the official majority mode; PublicTest validates",
        ),
        Protocol(
            name="8-dedup",
            label_set=LABEL_SETS["8"],
            split=_OFFICIAL,
            variants=("majority",),
            note="the same without test pictures that are in another part too",
        ),
        Protocol(
            name="8-probability",
            label_set=LABEL_SETS["8"],
            split=_OFFICIAL,
            variants=_ALL,
            note="rows of the official probability mode: also those without a majority, by leading class",
        ),
        Protocol(
            name="7-official",
            label_set=LABEL_SETS["7"],
            split=_OFFICIAL,
            variants=_MAJORITY,
            note="majority rows without contempt",
        ),
    ),
    default_protocol="8-official",
    quick_protocol="8-official",
    counts=tuple(
        count
        for layout, numbers in _COUNTS.items()
        for count in class_counts(
            CLASSES[:FACES],
            numbers,
            trust="code",
            source="the official majority mode applied to its votes",
            layout=layout,
        )
    ),
    quirks=(
        Quirk(
            "fer2013new.csv has no pixels: its row n is row n of fer2013.csv. The numbers in the picture "
            "names are not row numbers, because rows without a name are skipped.",
            "code",
            _MEASURED,
        ),
        Quirk(
            "173 rows have no picture name; all their votes say not a face, and they are left out.",
            "code",
            _MEASURED,
        ),
        Quirk(
            "Four picture names are on two rows each: both rows are kept, the second with `#2`, and the "
            "name is their group.",
            "code",
            _MEASURED,
        ),
        Quirk(
            "1,602 rows have other votes in label.csv than in fer2013new.csv: the former are read with the "
            "picture folders, the latter with fer2013.csv, and the notes say which.",
            "code",
            _MEASURED,
        ),
        Quirk(
            "Majority: counts of one are set to zero, then the winner needs more than half of the rest; "
            "unknown and not a face are dropped. Rows without a majority that the probability mode keeps "
            "are the variant plurality.",
            "code",
            _OFFICIAL_CODE,
        ),
        Quirk(
            "Soft labels: `--set train.soft_labels=probability` learns the official distribution over the "
            "leading emotions (official mode crossentropy), `votes` the shares of all votes for emotions; "
            "otherwise the leading one is the label. Votes for other classes than the protocol's do not "
            "count.",
            "code",
            _OFFICIAL_CODE,
        ),
        Quirk("Votes sum to ten, in one row to nine.", "code", _MEASURED),
        Quirk(
            "The pictures are FER2013's, and MMAFEDB has many of them: never counted as cross-dataset.",
            "code",
            "microsoft/FERPlus; class counts of MMAFEDB",
        ),
    ),
    unit="image",
    shares_pixels_with=("fer2013", "mmafedb"),
)


@dataclass(frozen=True)
class _Row:
    """One row of votes with its picture.

    Attributes:
        name: Picture name without ending.
        split: Its official split.
        votes: Ten counts in the order of the card's classes.
        path: The picture, or the csv that holds it, relative to the base folder.
        frame: Row of that csv, -1 for a picture.
    """

    name: str
    split: SplitName
    votes: Floats
    path: str
    frame: int = -1


class FERPlus(CsvPictures):
    """FERPlus from the official picture folders, or from its votes and FER2013's csv in one folder.

    `label` is the class with the most votes; `variant` says whether it has the official majority
    (`majority`) or not (`plurality`), with `/repeated` where a test picture is in another part too.
    `votes` are those for the eight emotions; `soft_labels` makes distributions of them.
    """

    card = CARD
    folder_names = ("fer+", "ferplus-master", "fer-plus", "fer_plus")
    soft_label_kinds: ClassVar[tuple[SoftLabels, ...]] = ("probability", "votes")

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._parts = _parts_of(self.base)
        has_pictures = self._parts is not None and _has_pictures(self._parts)
        self.layout = _FOLDERS if has_pictures else _VOTES_CSV

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds the votes in either form."""
        return folder if (folder / _VOTES_CSV).is_file() or _parts_of(folder) is not None else None

    @cached_property
    def _rows(self) -> dict[str, _Row]:
        """All rows that have a picture, by sample id."""
        if self._parts is not None and self.layout == _FOLDERS:
            found = self._from_folders(self._parts)
        elif self.csv_name is not None and (self.base / _VOTES_CSV).is_file():
            found = self._from_table(self.csv_name)
        else:
            hint = "put FER2013's fer2013.csv next to fer2013new.csv; fer-bench data describe ferplus"
            raise DataError("there are votes but no pictures", file=self.base, hint=hint)
        rows: dict[str, _Row] = {}
        times: dict[str, int] = {}
        for row in found:
            times[row.name] = times.get(row.name, 0) + 1
            rows[row.name if times[row.name] == 1 else f"{row.name}#{times[row.name]}"] = row
        return rows

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per picture whose votes the official probability mode keeps.

        Raises:
            DataError: A malformed row, or pictures that do not fit the votes.
        """
        note_read(self.base / _VOTES_CSV)
        for place in (self.base / "data", self.base):
            for part in _PARTS:
                note_read(place / part, contents=True)
        rows = self._rows  # may have been read before the index
        repeated = self.repeated_tests(
            [(row.path, row.frame) for row in rows.values()], [row.split for row in rows.values()]
        )
        dropped = 0
        for (sample_id, row), again in zip(rows.items(), repeated, strict=True):
            shares = official_distribution(row.votes, "probability")
            if shares is None:
                dropped += 1
                continue
            code = CLASSES[int(np.argmax(shares))]
            agreed = official_distribution(row.votes, "majority") is not None
            votes = np.zeros(len(Emotion), np.float32)
            votes[_PLACES] = row.votes[:FACES]
            yield {
                "sample_id": sample_id,
                "path": row.path,
                "frame": row.frame,
                "native_label": code,
                "label": self.card.emotion_of(code),
                "split": row.split,
                "group": row.name,
                "variant": ("majority" if agreed else "plurality") + ("/repeated" if again else ""),
                "votes": votes,
            }
        self.notes.append(
            f"The votes are those of {self.layout}; {dropped} pictures without a leading emotion "
            "are left out."
        )

    def soft_labels(self, kind: SoftLabels) -> NDArray[np.float32]:
        """Return soft labels for the rows of the index, see `FaceDataset.soft_labels`.

        Args:
            kind: `probability`: the official distribution over at most three leading emotions (the official
                mode `crossentropy` trains on it, mode `probability` draws from it); `votes`: the shares of
                all votes for emotions.
        """
        with following(self.follow_links):
            rows = self._rows
        labels = np.zeros((len(self.index), len(Emotion)), np.float32)
        for place, sample_id in enumerate(self.index["sample_id"]):
            votes = rows[sample_id].votes
            found = votes[:FACES] if kind == "votes" else official_distribution(votes, kind)
            if found is not None:
                labels[place, _PLACES] = found / found.sum()
        return labels

    def _from_table(self, name: str) -> list[_Row]:
        """Join the votes with FER2013's csv, whose name is given, by row number."""
        file, splits = self.base / _VOTES_CSV, self.table.splits
        lines = numbered_lines(file)
        header = csv_fields(next(lines)[1])
        if header != list(_COLUMNS):
            raise DataError(f"the header is not {','.join(_COLUMNS)}", file=file, line=1, value=header)
        rows: list[_Row] = []
        nameless = at = 0
        for at, (line, text) in enumerate(lines, start=1):
            if at <= len(splits) and not self.table.codes[at - 1]:
                continue  # the csv's row is malformed and was reported
            try:
                usage, picture, votes = parse_line(_parse_row, text, file=file, line=line)
            except DataError as error:
                raise_or_collect(error)
                continue
            if at > len(splits) or splits[at - 1] != USAGES[usage]:
                problem = (
                    f"row {at} of the votes is not row {at} of {name}, so the two files do not belong "
                    "together"
                )
                raise DataError(problem, file=file, line=line, value=usage)
            if picture:
                rows.append(_Row(Path(picture).stem, USAGES[usage], votes, name, at - 1))
            else:
                nameless += 1
        if at != len(splits):
            raise DataError(f"the votes have {at} rows and {name} has {len(splits)}", file=file)
        if not rows:
            raise DataError("no row of votes has a picture name", file=file)
        if nameless:
            self.notes.append(f"{nameless} rows of {_VOTES_CSV} have no picture name and are left out.")
        return rows

    def _from_folders(self, parts: Path) -> list[_Row]:
        rows: list[_Row] = []
        for part, split in _PARTS.items():
            file = parts / part / "label.csv"
            pictures = list_folder(parts / part, self.base)
            inner = pictures.folder.relative_to(self.base).as_posix()
            missing: list[tuple[int, str]] = []

            def parse(text: str, pictures: Listing = pictures) -> tuple[str, Floats, str | None]:
                fields = csv_fields(text)
                if len(fields) != 2 + len(CLASSES):
                    problem = "a row is a picture name, a box and ten votes"
                    raise DataError(problem, value=f"{len(fields)} fields")
                name = listed_path(fields[0])
                return name, parse_votes(fields[2:]), pictures.picture(name)

            for line, (name, votes, picture) in parsed_lines(numbered_lines(file), parse, file=file):
                if picture is not None:
                    rows.append(_Row(Path(name).stem, split, votes, f"{inner}/{picture}"))
                else:  # no row: pixels tell which faces are alike, and it has none
                    missing.append((line, name))
            refuse_missing(missing, file=file, folder=pictures.folder, dataset=self.card.name)
        return rows


def _parse_row(text: str) -> tuple[str, str, Floats]:
    """Return usage, picture name and votes of a row of fer2013new.csv."""
    fields = csv_fields(text)
    if len(fields) != len(_COLUMNS):
        raise DataError(f"a row has {len(_COLUMNS)} fields", value=f"{len(fields)} fields")
    if fields[0] not in USAGES:
        raise DataError(f"the usage is not one of {', '.join(USAGES)}", value=fields[0])
    return fields[0], fields[1], parse_votes(fields[2:])


def _parts_of(folder: Path) -> Path | None:
    """Return the folder that holds the three parts with their label lists, None without one."""
    for place in (folder / "data", folder):
        if all((place / part / "label.csv").is_file() for part in _PARTS):
            return place
    return None


def _has_pictures(parts: Path) -> bool:
    return any(next((parts / part).glob("*.png"), None) is not None for part in _PARTS)
