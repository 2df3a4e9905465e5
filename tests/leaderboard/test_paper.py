"""The CSV tables for a paper: the numbers, letters and bold of the LaTeX ones and of the board."""

from __future__ import annotations

import csv
import re

import pytest

from fer_bench.leaderboard.page import read_board
from fer_bench.leaderboard.paper import write_tables
from tests.leaderboard.conftest import SEEDED


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


@pytest.fixture
def written(store, seeded, tmp_path):
    board = read_board(store)
    return board.sections[0], write_tables(board, tmp_path / "tables")


def test_there_is_a_file_per_table_with_a_row_per_method(written):
    section, files = written
    assert [file.name for file in files] == [
        "synthetic-quick-generalisation.csv",
        "synthetic-quick-in-domain.csv",
    ]
    for file in files:
        assert tuple(rows_of(file)) == section.labels == ("resemotenet", "gcn")


def test_numbers_letters_and_bold_are_those_of_the_board(written):
    section, (general, own) = written
    for label, row in rows_of(own).items():
        for source in SEEDED:
            value = section.cell(label, source).in_domain.estimate.values["uar"]
            assert float(row[source]) == value.value
            assert (float(row[f"{source}_low"]), float(row[f"{source}_high"])) == (
                value.interval.low,
                value.interval.high,
            )
            assert row[f"{source}_letters"] == section.own_columns[source].letters[label]
            assert (row[f"{source}_bold"] == "1") == (label in section.own_columns[source].leaders)
    overall = {mine.label: mine for mine in section.overall}
    for label, row in rows_of(general).items():
        assert float(row["overall"]) == overall[label].mean.value
        assert float(row["retention"]) == overall[label].retention.value
        assert row["overall_bold"] == ("1" if label == "resemotenet" else "0")


def test_what_is_not_compared_says_so(store, add, tmp_path):
    add("gcn", "oulu", targets=("rafdb", "expw"))
    general, own = (rows_of(file)["gcn"] for file in write_tables(read_board(store), tmp_path))
    assert general["oulu_note"] == "mean over 2/6 targets"
    assert (general["oulu_low"], general["overall"], general["overall_note"]) == ("", "", "")
    assert re.fullmatch(r"0\.\d+", own["oulu"])
    assert own["oulu_note"] == ""


def test_the_command_writes_them(store, seeded, tmp_path, run_cli):
    code, _, _ = run_cli(
        "leaderboard", "--runs-dir", store.root, "--out", tmp_path / "board", "--csv", tmp_path / "tables"
    )
    assert code == 0
    assert sorted(file.name for file in (tmp_path / "tables").iterdir()) == [
        "synthetic-quick-generalisation.csv",
        "synthetic-quick-in-domain.csv",
    ]
