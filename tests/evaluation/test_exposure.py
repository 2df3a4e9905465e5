from __future__ import annotations

import pytest

from fer_bench.evaluation.exposure import Seen, seen_before
from fer_bench.results.record import GENERATOR, SAW_GENERATOR, Record, TrainingData


def record(dataset="rafdb", kind="real", **fields):
    values = {
        "status": "done",
        "key": "k",
        "method": "cafe",
        "dataset": dataset,
        "protocol": "p",
        "fold": 1,
        "folds": 1,
        "seed": 0,
        "profile": "paper",
        "data_kind": kind,
        "classes": ("happiness", "sadness"),
        "settings": {},
        "key_fields": {},
    }
    return Record.model_validate(values | fields)


def pretrained(**exposure):
    return {"backbone": TrainingData(text="faces", exposure={"affectnet7": "in training", **exposure})}


def test_labels_of_pretraining_count_in_domain_and_elsewhere():
    run = record(pretrained=pretrained(oulu="unseen"))
    seen = Seen("labels", "its backbone was trained on affectnet7")
    assert seen_before(run, "affectnet7") == seen
    assert seen_before(record("affectnet7", pretrained=pretrained()), "affectnet7") == seen
    assert seen_before(record("oulu+rafdb", pretrained=pretrained()), "affectnet7+oulu") == seen
    assert seen_before(run, "oulu") is seen_before(run, "rafdb") is seen_before(run, "mmi") is None
    assert seen_before(record(), "affectnet7") is None


def test_labels_weigh_more_than_pictures():
    both = pretrained(oulu="seen the pictures")
    assert seen_before(record(pretrained=both), "oulu") == Seen(
        "pictures", "its backbone saw pictures of oulu"
    )
    assert seen_before(record(pretrained=both), "oulu+affectnet7").what == "labels"
    other = {"tower": TrainingData(text="", exposure={"oulu": "in training"})}
    assert seen_before(record(pretrained={**both, **other}), "oulu") == Seen(
        "labels", "its tower was trained on oulu"
    )


def test_copies_of_what_was_trained_on_were_seen():
    known = {"backbone": TrainingData(text="", exposure={"ferplus": "in training"})}
    assert seen_before(record(pretrained=known), "fer2013") == Seen(
        "pictures", "its backbone was trained on ferplus, which fer2013 holds pictures of"
    )
    apart = {"backbone": TrainingData(text="", exposure={"ferplus": "in training", "fer2013": "unseen"})}
    assert seen_before(record(pretrained=apart), "fer2013") is None
    for source in ("ferplus", "ferplus+rafdb"):
        assert seen_before(record(source), "fer2013") == Seen(
            "pictures", "fer2013 holds pictures of ferplus, which was trained on"
        )
        assert seen_before(record(source), "ferplus") is None  # its protocol keeps the test rows apart


def test_an_outside_model_saw_what_its_card_says():
    card = TrainingData(
        text="AffectNet",
        exposure={"affectnet7": "in training", "expw": "seen the pictures", "mmi": "unknown"},
    )
    run = record("outside", training_data=card)
    assert seen_before(run, "affectnet7") == Seen("labels", "it was trained on affectnet7")
    assert seen_before(run, "expw") == Seen("pictures", "it saw pictures of expw")
    assert seen_before(run, "mmi") is seen_before(run, "rafdb") is None


def test_on_drawn_faces_the_labels_of_their_generator_count_and_photographs_do_not():
    tower = {"tower": TrainingData(text="drawn faces", exposure={GENERATOR: "in training"})}
    drawn = record(kind="synthetic", pretrained=tower)
    seen = Seen("labels", "its tower saw this generator's expression labels")
    assert {seen_before(drawn, name) for name in ("rafdb", "oulu", "affectnet7")} == {seen}
    assert seen_before(record(pretrained=tower), "rafdb") is None
    assert seen_before(record(kind="synthetic", pretrained=pretrained()), "affectnet7") is None


@pytest.mark.parametrize(("kind", "what"), [("synthetic", "labels"), ("real", None)])
def test_older_records_say_it_in_a_warning(kind, what):
    seen = seen_before(record(kind=kind, warnings=(f"{SAW_GENERATOR}: clip-tiny",)), "oulu")
    assert (seen and seen.what) == what


def test_a_target_without_a_card_was_not_seen():
    assert seen_before(record(pretrained=pretrained()), "somebody-elses") is None


@pytest.mark.parametrize("kind", ["real", "synthetic"])
def test_who_sees_an_enrolled_picture_is_apart_everywhere(kind):
    enrolled = record(kind=kind, settings={"method": {"reference": "enrolled"}})
    for target in ("rafdb", "oulu", "oulu+rafdb"):
        assert "real neutral picture" in seen_before(enrolled, target).reason
    assert seen_before(record(kind=kind, settings={"method": {"reference": "generated"}}), "oulu") is None
