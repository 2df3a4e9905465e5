"""The metric in docs/own-metric.md as another package would bring it: one entry, and it is everywhere."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from fer_bench.cli import run as run_command
from fer_bench.cli import scores as commands
from fer_bench.config import RunOptions
from fer_bench.data.protocols import find_protocol
from fer_bench.datasets import get
from fer_bench.evaluation.rescore import rescore
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.runs.submission import CheckedSubmission
from fer_bench.runs.training.loggers import Loggers
from tests.outside import installed

METHODS = ("gcn", "cafe")
app = typer.Typer()
commands.register(app)


@pytest.fixture
def records(store, add, tmp_path, monkeypatch):
    """Score runs without the metric, install it as a package of its own, and score them again."""
    for number, method in enumerate(METHODS):
        old = add(method, "rafdb", skill=1 + number, targets=("expw",))
        assert "balanced_error" not in old.scores[0].metrics
    rescore(store)
    with installed("Add a metric", tmp_path / "site", monkeypatch):
        assert rescore(store).count("scored") == 2
        yield store.records()


def test_it_is_in_stored_records(records):
    for score in (score for record in records for score in record.scores):
        assert score.metrics["balanced_error"] == 1 - score.uar
        assert score.breakdown.intervals["balanced_error"][0] < 1 - score.uar


def test_it_is_in_the_files_and_on_the_page(records, store, tmp_path):
    write_leaderboard(store, tmp_path)
    for name in ("results.csv", "cells.csv"):
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(r["balanced_error"]) for r in rows] == pytest.approx(
            [1 - float(r["uar"]) for r in rows]
        )
    assert all(r["balanced_error_low"] < r["balanced_error"] < r["balanced_error_high"] for r in rows)
    page = (tmp_path / "rafdb.md").read_text()
    own = next(score for record in records for score in record.scores if score.target == "rafdb")
    assert "| macro-F1, % | BER, % (lower is better) | seeds (sd of UAR) |" in page
    assert f"| {100 - 100 * own.uar:.1f} [" in page
    assert "and BER have intervals and no tests" in page


def test_it_is_compared_without_a_test(records, store):
    for one, other in (METHODS, [record.key for record in records]):
        arguments = ["compare", one, other, "--runs-dir", str(store.root)]
        text = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
        assert re.search(
            r"rafdb +BER .* difference [+-]\d+\.\d points \[.*\], lower is better, not tested", text
        )


def test_it_is_printed_and_logged(records, capsys):
    run_command._print_record(records[0], Path("runs"))
    first = capsys.readouterr().out.splitlines()
    assert first[1].split() == ["target", "n", "classes", "accuracy", "UAR", "macro-F1", "transfer", "BER"]
    own = records[0].score("rafdb")
    assert f"{100 - 100 * own.uar:.1f}%" in first[2].split()
    meta = SimpleNamespace(method="m", source="rafdb", target="rafdb")
    predictions = SimpleNamespace(meta=meta)
    official = find_protocol(get("rafdb").card, "7-official")
    source = SimpleNamespace(kind="real")
    commands._print_checked(CheckedSubmission(predictions, official, official, 1, source, own))
    assert re.search(rf"  BER +{100 - 100 * own.uar:.1f} % \[\d+\.\d, \d+\.\d\]", capsys.readouterr().out)
    logged = {}
    loggers = Loggers(None, None, RunOptions(), lambda event: None)
    loggers._wandb = SimpleNamespace(summary=logged)
    loggers.scores(records[0])
    assert logged["rafdb@val/balanced_error"] == 1 - own.uar
