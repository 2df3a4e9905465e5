"""Named subsets on the board, each in a row of its own beside the whole."""

import re

import pytest

from fer_bench.evaluation.rescore import rescore
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.leaderboard.tables import build_board
from fer_bench.results.subsets import Subset, add_subset
from tests.leaderboard.conftest import EMOTIONS

FOLDS = (1, 2, 3, 4)


@pytest.fixture
def filled(store, add):
    for method, skill in (("gcn", 1.5), ("cafe", 2.5)):
        for fold in FOLDS:
            add(method, "oulu", fold=fold, skill=skill, targets=("rafdb",))
        add(method, "rafdb", skill=skill, targets=("rafdb", "oulu"))
    for dataset, name, count in (("rafdb", "occlusion", 90), ("oulu", "first-people", 60)):
        rows = tuple(f"{dataset}-{i:04d}" for i in range(count))
        add_subset(store.root, Subset(dataset=dataset, name=name, rows=rows))
    extra = tuple(f"rafdb-{i:04d}" for i in range(380, 420))  # 20 of them are not test rows
    add_subset(store.root, Subset(dataset="rafdb", name="pose-45", rows=extra))
    rescore(store)
    return store


def test_folds_are_pooled_and_models_averaged(filled):
    board = build_board(filled, methods=["gcn", "cafe"], named_targets=tuple(EMOTIONS))
    (section,) = board.sections
    cell = section.cell("gcn", "oulu")
    parts = {(part.target, part.subset.name): part for part in cell.parts}
    assert set(parts) == {("oulu", "first-people"), ("rafdb", "occlusion"), ("rafdb", "pose-45")}
    own = parts["oulu", "first-people"]
    assert (own.tested, own.estimate.n) == (60, 60)
    hits = [
        (one.score.metrics["accuracy"] or 0) * one.score.n
        for record in cell.records
        for one in record.subsets
        if one.name == "first-people"
    ]
    assert own.estimate.values["accuracy"].value == pytest.approx(sum(hits) / 60)
    across = parts["rafdb", "occlusion"].estimate
    uars = [one.score.uar for r in cell.records for one in r.subsets if one.name == "occlusion"]
    assert across.values["uar"].value == pytest.approx(sum(uars) / len(uars))
    assert (parts["rafdb", "pose-45"].tested, len(parts["rafdb", "pose-45"].subset.rows)) == (20, 40)


def test_the_page_has_a_row_for_the_whole_and_for_each_subset(filled, tmp_path):
    write_leaderboard(filled, tmp_path / "board")
    shown = []
    for name in ("oulu", "rafdb"):
        text = (tmp_path / "board" / f"{name}.md").read_text()
        part = text.partition("### Named subsets of test rows")[2].partition("### ")[0]
        lines = [line for line in part.splitlines() if line.startswith("| [gcn]")]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        shown += [(name, re.sub(r" \(\w{8}\)$", "", row[1])) for row in rows]
        assert "Neither compared nor part of a mean" in part
    assert sorted(shown) == sorted(
        [
            *(("oulu", rows) for rows in ("all of oulu", "oulu:first-people")),
            *(("oulu", rows) for rows in ("all of rafdb", "rafdb:occlusion", "rafdb:pose-45")),
            *(("rafdb", rows) for rows in ("all of oulu", "oulu:first-people")),
            *(("rafdb", rows) for rows in ("all of rafdb", "rafdb:occlusion", "rafdb:pose-45")),
        ]
    )
    assert "20 of 40 listed" in part


def test_without_subsets_the_page_does_not_speak_of_them(store, add, tmp_path):
    add("gcn", "rafdb", targets=("rafdb",))
    write_leaderboard(store, tmp_path / "board")
    assert "Named subsets" not in (tmp_path / "board" / "rafdb.md").read_text()
