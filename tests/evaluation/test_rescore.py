from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fer_bench.emotions import LABEL_SETS
from fer_bench.evaluation import rescore as module
from fer_bench.evaluation.estimates import answers
from fer_bench.evaluation.rescore import MANIFEST, rescore
from fer_bench.evaluation.scoring import outdated_metrics, score_predictions
from fer_bench.provenance import closure
from fer_bench.results.predictions import read_predictions, write_predictions
from fer_bench.results.record import Chosen, Record, TargetData
from fer_bench.results.store import Store

SEVEN = [e.value for e in LABEL_SETS["7"]]


@pytest.fixture
def store(tmp_path, make):
    store = Store(tmp_path / "runs")
    for number in range(3):
        key = f"key{number}"
        rng = np.random.default_rng(number)
        labels = rng.choice(SEVEN, 60)
        made = make(SEVEN, labels.tolist(), rng.normal(size=(60, 7)), source="rafdb", target="rafdb")
        predictions = type(made)(made.frame, made.meta.model_copy(update={"key": key}))
        run = store.run_dir("gcn", "rafdb", key)
        write_predictions(run.predictions_file("rafdb", "val"), predictions)
        score = score_predictions(predictions, target_emotions=SEVEN)
        record = Record(
            status="done",
            key=key,
            method="gcn",
            dataset="rafdb",
            protocol="7-official",
            fold=1,
            folds=1,
            seed=number,
            profile="quick",
            data_kind="synthetic",
            classes=tuple(SEVEN),
            settings={},
            key_fields={},
            selection={"val": Chosen(epoch=0, val_uar=0.1, checkpoint="c")},
            scores=(score,),
            targets={
                "rafdb": TargetData(
                    fingerprint="f", pixels="p", recipe="box 64", card_version=1, protocol="x"
                )
            },
        )
        run.write_record(record)
    return store


def run(store, number=0):
    return store.run_dir("gcn", "rafdb", f"key{number}")


def spoil(store, number=0, **changes):
    record = run(store, number).read_record()
    score = record.scores[0].model_copy(update=changes)
    run(store, number).write_record(record.model_copy(update={"scores": (score,)}))
    return record


def test_scores_of_older_code_are_replaced_and_the_rest_is_left_alone(store):
    good = spoil(store, 0, metrics={"uar": 0.99}, breakdown=None)
    untouched = run(store, 1).record_file.read_bytes()
    found = rescore(store)
    assert (found.count("scored"), sum(o.changed for o in found.runs), found.unchanged) == (3, 1, 0)
    assert run(store, 0).read_record() == good
    assert run(store, 1).record_file.read_bytes() == untouched


def test_a_store_scored_by_older_rules_is_scored_again(store):
    """Macro-F1 once left out classes that are answered and have no row."""
    file = run(store, 0).predictions_file("rafdb", "val")
    predictions = read_predictions(file)
    frame = predictions.frame.assign(label=predictions.frame["label"].replace("fear", "anger"))
    predictions = type(predictions)(frame, predictions.meta)
    write_predictions(file, predictions)
    score = score_predictions(predictions, target_emotions=SEVEN)
    now = score.metrics["macro_f1"]
    assert score.breakdown.per_class["fear"].f1 == 0
    before = score.metrics | {"macro_f1": now * 7 / 6}  # the mean over the six classes that have a row
    spoil(store, 0, **{**dict(score), "metrics": before})
    given = answers(predictions, score.label_set)
    assert outdated_metrics(given, run(store, 0).read_record().scores[0]) == {"macro_f1"}
    assert outdated_metrics(given, score) == set()
    digests = {f"gcn/rafdb/key{n}": module.digest_of(store, f"gcn/rafdb/key{n}") for n in range(3)}
    (store.root / MANIFEST).write_text(json.dumps({"version": "of the old rule", "runs": digests}))
    assert [o.path for o in rescore(store).runs if o.changed] == ["gcn/rafdb/key0"]
    assert run(store, 0).read_record().scores[0].metrics["macro_f1"] == pytest.approx(now)
    assert rescore(store).unchanged == 3


def test_every_scoring_rule_is_part_of_the_version():
    rules = closure([module.__name__], without=module.NOT_SCORING)
    assert {f"fer_bench.evaluation.{name}" for name in ("confusion", "affect", "breakdown")} <= set(rules)


