"""Rows of faces and reasons, and that every format gives back what it was given."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

from fer_bench.data.crops.faces import Face
from fer_bench.errors import DataError, UsageError
from fer_bench.inference.table import (
    LANDMARKS,
    as_table,
    columns_of,
    face_row,
    read_table,
    reason_row,
    shares_of,
    write_table,
)
from tests.inference.models import CLASSES, Colours

CROPS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
FACE = Face((1.234, 2, 30, 40.5), np.arange(10, dtype=float).reshape(5, 2), 0.9876)


@pytest.fixture
def table():
    model = Colours(affect=True)
    answers = model.answer(CROPS)
    rows = [
        face_row(model.card, {"file": "a.jpg"}, 0, FACE, answers, 0),
        face_row(
            model.card, {"file": 'é,"b".avi', "frame": 3, "time": 0.125}, 1, FACE, answers, 1, abstain_below=1
        ),
        face_row(model.card, {"file": "NA"}, 0, None, answers, 2, note="decodes only in part"),
        reason_row({"file": "c.jpg"}, "no face\nwas found"),
    ]
    return as_table(model.card, rows)


def test_a_row_says_all_of_a_face(table):
    model = Colours(affect=True)
    answers = model.answer(CROPS)
    assert list(table.columns) == columns_of(model.card)
    np.testing.assert_allclose(shares_of(table, CLASSES)[:3], softmax(answers.logits, axis=1), atol=1e-6)
    assert table["predicted"].tolist()[:3] == [CLASSES[i] for i in answers.logits.argmax(axis=1)]
    np.testing.assert_allclose(table[["valence", "arousal"]].to_numpy()[:3], answers.va, atol=1e-6)
    np.testing.assert_allclose(table["au_26"].to_numpy()[:3], expit(answers.au[:, 11]), atol=1e-6)
    assert table.loc[0, ["box_x0", "box_y1", "detector_score"]].tolist() == [1.23, 40.5, 0.9876]
    assert table.loc[0, list(LANDMARKS)].tolist() == list(range(10))
    assert table["abstained"].tolist() == [False, True, False, False]
    assert "is below 1" in table.loc[1, "reason"]
    assert table.loc[2, "reason"] == "decodes only in part"
    assert table.loc[3, "reason"] == "no face was found"
    assert table.loc[3].drop(["file", "abstained", "reason"]).isna().all()
    assert table.loc[2, ["box_x0", "left_eye_x", "detector_score"]].isna().all()


def test_columns_are_only_those_of_the_model():
    names = columns_of(Colours().card)
    assert not [name for name in names if name.startswith(("au_", "valence"))]
    assert [name for name in names if name.startswith("p_")] == [f"p_{name}" for name in CLASSES]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json", ".jsonl", ".CSV"])
def test_every_format_gives_it_back(table, tmp_path, ending):
    file = tmp_path / f"t{ending}"
    write_table(table, file)
    pd.testing.assert_frame_equal(read_table(file), table)
    empty = as_table(Colours(affect=True).card, [])
    write_table(empty, file)
    if ending not in (".json", ".jsonl"):  # which name no columns without rows
        pd.testing.assert_frame_equal(read_table(file), empty)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="follows the file's ending"):
        write_table(pd.DataFrame(), tmp_path / "t.xlsx")
    with pytest.raises(UsageError, match="not a file of predictions") as refused:
        read_table(tmp_path / "t.xlsx")
    assert ".parquet" in refused.value.hint
    with pytest.raises(DataError, match="no such file of predictions"):
        read_table(tmp_path / "absent.csv")
    for name, text in (
        ("a.csv", "file,label\n1,2\n"),
        ("b.parquet", "x"),
        ("c.json", "{"),
        ("d.jsonl", "[1"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="not a table of predictions"):
            read_table(tmp_path / name)
