from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import StoreError
from fer_bench.evaluation.stored import check_types

SEVEN = ["neutral", "happiness"]
FILE = Path("x.parquet")


@pytest.fixture
def frame(make):
    frame = make(SEVEN, ["neutral", "happiness", None], np.zeros((3, 2))).frame
    units = {f"au_{number}": np.float32(0) for number in ACTION_UNITS}
    units |= {f"au_{number}_true": np.array([1, 0, -1], np.int8) for number in ACTION_UNITS}
    return frame.assign(
        valence=np.float32(0.1),
        valence_true=np.float32([0.5, np.nan, -1]),
        arousal=np.float32(0.1),
        arousal_true=np.float32([0.5, np.nan, -1]),
        **units,
    )


def test_a_whole_frame_passes(frame):
    check_types(frame, FILE)
    check_types(frame.assign(label=None), FILE)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("sample_id", [1, 2, 3], "sample_id is not text (found 'int64')"),
        ("unit", [1.0, 2.0, 3.0], "unit is not text"),
        ("label", [0, 1, 2], "label is not text"),
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
def test_wrong_types_and_values_are_refused_with_the_row(frame, column, values, message):
    with pytest.raises(StoreError) as error:
        check_types(frame.assign(**{column: values}), FILE)
    assert message in str(error.value)


@pytest.mark.parametrize("column", ["valence", "valence_true", "au_12", "au_12_true"])
def test_half_a_pair_is_refused(frame, column):
    with pytest.raises(StoreError, match="lack a column"):
        check_types(frame.drop(columns=column), FILE)
