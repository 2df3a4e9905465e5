"""`--track-peek`: what choosing the epoch on the test rows gains, while nothing else changes."""

import signal

import pandas as pd
import pytest

from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from tests.runs.test_execute import attempt, lasting_files

OF_PEEK = {"config.yaml", "record.json", "metrics.csv", "checkpoints/val.pt"}


@pytest.fixture(scope="module")
def peeked(plan, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("peeked"))
    planned = plan(targets="none", track_peek=True)
    return store, planned, execute(planned, store, workspace)


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
