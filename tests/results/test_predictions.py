import numpy as np
import pytest

from fer_bench.errors import StoreError
from fer_bench.results.predictions import (
    Predictions,
    PredictionsMeta,
    predictions_frame,
    read_predictions,
    write_predictions,
)

CLASSES = ("happiness", "anger")


def predictions(**changes):
    frame = predictions_frame(
        sample_ids=["a", "b", "c"],
        units=["s1", "s1", "s2"],
        labels=["happiness", None, "anger"],
        classes=CLASSES,
        logits=np.array([[1, 0], [0, 1], [0.5, 0.25]], np.float32),
    )
    meta = {
        "key": "k",
        "method": "gcn",
        "source": "oulu",
        "target": "mmi",
        "selection": "val",
        "checkpoint": "c",
        "card_version": 1,
        "fingerprint": "f",
        "pixels": "p",
        "recipe": "r",
        "classes": CLASSES,
    }
    return Predictions(frame, PredictionsMeta(**{**meta, **changes}))


def test_survive_a_round_trip_in_the_same_bytes(tmp_path):
    one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_predictions(one, predictions())
    write_predictions(two, predictions())
    assert one.read_bytes() == two.read_bytes()
    back = read_predictions(one)
    assert back.meta == predictions().meta
    assert back.logits.dtype == np.float32
    assert back.logits.tolist() == predictions().logits.tolist()
    assert back.frame["label"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda f: f.assign(sample_id=["a", "a", "c"]), "sample_id is repeated"),
        (lambda f: f.assign(label=["happiness", "joy", None]), "label is not an emotion"),
        (lambda f: f.assign(logit_anger=np.array([0, np.nan, 1], np.float32)), "not finite"),
        (lambda f: f.assign(logit_anger=np.array([0, 1, 1], np.float64)), "not float32"),
        (lambda f: f[["sample_id", "unit", "label", "logit_anger", "logit_happiness"]], "order"),
        (lambda f: f.drop(columns="unit"), "lack a column"),
        (lambda f: f.iloc[:0], "no row"),
    ],
)
def test_what_breaks_the_contract_is_refused(tmp_path, damage, word):
    good = predictions()
    with pytest.raises(StoreError, match=word):
        write_predictions(tmp_path / "p.parquet", Predictions(damage(good.frame), good.meta))
    assert list(tmp_path.iterdir()) == []


def test_refusal_names_row_and_value(tmp_path):
    good = predictions()
    bad = Predictions(good.frame.assign(label=["happiness", "anger", "joy"]), good.meta)
    with pytest.raises(StoreError, match=r"line 3: label is not an emotion \(found 'joy'\)"):
        write_predictions(tmp_path / "p.parquet", bad)


def test_other_files_are_no_predictions(tmp_path):
    path = tmp_path / "p.parquet"
    path.write_text("not a parquet")
    with pytest.raises(StoreError, match="not a readable parquet"):
        read_predictions(path)
    with pytest.raises(StoreError, match="do not exist"):
        read_predictions(tmp_path / "absent.parquet")
    good = predictions()
    good.frame.to_parquet(path)
    with pytest.raises(StoreError, match="metadata"):
        read_predictions(path)
