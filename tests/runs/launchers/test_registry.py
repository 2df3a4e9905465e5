"""The launcher in CONTRIBUTING.md as another package would bring it: one file and one entry point."""

import re
import sys
from pathlib import Path

import pytest

from fer_bench.results.store import Store
from fer_bench.runs import launchers

TEXT = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Add a launcher")[2].partition("\n## ")[0]
SMALL = ("--targets", "none", "--set", "method.width=0.03", "--max-epochs", "1")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return found


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the example as a package of its own."""
    info = tmp_path / "site" / "inlinelauncher-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "inlinelauncher.py").write_text(block("python"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: inlinelauncher\nVersion: 1.0\n")
    points = block("toml").replace('"', "").replace("project.entry-points.", "")
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(info.parent))
    launchers.registry.cache_clear()
    yield
    launchers.registry.cache_clear()
    sys.modules.pop("inlinelauncher", None)


@pytest.fixture
def sweep(run_cli, tiny_root):
    def call(*arguments):
        command = ("sweep", "-m", "resemotenet", "-d", "oulu", "--fold", "1", "--data-root", tiny_root)
        return run_cli(*command, *SMALL, *arguments)

    return call


def test_it_runs_a_sweep(installed, sweep, tmp_path):
    code, out, err = sweep("--seed", 0, "--seed", 1, "--launcher", "inline", "--launcher-set", "pause=0.1")
    assert (code, out.partition(" in ")[0]) == (0, "2 of 2 runs are done"), err
    assert {record.status for record in Store(tmp_path / "runs").records()} == {"done"}
    assert "[    1/2] done" in err


def test_its_settings_and_limits_are_checked_before_anything_is_stored(installed, sweep, tmp_path):
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


def test_built_in_ones_are_called_as_they_are_registered(installed):
    assert launchers.names() == (*launchers.BUILT_IN, "inline")
    assert {launchers.get(name).name for name in launchers.names()} == set(launchers.names())
    assert launchers.get("local").__module__ == "fer_bench.runs.launchers.local"
