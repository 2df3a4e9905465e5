"""Stores of earlier versions, and of this one, load, score and render."""

import shutil
from pathlib import Path

import pytest

import fer_bench
from fer_bench.distribution import version
from fer_bench.evaluation.rescore import rescore
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.results.store import Store

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir())


@pytest.fixture(params=VERSIONS)
def store(request, tmp_path):
    """A copy of a store, because scoring writes into it."""
    return Store(shutil.copytree(GOLDEN / request.param, tmp_path / "runs"))


def test_there_is_one_of_this_minor_version_and_it_is_small():
    assert ".".join(version().split(".")[:2]) in VERSIONS
    for name in VERSIONS:
        assert sum(f.stat().st_size for f in (GOLDEN / name).rglob("*") if f.is_file()) < 300 * 1024


def test_records_and_predictions_load(store):
    records, problems = store.scan()
    assert problems == []
    assert {record.status for record in records} == {"done"}
    assert {record.data_kind for record in records} == {"synthetic"}
    frames = fer_bench.read_store(store.root)
    assert len(frames.runs) == len(records) >= 4
    for record in records:
        for score in record.scores:
            frame = frames.predictions(record.key, score.target, score.selection)
            assert len(frame) >= score.n > 0


def test_scores_computed_anew_from_predictions_are_those_of_the_records(store):
    before = {record.key: record for record in store.records()}
    rescore(store, all_runs=True)
    for record in store.records():
        for old, new in zip(before[record.key].scores, record.scores, strict=True):
            assert (new.target, new.selection, new.n, new.k) == (old.target, old.selection, old.n, old.k)
            known = {name: value for name, value in old.metrics.items() if value is not None}
            assert {name: new.metrics[name] for name in known} == pytest.approx(known, abs=1e-12)


def test_the_board_renders(store, tmp_path):
    written = write_leaderboard(store, tmp_path / "board")
    text = written[0].read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in text
    shown = {cell.strip() for line in text.splitlines() for cell in line.split("|")}
    assert {f"[{name}](methods.md#{name})" for name in ("resemotenet", "ssmfar")} <= shown
