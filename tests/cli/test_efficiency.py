import json

import pytest

from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from tests.runs.conftest import plan, workspace

__all__ = ["plan", "workspace"]


@pytest.fixture(scope="module")
def store(plan, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("efficiency"))
    assert execute(plan(targets="none", max_epochs=1), store, workspace).status == "done"
    return store


def test_models_are_measured_and_kept_for_the_board(run_cli, store, tmp_path):
    (record,) = store.records()
    code, out, err = run_cli("efficiency", "--runs-dir", store.root, "--json")
    assert code == 0, err
    assert json.loads(out)["models"][0]["key"] == record.key
    assert (store.root / "efficiency" / "cpu.json").exists()
    code, out, err = run_cli("efficiency", "--runs-dir", store.root)
    assert code == 0
    assert f"resemotenet: {record.parameters:,} parameters" in out
    assert "1: 1.00 x" in out
    assert "one thread" in err
    assert run_cli("leaderboard", "--runs-dir", store.root, "--out", tmp_path / "board")[0] == 0
    assert "1.00 ×" in (tmp_path / "board" / "README.md").read_text()


def test_nothing_to_measure_is_refused(run_cli, tmp_path):
    (tmp_path / "runs").mkdir()
    code, _, err = run_cli("efficiency", "--runs-dir", tmp_path / "runs")
    assert code == 2
    assert "no finished run" in err
