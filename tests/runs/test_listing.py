"""The list of a store's runs: what varies is in every name, and conditions choose."""

import pytest

from fer_bench.errors import UsageError
from fer_bench.results.record import Failure, Score
from fer_bench.results.store import Store
from fer_bench.runs.listing import list_runs


def score(target, uar, transfer):
    metrics = {"uar": uar, "transfer": transfer}
    values = {"selection": "val", "label_set": ("happiness", "anger"), "n": 9, "k": 2, "kept_share": 1.0}
    return Score(target=target, metrics=metrics, unrestricted_uar=uar, **values)


@pytest.fixture
def store(record, tmp_path):
    store = Store(tmp_path / "runs")

    def add(key, lr, batch=16, **changes):
        settings = {"method": {"lr": lr, "width": 8}, "train": {"batch_size": batch}}
        made = record(key=key, settings=settings, **changes)
        store.run_dir(made.method, made.dataset, key).write_record(made)

    scores = (score("oulu", 0.5, 0.4), score("rafdb", 0.3, 0.1), score("mmi", 0.3, 0.3))
    add("a" * 16, 0.001, scores=scores)
    add("b" * 16, 0.003, scores=scores[:1], varied={"lr": "0.003"})
    add("c" * 16, 0.001, method="cafe", varied={"train.batch_size": "16"})
    add("d" * 16, 0.001, method="cafe", status="failed", error=Failure(kind="KeyError", message="'labels'"))
    add("e" * 16, 0.001, dataset="ckplus", status="running", profile="paper")
    store.run_dir("gcn", "mmi", "f" * 16).path.mkdir(parents=True)
    (store.run_dir("gcn", "mmi", "f" * 16).record_file).write_text("{")
    return store


def names(found):
    return {one.record.key[0]: one.method for one in found}


def test_every_name_says_what_varies(store):
    found, problems = list_runs(store)
    assert names(found) == {
        "a": "gcn[lr=0.001]",  # the other run of the method changes it
        "b": "gcn[lr=0.003]",
        "c": "cafe[train.batch_size=16]",  # it differs from the profile's
        "d": "cafe",
        "e": "gcn",
    }
    assert len(problems) == 1
    by_key = {one.record.key[0]: one for one in found}
    assert by_key["a"].uar == 0.5
    assert by_key["a"].transfer == (pytest.approx(0.2), 2)
    assert (by_key["b"].transfer, by_key["d"].uar) == (None, None)
    assert by_key["e"].state == "lost"
    assert by_key["d"].document()["error"] == "KeyError: 'labels'"
    assert by_key["a"].document()["varied"] == {"lr": "0.001"}


@pytest.mark.parametrize(
    ("conditions", "keys"),
    [
        ({"method": ["cafe"]}, "cd"),
        ({"dataset": ["ckplus", "oulu"], "method": ["gcn"]}, "abe"),
        ({"status": ["failed", "lost"]}, "de"),
        ({"profile": "quick"}, "abcd"),
        ({"settings": ["lr=3e-3"]}, "b"),
        ({"settings": ["method.lr=0.001", "train.batch_size=16.0"]}, "acde"),
    ],
)
def test_conditions_choose(store, conditions, keys):
    assert set(names(list_runs(store, **conditions)[0])) == set(keys)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"method": ["gnc"]}, "no run of the store has this method"),
        ({"status": ["finished"]}, "no run of the store has this status"),
        ({"profile": "papers"}, "did you mean paper"),
        ({"settings": ["rl=1"]}, "no run of the store has this setting"),
        ({"settings": ["lr"]}, "name=value"),
    ],
)
def test_conditions_that_nothing_can_meet_are_refused(store, conditions, message):
    with pytest.raises(UsageError, match=message):
        list_runs(store, **conditions)
