"""Files of predictions for drift: what predict wrote and what a store holds; and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from fer_bench.errors import DataError, UsageError
from fer_bench.inference.monitor import monitor, read_side
from fer_bench.inference.table import columns_of, typed, write_table
from fer_bench.results.predictions import write_predictions
from tests.evaluation.conftest import make
from tests.evaluation.test_drift import observed
from tests.inference.test_onnx_model import CARD

__all__ = ["make"]
TABLE_CARD = CARD.model_copy(update={"classes": ("happiness", "anger", "fear")})


def table(seed=0, *, files=40, **more):
    """Return a table as predict writes it: faces of several frames per file, and files without a face."""
    given = observed(seed, units=files, faces=4, **more)
    rows = []
    for number, (unit, p) in enumerate(zip(given.units, given.probabilities, strict=True)):
        row = {"file": unit, "frame": number % 4, "time": float(number % 4), "face": 0, "abstained": False}
        row |= dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), (10, 10, 90, 110), strict=True))
        row |= {f"p_{name}": value for name, value in zip(given.classes, p, strict=True)}
        row |= {"detector_score": given.values["detector score"][number]}
        rows.append(row | {"predicted": given.classes[p.argmax()]})
    rows += [
        {"file": name, "abstained": False, "reason": "no face was found"} for name in sorted(given.faceless)
    ]
    return typed(pd.DataFrame(rows, columns=columns_of(TABLE_CARD)))


@pytest.mark.parametrize("ending", ["csv", "parquet", "json", "jsonl"])
def test_all_files_that_predict_writes_say_the_same(ending, tmp_path):
    write_table(table(faceless=3), tmp_path / "old.csv")
    write_table(table(faceless=3), file := tmp_path / f"new.{ending}")
    wanted, found = read_side(tmp_path / "old.csv").observed, read_side(file).observed
    assert found.classes == wanted.classes == ("happiness", "anger", "fear")
    assert (found.units == wanted.units).all()
    assert found.probabilities == pytest.approx(wanted.probabilities, abs=1e-5)
    assert found.values.keys() == {"detector score", "side of the face, pixels"}
    assert found.values["side of the face, pixels"] == pytest.approx(np.sqrt(80 * 100))
    assert len(found.faceless) == 3
    assert not monitor(tmp_path / "old.csv", file).drift.drifted


def test_drift_is_seen_and_said_and_timed(tmp_path):
    write_table(table(0), tmp_path / "old.csv")
    write_table(table(1, shift=2.0), tmp_path / "new.csv")
    found = monitor(tmp_path / "old.csv", tmp_path / "new.csv")
    assert "class shares" in [one.name for one in found.drift.alarms]
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["drift"] is True
    assert set(document["seconds"]) == {"read old", "read new", "compare"}
    assert document["units"] == {"kind": "files", "old": 40, "new": 40}


def test_pieces_of_videos_count_where_wished(tmp_path):
    write_table(table(0, files=10), tmp_path / "old.csv")
    whole, pieces = read_side(tmp_path / "old.csv"), read_side(tmp_path / "old.csv", block=2.0)
    assert (whole.observed.count, pieces.observed.count) == (10, 20)


def test_predictions_of_a_store_are_compared_by_unit(make, tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("old", 0.0), ("new", 3.0)):
        logits = rng.normal(0, 1, (300, 3)) + np.array([shift, 0, 0])
        units = [f"{name}{i // 5}" for i in range(300)]
        write_predictions(
            tmp_path / f"{name}.parquet", make(("happiness", "anger", "fear"), [None] * 300, logits, units)
        )
    found = monitor(tmp_path / "old.parquet", tmp_path / "new.parquet")
    assert found.drift.drifted
    assert (found.old.observed.count, found.new.observed.count) == (60, 60)


def test_another_model_or_way_of_finding_faces_is_noted(tmp_path):
    for seed, name in ((0, "old"), (1, "new")):
        write_table(table(seed), file := tmp_path / f"{name}.csv")
        call = {"model": "m", "weights": name, "faces": f"{name} way", "every": "1"}
        file.with_name(f"{file.name}.call.json").write_text(json.dumps({"call": call, "files": {}}))
    notes = " ".join(monitor(tmp_path / "old.csv", tmp_path / "new.csv").notes)
    assert "the model is a different one (weights)" in notes
    assert "faces was old way and is new way" in notes
    again = monitor(tmp_path / "old.csv", tmp_path / "old.csv")
    assert any("40 files have the same name" in note for note in again.notes)


def test_what_is_no_table_of_predictions_is_refused(tmp_path):
    good = tmp_path / "good.csv"
    write_table(table(), good)
    with pytest.raises(DataError, match="no such file"):
        monitor(good, tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="not a file of predictions"):
        monitor(good, tmp_path / "new.txt")
    (tmp_path / "text.csv").write_text("file,predicted,abstained,reason\na.jpg,fear,False,\n")
    with pytest.raises(DataError, match="no class probabilities"):
        monitor(good, tmp_path / "text.csv")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match="not a table of predictions"):
        monitor(good, tmp_path / "damaged.parquet")
    bad = table()
    bad.loc[5, "p_fear"] = 0.9 + bad.loc[5, "p_fear"]
    write_table(bad, tmp_path / "bad.csv")
    with pytest.raises(DataError, match="do not sum to one") as found:
        monitor(good, tmp_path / "bad.csv")
    assert found.value.line == 6
    empty = table(files=2, faceless=4)
    write_table(empty[empty["predicted"].isna()], tmp_path / "empty.csv")
    with pytest.raises(DataError, match="holds no face"):
        monitor(good, tmp_path / "empty.csv")
