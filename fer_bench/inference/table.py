"""Predictions as a table: a row per face, and a row with a reason for what has no face or cannot be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.crops.faces import Face
from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import DataError, UsageError, one_line
from fer_bench.files import write_atomic
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.face_model import Answers

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""The five landmarks; left is left in the picture."""
LANDMARKS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
ENDINGS = (".csv", ".parquet", ".json", ".jsonl")
"""Endings of files that tables are written to."""
PROBABILITY = "p_"
"""How columns of class probabilities begin."""
FEATURE = "feature_"
"""How columns of features begin."""
DIGITS = 6
"""Digits after the point of probabilities and other answers."""
_WHOLE = ("frame", "face")
_TEXT = ("file", "predicted", "reason")


def columns_of(card: DeploymentCard) -> list[str]:
    """Return the columns of a model's predictions.

    `file`; `frame` and `time` in seconds, missing for pictures; `face`, counted from 0 within a picture;
    `box_*` and the landmarks in pixels; `detector_score`; `predicted`; `p_<class>`; `valence` and `arousal`
    in [-1, 1]; `au_<n>`, the probability of an action unit; `abstained`; `reason`. Features, where they were
    asked for, follow as `feature_<n>`.
    """
    affect = ("valence", "arousal") if card.has_va else ()
    units = tuple(f"au_{unit}" for unit in ACTION_UNITS) if card.has_au else ()
    classes = tuple(f"{PROBABILITY}{name}" for name in card.classes)
    where = ("file", "frame", "time", "face", *BOX, *LANDMARKS, "detector_score")
    return [*where, "predicted", *classes, *affect, *units, "abstained", "reason"]


Row = dict[str, Any]
"""A row by column; what is not there is missing."""


def face_row(
    card: DeploymentCard,
    place: Row,
    number: int,
    face: Face | None,
    answers: Answers,
    at: int,
    *,
    abstain_below: float = 0.0,
    note: str | None = None,
) -> Row:
    """Return the row of a face.

    Args:
        card: The model's card.
        place: `file`, and `frame` and `time` of a video.
        number: Number of the face in its picture.
        face: Where it is; None where the picture was taken as a crop.
        answers: Answers of a batch.
        at: Position of the face in the batch.
        abstain_below: Top probability below which an answer is marked as abstained.
        note: What a reader should know of its picture.
    """
    row: Row = {**place, "face": number, "reason": note}
    if face is not None:
        row |= dict(zip(BOX, np.round(face.box, 2).tolist(), strict=True))
        if face.landmarks is not None:
            row |= dict(zip(LANDMARKS, np.round(face.landmarks, 2).reshape(-1).tolist(), strict=True))
        row["detector_score"] = face.score
    shares = card.probabilities(answers.logits[at : at + 1])[0]
    top = int(shares.argmax())
    row["predicted"] = card.classes[top]
    row |= {
        f"{PROBABILITY}{name}": round(float(p), DIGITS) for name, p in zip(card.classes, shares, strict=True)
    }
    if answers.va is not None and card.has_va:
        valence, arousal = np.round(answers.va[at].astype(np.float64), DIGITS).tolist()
        row |= {"valence": valence, "arousal": arousal}
    if answers.au is not None and card.has_au:
        chances = 1 / (1 + np.exp(-answers.au[at].astype(np.float64)))
        row |= {f"au_{u}": round(float(p), DIGITS) for u, p in zip(ACTION_UNITS, chances, strict=True)}
    if answers.features is not None:
        values = np.round(answers.features[at].astype(np.float64), DIGITS).tolist()
        row |= {f"{FEATURE}{n}": value for n, value in enumerate(values)}
    row["abstained"] = bool(shares[top] < abstain_below)
    if row["abstained"]:
        why = f"top probability {shares[top]:.3f} is below {abstain_below:g}"
        row["reason"] = why if note is None else f"{why}; {note}"
    return row


def reason_row(place: Row, reason: str) -> Row:
    """Return the row of something without a face."""
    return {**place, "abstained": False, "reason": one_line(reason)}


def as_table(card: DeploymentCard, rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as a table, see `columns_of`."""
    features = next(([name for name in row if name.startswith(FEATURE)] for row in rows if "face" in row), [])
    return typed(pd.DataFrame(list(rows), columns=[*columns_of(card), *features]))


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the types of its columns, whatever a file kept of them."""
    types: dict[str, Any] = {}
    for name in frame.columns:
        if name in _WHOLE:
            types[name] = "Int64"
        elif name in _TEXT:
            types[name] = "str"
        else:
            types[name] = "bool" if name == "abstained" else "float64"
    return frame.astype(types)


def shares_of(frame: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the probabilities [N, K] of a table; NaN in rows without a face."""
    return frame[[f"{PROBABILITY}{name}" for name in classes]].to_numpy(np.float64)


def check_ending(path: Path) -> None:
    """Refuse a file that no table is written to.

    Raises:
        UsageError: Its ending is not one of `ENDINGS`.
    """
    if path.suffix.casefold() not in ENDINGS:
        raise UsageError(
            "the format of the table follows the file's ending", value=str(path), hint=", ".join(ENDINGS)
        )


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, by the ending of the file.

    Raises:
        UsageError: An unknown ending.
        StoreError: The file cannot be written.
    """
    check_ending(path)
    ending = path.suffix.casefold()
    if ending == ".parquet":
        write_atomic(path, lambda place: frame.to_parquet(place, index=False))
    elif ending == ".csv":
        write_atomic(path, lambda place: frame.to_csv(place, index=False, lineterminator="\n"))
    else:
        text = as_json(frame, lines=ending == ".jsonl")
        write_atomic(path, lambda place: place.write_text(text, encoding="utf-8"))


def as_json(frame: pd.DataFrame, *, lines: bool = False) -> str:
    """Return a table as JSON: a list of objects, or an object a line."""
    return str(
        frame.to_json(
            None, orient="records", lines=lines, force_ascii=False, double_precision=10, indent=None
        )
    ) + ("" if lines else "\n")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of predictions that `write_table` wrote.

    Raises:
        UsageError: An unknown ending.
        DataError: The file is absent or not such a table.
    """
    ending = path.suffix.casefold()
    if ending not in ENDINGS:
        raise UsageError("not a file of predictions", value=str(path), hint=f"one of {', '.join(ENDINGS)}")
    try:
        if ending == ".parquet":
            frame = pd.read_parquet(path)
        elif ending == ".csv":
            frame = pd.read_csv(
                path, dtype=dict.fromkeys(_TEXT, "str"), keep_default_na=False, na_values=[""]
            )
        else:
            text = path.read_text(encoding="utf-8")
            rows = [json.loads(line) for line in text.splitlines() if line] if ending == ".jsonl" else None
            frame = pd.DataFrame(json.loads(text) if rows is None else rows)
        missing = {"file", "predicted", "abstained", "reason"} - set(frame.columns)
        if missing:
            raise ValueError(f"no column {', '.join(sorted(missing))}")
        return typed(frame)
    except FileNotFoundError:
        raise DataError("there is no such file of predictions", file=path) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"not a table of predictions: {one_line(error)}", file=path) from None
