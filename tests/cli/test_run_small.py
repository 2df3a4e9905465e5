"""The profile `small`: official rows, folds, a section of its own on the board, hours before anything ran."""

import json
from pathlib import Path

import pytest

SHORT = ("--max-epochs", 1, "--set", "train.epoch_rows=32", "--targets", "none", "--device", "cpu")


@pytest.fixture
def train(run_cli, tiny_root):
    def call(command, *arguments):
        return run_cli(command, *arguments, "--data-root", tiny_root, "--profile", "small", *SHORT)

    return call


def test_it_trains_a_fold_and_has_a_section_of_its_own(train, run_cli, tiny_root):
    assert train("run", "-m", "erm", "-d", "rafdb")[0] == 0
    assert train("run", "-m", "erm", "-d", "oulu", "--protocol", "6-4fold", "--fold", 2)[0] == 0
    quick = ("--data-root", tiny_root, "--profile", "quick", *SHORT)
    assert run_cli("run", "-m", "erm", "-d", "rafdb", *quick)[0] == 0
    listed = json.loads(run_cli("runs", "--json", "--profile", "small")[1])["runs"]
    assert {(run["dataset"], run["protocol"], run["fold"]) for run in listed} == {
        ("rafdb", "7-official", 1),
        ("oulu", "6-4fold", 2),
    }
    assert run_cli("leaderboard", "--out", "board")[0] == 0
    headings = [line for line in Path("board/README.md").read_text().splitlines() if line.startswith("#")]
    for profile in ("small", "quick"):
        assert any("synthetic" in line.lower() and profile in line for line in headings), headings


def test_hours_are_told_before_anything_ran(train):
    command = ("sweep", "-m", "gcn", "-d", "rafdb")
    code, _, err = train(*command, "--dry-run")
    assert code == 0
    assert "core-hours for 1 runs, within a factor of 2" in err
    estimate = json.loads(train(*command, "--dry-run", "--json")[1])["estimate"]
    assert 0 < estimate["device_hours"] < 1
    assert (estimate["runs_from_rates"], estimate["runs_without_estimate"]) == (1, 0)
