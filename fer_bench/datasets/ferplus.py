"""FERPlus: FER2013's pictures with ten people's votes each, for eight emotions, unknown and not a face."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import (
    Card,
    NativeClass,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
    class_counts,
)
from fer_bench.data.reading.dataset import FaceDataset, SoftLabels
from fer_bench.data.reading.folders import list_folder, refuse_leaving, refuse_missing
from fer_bench.data.reading.pictures import Image
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.datasets.fer2013 import (
    Table,
    csv_inside,
    digest_of_file,
    pictures_of,
    read_csv,
    repeated_tests,
)
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.errors import DataError

Floats = NDArray[np.float64]

_MEASURED = "measured on microsoft/FERPlus: fer2013new.csv and data/*/label.csv"
_OFFICIAL_CODE = "microsoft/FERPlus: src/ferplus.py"
_VOTES_CSV = "fer2013new.csv"
_PARTS: dict[str, SplitName] = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
_USAGES: dict[str, SplitName] = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_FACES = 8
_CLASSES = (
    ("neutral", Emotion.NEUTRAL),
    ("happiness", Emotion.HAPPINESS),
    ("surprise", Emotion.SURPRISE),
    ("sadness", Emotion.SADNESS),
    ("anger", Emotion.ANGER),
    ("disgust", Emotion.DISGUST),
    ("fear", Emotion.FEAR),
    ("contempt", Emotion.CONTEMPT),
    ("unknown", None),
    ("NF", None),
)
_COLUMNS = ("Usage", "Image name", *(name for name, _ in _CLASSES))
_PLACES = [list(Emotion).index(emotion) for _, emotion in _CLASSES if emotion is not None]
_HINT = "compare with the official format: fer-bench data describe ferplus"

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
"""Majority rows per layout: its votes are not the same in both."""
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
        "github.com/microsoft/FERPlus for the votes, and FER2013 for the pictures: put fer2013.csv beside "
        "fer2013new.csv, or let the official script write the pictures into data/"
    ),
    classes=tuple(NativeClass(name, name, emotion) for name, emotion in _CLASSES),
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
            note="the same without test pictures that stand in another part as well",
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
            [code for code, _ in _CLASSES[:_FACES]],
            numbers,
            trust="code",
            source="the official majority mode applied to its votes",
            layout=layout,
        )
    ),
    quirks=(
        Quirk(
            "fer2013new.csv has no pixels: its row n is row n of fer2013.csv. The numbers in the picture "
            "names are not row numbers, because nameless rows are skipped.",
            "code",
            _MEASURED,
        ),
        Quirk(
            "173 rows have no picture name; all their votes say not a face, and they are left out.",
            "code",
            _MEASURED,
        ),
        Quirk(
            "Four picture names stand on two rows each: both rows are kept, the second with `#2`, and the "
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
            "otherwise the leading one is the label. Votes outside the protocol's classes do not count.",
            "code",
            _OFFICIAL_CODE,
        ),
        Quirk("Votes sum to ten, in one row to nine.", "code", _MEASURED),
        Quirk(
            "The pictures are FER2013's, of which MMAFEDB holds many: never counted as cross-dataset.",
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
        split: Its part.
        votes: Ten counts in the order of the card's classes.
        path: The picture, or the csv that holds it, relative to the base folder.
        frame: Row of that csv, -1 for a picture.
    """

    name: str
    split: SplitName
    votes: Floats
    path: str
    frame: int


