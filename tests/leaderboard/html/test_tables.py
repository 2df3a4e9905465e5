"""The tables of a section hold the board's numbers and its caution."""

import shutil

import pytest

from fer_bench.leaderboard.html import tables
from fer_bench.leaderboard.page import read_board
from fer_bench.results.store import Store


@pytest.fixture
def section(board):
    return board.sections[0]


def test_overview_has_what_the_tests_say(section):
    found = tables.overview(section)
    best = found.rows[0]
    assert best["overall"]["b"] == 1
    assert best["overall"]["t"].endswith(" a")
    assert best["from_best"] is None
    assert "adjusted p" in found.rows[1]["from_best"]["t"]
    assert any("resemotenet is better than" in text for text in found.notes)


def test_one_seed_is_provisional(one_seed):
    section = one_seed.sections[0]
    for row in tables.overview(section).rows:
        assert "b" not in row["overall"]
        assert row["overall"]["t"].endswith("(provisional)")
    assert any("provisional with 1 seed" in text for text in tables.overview(section).notes)
    assert tables.tests(section).rows == []
    for row in (*tables.in_domain(section).rows, *tables.generalisation(section).rows):
        for cell in row.values():
            assert isinstance(cell, str) or "b" not in cell


def test_cells_and_pairs_are_complete(section):
    cells, pairs = tables.cells(section), tables.pairs(section)
    assert len(cells.rows) == len(section.cells) == 9
    assert len(pairs.rows) == sum(len(cell.cross) for cell in section.cells) == 9 * 6
    first = section.cell(cells.rows[0]["method"]["v"], cells.rows[0]["source"])
    assert cells.rows[0]["uar"]["v"] == pytest.approx(
        100 * first.in_domain.estimate.values["uar"].value, abs=1e-4
    )
    for table in (cells, pairs):
        fields = {column.field for column in table.columns}
        assert all(set(row) <= fields for row in table.rows)


def test_a_mean_over_some_targets_says_so_and_is_not_lettered(board_store, tmp_path):
    store = Store(shutil.copytree(board_store.root, tmp_path / "runs"))
    for file in (store.root / "gcn" / "rafdb").glob("*/record.json"):
        run = store.find(file.parent.name)
        record = run.read_record()
        scores = tuple(score for score in record.scores if score.target != "mmi")
        run.write_record(record.model_copy(update={"scores": scores}))
    found = tables.generalisation(read_board(store).sections[0])
    row = next(row for row in found.rows if row["method"] == "gcn")
    assert row["s0"]["t"].endswith("(5/6)")
    assert "b" not in row["s0"]


def test_every_test_is_listed_with_its_verdict(section):
    found = tables.tests(section)
    count = sum(len(c.tests) for c in (section.overall_column, *section.general_columns.values()))
    count += sum(len(c.tests) for c in section.own_columns.values())
    assert len(found.rows) == count > 0
    assert {row["verdict"] for row in found.rows} <= {"differ", "not shown to differ"}
    for row in found.rows:
        assert (row["verdict"] == "differ") == (row["adjusted"]["v"] < 0.05)
