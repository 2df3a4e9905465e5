from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import StoreError
from fer_bench.results.predictions import (
    Predictions,
    read_predictions,
    validate_predictions,
    write_predictions,
)

TWO = ["neutral", "happiness"]
FILE = Path("x.parquet")


@pytest.fixture
def good(make):
    return make(TWO, ["neutral", "happiness", None], np.zeros((3, 2)))


@pytest.fixture
def check(good):
    return lambda frame: validate_predictions(Predictions(frame, good.meta), FILE)


@pytest.fixture
def frame(good):
    frame = good.frame
    units = {f"au_{number}": np.float32(0) for number in ACTION_UNITS}
    units |= {f"au_{number}_true": np.array([1, 0, -1], np.int8) for number in ACTION_UNITS}
    return frame.assign(
        valence=np.float32(0.1),
        valence_true=np.float32([0.5, np.nan, -1]),
        arousal=np.float32(0.1),
        arousal_true=np.float32([0.5, np.nan, -1]),
        **units,
    )


def test_a_whole_frame_passes(check, frame):
    check(frame)
    check(frame.assign(label=None))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("valence", ["a", "b", "c"], "valence is not float32"),
        ("valence", [0.0, 0.5, 0.0], "valence is not float32 (found 'float64')"),
        ("valence", np.float32([0.0, np.nan, 0.0]), "line 2: valence is not finite"),
        ("valence_true", np.float32([0.0, 0.0, 1.5]), "line 3: valence_true is outside [-1, 1] (found 1.5)"),
        ("valence_true", np.float32([0.0, 0.0, np.inf]), "line 3: valence_true is outside"),
        ("au_12", np.float32([np.inf, 0.0, 0.0]), "line 1: au_12 is not finite"),
        ("au_12_true", np.array([0, 2, 1], np.int8), "line 2: au_12_true is not -1, 0 or 1 (found 2)"),
        ("au_12_true", [True, False, True], "au_12_true is not int8 (found 'bool')"),
        ("au_12_true", [0, 1, 1], "au_12_true is not int8 (found 'int64')"),
    ],
)
def test_wrong_types_and_values_are_refused_with_the_row(check, frame, column, values, message):
    with pytest.raises(StoreError) as error:
        check(frame.assign(**{column: values}))
    assert message in str(error.value)


@pytest.mark.parametrize("column", ["valence", "valence_true", "au_12", "au_12_true"])
def test_half_a_pair_is_refused(check, frame, column):
    with pytest.raises(StoreError, match="lack a column"):
        check(frame.drop(columns=column))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("sample_id", [1, 2, 3], "sample_id is not text (found 'int64')"),
        ("unit", [1.0, 2.0, 3.0], "unit is not text"),
        ("label", [0, 1, 2], "label is not text"),
        ("label", [np.nan] * 3, "label is not text (found 'float64')"),
        ("label", np.array(["neutral", 1, None], object), "label is not text (found 'object')"),
        ("label", pd.Categorical(["neutral", "happiness", None]), "label is not text (found 'category')"),
        ("unit", pd.Categorical(["a", "b", "a"]), "unit is not text (found 'category')"),
    ],
)
def test_what_is_no_plain_text_is_refused(make, column, values, message):
    good = make(TWO, ["neutral", "happiness", None], np.zeros((3, 2)))
    validate_predictions(good, FILE)
    with pytest.raises(StoreError) as error:
        validate_predictions(Predictions(good.frame.assign(**{column: values}), good.meta), FILE)
    assert message in str(error.value)


def test_a_dictionary_in_the_file_is_refused_and_no_label_at_all_is_not(make, tmp_path):
    path = tmp_path / "p.parquet"
    write_predictions(path, make(TWO, [None] * 3, np.zeros((3, 2))))
    assert read_predictions(path).frame["label"].isna().all()
    write_predictions(path, make(TWO, ["neutral", "happiness", None], np.zeros((3, 2))))
    table = pq.read_table(path)
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, "label", table["label"].dictionary_encode()), path)
    assert pa.types.is_dictionary(pq.read_table(path).schema.field("label").type)
    with pytest.raises(StoreError, match="label is not text"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "at least two classes"),
        (["neutral"], "at least two classes"),
        (["neutral", "joy"], "a class is not an emotion"),
        (["neutral", "neutral"], "a class is named twice"),
    ],
)
def test_classes_that_are_none_are_refused(make, classes, message):
    predictions = make(classes, ["neutral"] * 3, np.zeros((3, len(classes))))
    with pytest.raises(StoreError, match=message):
        validate_predictions(predictions, FILE)
