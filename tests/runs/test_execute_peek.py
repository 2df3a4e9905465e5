"""`--track-peek`: what choosing the epoch on the test rows gains, while nothing else changes."""

import signal

import pandas as pd
import pytest

from fer_bench.errors import UsageError
from fer_bench.methods.weights import state_hash
from fer_bench.results.store import Store
from fer_bench.runs import evaluate, testing
from fer_bench.runs.execute import execute
from fer_bench.runs.spent import SpentClock
from tests.runs.test_execute import attempt, lasting_files

OF_PEEK = {"config.yaml", "record.json", "metrics.csv", "checkpoints/val.pt"}


@pytest.fixture(scope="module")
def predicted():
    """Of each prediction of this module's first run: the weights and the rows."""
    return []


@pytest.fixture(scope="module")
def peeked(plan, workspace, tmp_path_factory, predicted):
    store = Store(tmp_path_factory.mktemp("peeked"))
    planned = plan(targets="none", track_peek=True)
    share = evaluate.predict_share

    def counted(method, dataset, pack, rows, **options):
        predicted.append((state_hash(method.state_dict()), tuple(rows)))
        return share(method, dataset, pack, rows, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "predict_share", counted)
        return store, planned, execute(planned, store, workspace)


def test_the_same_weights_predict_the_same_rows_once(peeked, predicted):
    _, planned, record = peeked
    assert len(predicted) == len(set(predicted))
    epochs = planned.config.train.max_epochs
    assert len(predicted) == epochs + 1  # the test rows in each epoch, and the validation rows
    assert {chosen.checkpoint for chosen in record.selection.values()} <= {
        weights for weights, _ in predicted
    }


def test_predictions_that_are_kept_are_bounded(peeked, workspace, monkeypatch):
    store, planned, record = peeked
    monkeypatch.setattr(testing, "MOST_KEPT", 1)
    run = planned.folder(store)
    tester = testing.Tester(planned, store, workspace, run, tick=lambda: None, clock=SpentClock())
    found = tester._predict(tester._method(record.checkpoint, "val"), "oulu", "val", record.checkpoint, None)
    for number in range(3):
        tester._keep("oulu", str(number), found)
    assert list(tester._known) == [("oulu", "2")]


def test_the_best_epoch_on_the_test_rows_is_scored_too(peeked):
    store, planned, record = peeked
    history = pd.read_csv(planned.folder(store).path / "metrics.csv")["test/uar"]
    chosen = record.selection["peek"]
    assert chosen.epoch == history.idxmax()
    assert chosen.test_uar == history.max()
    assert record.score("oulu", "peek").uar == history.max()
    assert record.score("oulu", "peek").uar >= record.score("oulu", "val").uar
    assert record.score("oulu", "val").uar == history[record.selection["val"].epoch]
    assert record.headline == "val"


def test_it_changes_neither_the_key_nor_another_prediction(peeked, plan, workspace, tmp_path):
    store, planned, _ = peeked
    plain = plan(targets="none")
    assert plain.key == planned.key
    execute(plain, Store(tmp_path), workspace)
    with_peek, without = lasting_files(store, planned), lasting_files(Store(tmp_path), plain)
    assert with_peek.keys() - without.keys() == {"predictions/oulu@peek.parquet"}
    assert {name for name in without if with_peek[name] != without[name]} <= OF_PEEK
    assert plain.folder(Store(tmp_path)).read_record().checkpoint == peeked[2].checkpoint


def test_a_killed_run_goes_on_peeking(peeked, workspace, tmp_path):
    store, planned, _ = peeked
    other = Store(tmp_path)
    assert attempt(planned, other, workspace, 2, signal.SIGKILL) == -signal.SIGKILL
    execute(planned, other, workspace)
    assert lasting_files(other, planned) == lasting_files(store, planned)


def test_several_processes_are_refused(plan):
    with pytest.raises(UsageError, match="cannot predict its test rows while it trains"):
        plan(targets="none", track_peek=True, devices=2)