class FERPlus(FaceDataset):
    """FERPlus from the official picture folders, or from its votes and FER2013's csv side by side.

    `label` is the class with the most votes; `variant` says whether it has the official majority
    (`majority`) or not (`plurality`), with `/repeated` where a test picture stands in another part as well.
    `votes` are those for the eight emotions; `targets` makes training targets of them.
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
    def _csv(self) -> str | None:
        return csv_inside(self.base)

    @cached_property
    def _table(self) -> Table:
        return read_csv(self.base / str(self._csv))

    @cached_property
    def _rows(self) -> dict[str, _Row]:
        """All rows that have a picture, by sample id."""
        if self._parts is not None and self.layout == _FOLDERS:
            found = self._from_folders(self._parts)
        elif self._csv is not None and (self.base / _VOTES_CSV).is_file():
            found = self._from_table()
        else:
            raise DataError(
                "there are votes but no pictures",
                file=self.base,
                hint="put FER2013's fer2013.csv beside fer2013new.csv; fer-bench data describe ferplus",
            )
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
        self.notes = []
        rows = self._rows
        repeated = repeated_tests(
            [self._digest(row) for row in rows.values()], [r.split for r in rows.values()]
        )
        dropped = 0
        for (sample_id, row), again in zip(rows.items(), repeated, strict=True):
            target = official_target(row.votes, "probability")
            if target is None:
                dropped += 1
                continue
            code = _CLASSES[int(np.argmax(target))][0]
            agreed = official_target(row.votes, "majority") is not None
            votes = np.zeros(len(Emotion), np.float32)
            votes[_PLACES] = row.votes[:_FACES]
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
        """Return training targets for the rows of the index, see `FaceDataset.targets`.

        Args:
            kind: `probability`: the official distribution over at most three leading emotions (the official
                mode `crossentropy` trains on it, mode `probability` draws from it); `votes`: the shares of
                all votes for emotions.
        """
        rows = self._rows
        targets = np.zeros((len(self.index), len(Emotion)), np.float32)
        for place, sample_id in enumerate(self.index["sample_id"]):
            votes = rows[sample_id].votes
            found = votes[:_FACES] if kind == "votes" else official_target(votes, kind)
            if found is not None:
                targets[place, _PLACES] = found / found.sum()
        return targets

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Return pictures of FER2013's csv, or of the picture folders; arguments as of FER2013."""
        if path != self._csv:
            return super().load(path, frames)
        return pictures_of(self._table, frames, self.base / path)

    def _digest(self, row: _Row) -> bytes:
        if row.frame >= 0:
            return hashlib.sha256(self._table.pixels[row.frame]).digest()
        return digest_of_file(self.base / row.path)

    def _from_table(self) -> list[_Row]:
        """Join the votes with FER2013's csv by row number."""
        file, table = self.base / _VOTES_CSV, self._table
        lines = numbered_lines(file)
        header = [name.strip() for name in next(csv.reader([next(lines)[1]]))]
        if header != list(_COLUMNS):
            raise DataError(
                f"the header is not {','.join(_COLUMNS)}", file=file, line=1, value=header, hint=_HINT
            )
        rows: list[_Row] = []
        nameless = at = 0
        for at, (number, line) in enumerate(lines, start=1):
            fields = [field.strip() for field in line.split(",")]
            if at <= len(table.splits) and not table.codes[at - 1]:
                continue  # the csv's row is malformed, which was said
            try:
                if len(fields) != len(_COLUMNS):
                    raise _wrong(f"a row has {len(_COLUMNS)} fields", file, number, f"{len(fields)} fields")
                split = _USAGES.get(fields[0])
                if split is None:
                    raise _wrong(f"the usage is not one of {', '.join(_USAGES)}", file, number, fields[0])
                votes = _votes(fields[2:], file, number)
            except DataError as error:
                raise_or_collect(error)
                continue
            if at > len(table.splits) or table.splits[at - 1] != split:
                raise _wrong(
                    f"row {at} of the votes is not row {at} of {self._csv}, so the two files do not belong "
                    "together",
                    file,
                    number,
                    fields[0],
                )
            if not fields[1]:
                nameless += 1
                continue
            rows.append(_Row(Path(fields[1]).stem, split, votes, str(self._csv), at - 1))
        if at != len(table.splits):
            raise DataError(
                f"the votes have {at} rows and {self._csv} has {len(table.splits)}", file=file, hint=_HINT
            )
        if not rows:
            raise DataError("no row of votes has a picture name", file=file, hint=_HINT)
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
            for number, line in numbered_lines(file):
                fields = [field.strip() for field in next(csv.reader([line]))]
                try:
                    if len(fields) != 2 + len(_CLASSES):
                        problem = "a row is a picture name, a box and ten votes"
                        raise _wrong(problem, file, number, f"{len(fields)} fields")
                    refuse_leaving(fields[0], file=file, line=number)
                    votes = _votes(fields[2:], file, number)
                    if not pictures.has(fields[0], file=file, line=number):
                        missing.append((number, fields[0]))
                        continue  # pixels tell which faces are alike, and it has none
                except DataError as error:
                    raise_or_collect(error)
                    continue
                rows.append(_Row(Path(fields[0]).stem, split, votes, f"{inner}/{fields[0]}", -1))
            refuse_missing(missing, file=file, folder=pictures.folder, dataset=self.card.name)
        return rows


def official_target(votes: Floats, kind: Literal["majority", "probability"]) -> Floats | None:
    """Return the official training target of one picture (microsoft/FERPlus: src/ferplus.py).

    Counts of one are taken for slips and set to zero. `majority` then wants one class with more than half of
    what is left. `probability` collects the classes in the order of their counts, ties together, until they
    have three quarters of what is left or are three; unknown and not a face end the collection and count
    only where nothing stands before them. More than three classes, or half of the votes or less, are dropped.

    Args:
        votes: Ten counts in the order of the card's classes.
        kind: The official mode.

    Returns:
        Shares of the eight emotions that sum to one, or None when the picture is dropped.
    """
    left = np.where(votes > 1, votes, 0.0)
    total = left.sum()
    kept = np.zeros_like(left)
    if kind == "majority":
        winner = int(np.argmax(left))
        if left[winner] > 0.5 * total:
            kept[winner] = left[winner]
    else:
        collected = count = 0
        open_ended = True
        while collected < 0.75 * total and count < 3 and open_ended:
            most = left.max()
            for place in np.flatnonzero(left == most):
                collected += most
                left[place] = 0.0
                if place >= _FACES:
                    open_ended = False
                    if not kept.any():
                        kept[place] = most
                        count += 1
                    break
                kept[place] = most
                count += 1
        if count > 3:
            return None
    if kept.sum() <= 0.5 * total or int(np.argmax(kept)) >= _FACES:
        return None
    emotions = kept[:_FACES]
    return np.asarray(emotions / emotions.sum(), np.float64)


def _parts_of(folder: Path) -> Path | None:
    """Return the folder that holds the three parts with their label lists, None without one."""
    for place in (folder / "data", folder):
        if all((place / part / "label.csv").is_file() for part in _PARTS):
            return place
    return None


def _has_pictures(parts: Path) -> bool:
    return any(next((parts / part).glob("*.png"), None) is not None for part in _PARTS)


def _votes(fields: Sequence[str], file: Path, number: int) -> Floats:
    """Return ten counts of votes."""
    for field in fields:
        if not (field.isascii() and field.isdigit() and int(field) <= 10):
            raise _wrong("a count of votes is not an integer from 0 to 10", file, number, field)
    return np.array(fields, np.float64)


def _wrong(problem: str, file: Path, number: int, value: object) -> DataError:
    return DataError(problem, file=file, line=number, value=value, hint=_HINT)
