"""The launcher in docs/own-launcher.md as another package would bring it: one file and one entry point."""

import pytest

from fer_bench.results.store import Store
from fer_bench.runs import launchers
from tests.outside import installed

SMALL = ("--targets", "none", "--set", "method.width=0.03", "--max-epochs", "1")


@pytest.fixture
def inline(tmp_path, monkeypatch):
    with installed("Add a launcher", tmp_path / "site", monkeypatch):
        yield


@pytest.fixture
def sweep(run_cli, tiny_root):
    def call(*arguments):
        command = ("sweep", "-m", "resemotenet", "-d", "oulu", "--fold", "1", "--data-root", tiny_root)
        return run_cli(*command, *SMALL, *arguments)

    return call


def test_it_runs_a_sweep(inline, sweep, tmp_path):
    code, out, err = sweep("--seed", 0, "--seed", 1, "--launcher", "inline", "--launcher-set", "pause=0.1")
    assert (code, out.partition(" in ")[0]) == (0, "2 of 2 runs are done"), err
    assert {record.status for record in Store(tmp_path / "runs").records()} == {"done"}
    assert "[    1/2] done" in err


def test_its_settings_and_limits_are_checked_before_anything_is_stored(inline, sweep, tmp_path):
    code, _, err = sweep("--launcher", "inline", "--launcher-set", "pausse=1")
    assert (code, "did you mean pause" in err) == (2, True)
    code, _, err = sweep("--launcher", "inline", "--launcher-set", "pause=-1")
    assert (code, "greater than or equal to 0" in err) == (2, True)
    code, _, err = sweep("--launcher", "inline", "--nodes", "2")
    assert (code, "a run of the inline launcher stays on one machine" in err) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_unknown_ones_and_settings_of_one_without_are_refused(sweep, tmp_path):
    for extra in ((), ("--dry-run",)):
        code, _, err = sweep("--launcher", "slrum", *extra)
        assert (code, "did you mean slurm" in err) == (2, True)
    code, _, err = sweep("--launcher-set", "partition=gpu")
    assert (code, "the local launcher has no settings" in err) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_built_in_ones_are_called_as_they_are_registered(inline):
    assert launchers.names() == (*launchers.BUILT_IN, "inline")
    assert {launchers.get(name).name for name in launchers.names()} == set(launchers.names())
    assert launchers.get("local").__module__ == "fer_bench.runs.launchers.local"