def test_nothing_is_done_twice(store):
    rescore(store)
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    again = rescore(store)
    assert (again.runs, again.unchanged) == ((), 3)
    assert before == {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    assert rescore(store, all_runs=True).count("scored") == 3


def test_other_bytes_code_or_index_are_scored_again(store, monkeypatch):
    rescore(store)
    file = run(store, 1).predictions_file("rafdb", "val")
    predictions = read_predictions(file)
    flipped = predictions.frame.assign(logit_fear=np.float32(9))
    write_predictions(file, type(predictions)(flipped, predictions.meta))
    found = rescore(store)
    assert [o.path for o in found.runs] == ["gcn/rafdb/key1"]
    assert run(store, 1).read_record().scores[0].uar == pytest.approx(1 / 7)
    store.root.joinpath("indexes").mkdir()
    ids = predictions.frame["sample_id"]
    index = pd.DataFrame({"sample_id": ids, "gender": ["a", "b"] * 30})
    index.to_parquet(store.root / "indexes" / "f.parquet")
    assert rescore(store).count("scored") == 3
    assert run(store, 2).read_record().scores[0].breakdown.groups["gender"].count == 2
    monkeypatch.setattr(module, "code_version", lambda: "newer")
    assert rescore(store).count("scored") == 3


def test_damage_is_named_and_the_others_are_scored(store):
    run(store, 0).predictions_file("rafdb", "val").write_bytes(b"PAR1 no")
    run(store, 1).record_file.write_text("{")
    found = rescore(store)
    assert (found.count("scored"), found.count("failed")) == (1, 2)
    problems = " ".join(o.problem for o in found.runs)
    assert "not a readable parquet" in problems
    assert "not readable JSON" in problems
    assert rescore(store).count("failed") == 2  # and again, until mended


@pytest.mark.parametrize("change", [{"key": "other"}, {"fingerprint": "g"}, {"checkpoint": "d"}])
def test_predictions_of_something_else_are_refused(store, change):
    file = run(store, 0).predictions_file("rafdb", "val")
    predictions = read_predictions(file)
    write_predictions(file, type(predictions)(predictions.frame, predictions.meta.model_copy(update=change)))
    (problem,) = [o.problem for o in rescore(store).runs if o.state == "failed"]
    assert "predictions o" in problem
    assert next(iter(change.values())) in problem


def test_runs_that_somebody_works_on_or_that_failed_are_left_alone(store):
    lock = run(store, 0).lock()
    assert lock.acquire()
    record = run(store, 1).read_record()
    run(store, 1).write_record(record.model_copy(update={"status": "failed"}))
    found = rescore(store)
    lock.release()
    assert {o.path[-4:]: o.state for o in found.runs} == {
        "key0": "busy",
        "key1": "unfinished",
        "key2": "scored",
    }
    assert rescore(store).count("scored") == 1
    assert not list(store.root.rglob("lock"))


def test_a_damaged_memory_is_no_obstacle(store):
    rescore(store)
    (store.root / MANIFEST).write_text(json.dumps({"version": module.code_version(), "runs": [1]}))
    assert rescore(store).count("scored") == 3


def test_several_processes_give_what_one_gives(store, monkeypatch):
    for number in range(3):
        spoil(store, number, uar=0.5)
    monkeypatch.setattr(module, "AT_LEAST_PER_PROCESS", 1)
    assert rescore(store, jobs=2).count("scored") == 3
    several = [run(store, n).record_file.read_bytes() for n in range(3)]
    for number in range(3):
        spoil(store, number, uar=0.5)
    rescore(store, jobs=1)
    assert several == [run(store, n).record_file.read_bytes() for n in range(3)]


def rewrite(store, change):
    file = run(store, 0).predictions_file("rafdb", "val")
    predictions = read_predictions(file)
    write_predictions(file, type(predictions)(change(predictions.frame), predictions.meta))


def relabelled(frame):
    return frame.assign(label=["anger" if i == 7 else label for i, label in enumerate(frame["label"])])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "change", [lambda f: f.iloc[:-3], relabelled, lambda f: f.assign(unit=["u", *f["unit"][1:]])]
)
def test_cut_rows_and_changed_labels_or_units_are_refused(store, change, known):
    for number in (1, 2):
        shutil.rmtree(run(store, number).path)
    if not known:  # a record of an older version, which has no hash: the index tells
        spoil(store, 0, rows="")
        frame = read_predictions(run(store, 0).predictions_file("rafdb", "val")).frame
        index = frame[["sample_id", "label"]].assign(subject=None, group=frame["unit"])
        (store.root / "indexes").mkdir()
        index.to_parquet(store.root / "indexes" / "f.parquet")
    before = run(store, 0).record_file.read_bytes()
    rewrite(store, change)
    (problem,) = [o.problem for o in rescore(store).runs if o.state == "failed"]
    assert "rafdb@val.parquet" in problem
    assert run(store, 0).record_file.read_bytes() == before


@pytest.mark.parametrize("change", [{"recipe": "whole 64"}, {"pixels": "q"}, {"card_version": 2}])
def test_predictions_on_other_pictures_are_refused(store, change):
    file = run(store, 0).predictions_file("rafdb", "val")
    predictions = read_predictions(file)
    write_predictions(file, type(predictions)(predictions.frame, predictions.meta.model_copy(update=change)))
    (problem,) = [o.problem for o in rescore(store).runs if o.state == "failed"]
    assert f"another version of the data: the record's {next(iter(change))} is" in problem


def test_rows_in_another_order_are_the_same_rows(store):
    rewrite(store, lambda frame: frame.iloc[::-1])
    assert rescore(store).count("scored") == 3


def test_what_a_card_says_about_groups_is_part_of_the_version(monkeypatch):
    from fer_bench import datasets

    before = module.code_version()
    module.code_version.cache_clear()
    assert module.code_version() == before
    module.code_version.cache_clear()
    dataset = datasets.get("oulu")
    other = dataset.card.model_copy(update={"variant_parts": ("camera",)})
    monkeypatch.setattr(dataset, "card", other)
    assert module.code_version() != before
    module.code_version.cache_clear()
