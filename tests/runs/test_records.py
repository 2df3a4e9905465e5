from __future__ import annotations

import pytest

from fer_bench.evaluation.exposure import Seen, seen_before
from fer_bench.methods.cafe.method import CAFE
from fer_bench.methods.cafe.settings import CAFESettings
from fer_bench.methods.erm.method import ERM
from fer_bench.methods.erm.settings import ERMSettings
from fer_bench.methods.ssmfar.method import SSMFAR
from fer_bench.methods.ssmfar.settings import SSMFARSettings
from fer_bench.methods.weights import shipped
from fer_bench.results.record import GENERATOR, TargetData, TrainingData
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.records import loss_warnings, picture_notes, pretraining


def of(plan, **changes):
    return pretraining(plan(**changes))


@pytest.mark.parametrize(
    ("tower", "exposure"), [("clip-tiny", "in training"), ("clip-tiny-neutral", "unknown")]
)
def test_records_say_whether_the_tower_learned_drawn_labels(plan, tower, exposure):
    found = of(plan, method="cafe", overrides=(f"method.tower={tower}",))
    assert found["tower"].of(GENERATOR) == exposure
    assert "drawn faces" in found["tower"].text


def test_the_hash_tells_the_tower_under_any_name(plan, tmp_path):
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(shipped("clip-tiny").file.read_bytes())
    found = of(
        plan,
        method="cafe",
        overrides=(f"method.clip_weights={copy}", "method.clip_trained_on=my own pictures"),
    )
    assert found["tower"] == TrainingData(text="my own pictures", exposure={GENERATOR: "in training"})


def test_datasets_that_the_user_names_were_seen(plan):
    changes = ("method.weights=clip-tiny-neutral", "method.weights_trained_on=AffectNet-8 and then RAF-DB")
    found = of(plan, method="ssmfar", overrides=changes)
    assert found["backbone"].exposure == {"affectnet7": "in training", "rafdb": "in training"}
    assert of(plan, method="ssmfar", overrides=())["backbone"].exposure == {}
    assert of(plan, method="gcn", overrides=())["generator"].exposure == {}
    without = ("method.generator_weights=null",)
    assert of(plan, method="gcn", overrides=without) == of(plan, method="erm", overrides=()) == {}


@pytest.mark.parametrize("mask", ["none", "sigmoid", "alone"])
def test_the_parts_are_those_with_weights(mask):
    settings = CAFESettings(
        tower="clip-tiny", backbone="narrow", size=64, mask=mask, mask_weights="clip-tiny-neutral"
    )
    assert CAFE.pretraining(settings).keys() == CAFE.weights(settings).keys()
    ssmfar = SSMFARSettings(backbone="narrow", weights="clip-tiny-neutral")
    assert SSMFAR.pretraining(ssmfar).keys() == SSMFAR.weights(ssmfar).keys() == {"backbone"}
    erm = ERMSettings(backbone="narrow", mode="fine-tune", size=64, weights="clip-tiny")
    assert ERM.pretraining(erm).keys() == ERM.weights(erm).keys() == {"backbone"}


def test_a_run_stores_what_its_tower_saw(plan, workspace, tmp_path):
    planned = plan(method="cafe", overrides=("train.epoch_rows=32",), max_epochs=1)
    record = execute(planned, Store(tmp_path), workspace)
    assert record.pretrained["tower"].exposure == {GENERATOR: "in training"}
    assert seen_before(record, "rafdb") == Seen("labels", "its tower saw this generator's expression labels")


def test_a_loss_that_is_0_over_whole_epochs_is_a_warning(tmp_path):
    history = tmp_path / "metrics.csv"
    history.write_text(
        "epoch,train/dead,train/late,train/small,val/uar\n0,0.0,0.0,1e-9,0.0\n1,0.0,0.2,1e-9,0.0\n"
    )
    assert list(loss_warnings(history)) == [
        "train/dead was 0 in every epoch",
        "train/late was 0 in some epochs",
    ]


def test_the_record_of_a_run_names_its_idle_loss(plan, workspace, tmp_path):
    planned = plan(method="gcn", overrides=("method.margin=1e-6", "train.max_epochs=1"))
    record = execute(planned, Store(tmp_path), workspace)
    assert "train/contrastive was 0 in every epoch" in record.warnings


def test_no_face_is_told_from_one_that_the_weak_cascade_found():
    common = {"fingerprint": "f", "pixels": "p", "card_version": 1, "protocol": "p"}
    searched = TargetData(recipe="detect by MTCNN", faces_weak=0.02, faces_missed=0.02, **common)
    cascade = TargetData(recipe="detect by cascade", faces_weak=0.5, faces_missed=0.1, **common)
    assert picture_notes(
        {"expw": searched, "mmi": cascade, "oulu": TargetData(recipe="whole", **common)}
    ) == [
        "expw: no face was found in 2.0% of the scored pictures, so their central square was cut "
        "(detect by MTCNN)",
        "mmi: no face was found in 10.0% of the scored pictures, so their central square was cut "
        "(detect by cascade)",
        "mmi: 40.0% of the scored faces were found by the weak cascade (detect by cascade)",
    ]
