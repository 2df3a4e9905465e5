"""RAF-DB as public copies lay it out: aligned faces in `train/1` to `test/7`, with or without csv lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fer_bench.data.card import Card
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import list_folder
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.missing import refuse_missing
from fer_bench.data.reading.parsing import csv_fields, parse_line
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import matching, some_files
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError

_CODES = "1234567"
_SPLITS = ("train", "test")
_NAME = rf"((train|test)_\d+)_aligned{ENDING}"
NOTE = (
    "repackaged: a public copy in class folders is read; its names and folders keep the official split and "
    "labels, while originals, landmarks and attributes are lost"
)


def has_class_folders(folder: Path) -> bool:
    """Return whether a folder has both parts, each with the seven numbered class folders."""
    return all((folder / split / code).is_dir() for split in _SPLITS for code in _CODES)


def locate_repackaged(folder: Path) -> Path | None:
    """Return the folder of a copy with official file names: the given one or `DATASET` in it."""
    for base in (folder, folder / "DATASET"):
        if has_class_folders(base) and all(
            any(re.fullmatch(_NAME, name) for code in _CODES for name in some_files(base / split / code))
            for split in _SPLITS
        ):
            return base
    return None


def repackaged_rows(base: Path, card: Card) -> Iterator[Mapping[str, Any]]:
    """Yield one index row per picture.

    Args:
        base: What `locate_repackaged` returned.
        card: RAF-DB's card.

    Raises:
        DataError: A picture is not in the folder of its part or in two classes, or the csv lists differ.
    """
    place_of: dict[str, str] = {}
    for split in _SPLITS:
        for code in _CODES:
            folder = base / split / code
            official = {match.string for match in matching(folder, base, _NAME)}
            strange = sorted(list_folder(folder, base).files - official)
            if strange:
                problem = f"{len(strange)} files are not named as in the release: a changed or enlarged copy"
                raise_or_collect(DataError(problem, file=folder, value=strange[0]), rows=len(strange))
            for match in matching(folder, base, _NAME):
                if match[2] != split:
                    problem = f"a {match[2]} picture is in {split}, so the copy has another split"
                    raise_or_collect(DataError(problem, file=folder / match.string))
                    continue
                if match[1] in place_of:
                    problem = f"the picture is in {place_of[match[1]]} already"
                    raise_or_collect(DataError(problem, file=folder / match.string))
                    continue
                place_of[match[1]] = f"{split}/{code}"
                yield {
                    "sample_id": match[1],
                    "path": f"{split}/{code}/{match.string}",
                    "native_label": code,
                    "label": card.emotion_of(code),
                    "split": split,
                }
    for split in _SPLITS:
        for file in (base / f"{split}_labels.csv", base.parent / f"{split}_labels.csv"):
            note_read(file)
            if file.is_file():
                _compare(file, base, card, place_of)
                break


def _compare(file: Path, base: Path, card: Card, place_of: Mapping[str, str]) -> None:
    """Check a list with lines `train_00001_aligned.jpg,5` against the class folders."""
    missing: list[tuple[int, str]] = []
    split = file.name.partition("_")[0]
    for line, text in numbered_lines(file):
        stem, code = parse_line(_parse, text, file=file, line=line) or ("", "")
        if not stem:
            continue  # the header
        place = place_of.get(stem)
        if place is None:
            missing.append((line, f"{split}/{code}/{stem}_aligned.jpg"))
        elif place != f"{split}/{code}":
            problem = f"the list says class {code} and the picture is in {place}"
            raise_or_collect(DataError(problem, file=file, line=line, value=stem))
    refuse_missing(missing, file=file, folder=base, dataset=card.name)


def _parse(text: str) -> tuple[str, str] | None:
    name, _, code = ",".join(csv_fields(text)).rpartition(",")
    if name == "image":
        return None
    match = re.fullmatch(_NAME, name)
    if match is None or len(code) != 1 or code not in _CODES:
        raise DataError("a line is `train_<number>_aligned.jpg,<code from 1 to 7>`", value=text)
    return match[1], code
