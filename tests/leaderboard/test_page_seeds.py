"""The page of a store with three seeds: letters, bold numbers and what is said about methods."""

from __future__ import annotations

import csv
import re

import pytest

from fer_bench.leaderboard.page import write_leaderboard
from tests.leaderboard.conftest import SEEDED
from tests.leaderboard.test_page import tables_are_regular

BOUNDS = r"\[-?\d+\.\d+, -?\d+\.\d+\]"


def rows_of(text, title):
    """Return the rows of the table below a title, by their first cell."""
    lines = text[text.index(title) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| "))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[start:end]]
    return table[0], {row[0]: row for row in table[2:]}


@pytest.fixture
def board(store, seeded, add, tmp_path):
    """Write the board, with a third method that only has one seed."""
    for dataset in SEEDED:
        add("cafe", dataset, skill=1.8, rows=200)
    write_leaderboard(store, tmp_path)
    return tmp_path


def lines_of(board, name):
    with (board / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_letters_bold_numbers_and_conclusions_of_the_page(board):
    text = (board / "README.md").read_text(encoding="utf-8")
    tables_are_regular(text)
    header, rows = rows_of(text, "### Trained and tested on the same dataset")
    assert header == ["UAR, %", *SEEDED]
    for cell in rows["**gcn**"][1:]:
        assert re.fullmatch(rf"\d+\.\d b<br><sub>{BOUNDS}</sub>", cell)
    for cell in (*rows["**resemotenet**"][1:], *rows["**cafe**"][1:]):
        assert re.fullmatch(rf"\d+\.\d ab?<br><sub>{BOUNDS}</sub>", cell.replace("**", ""))
    for cell in rows["**cafe**"][1:]:  # one seed: neither told apart from the others nor bold
        assert " ab<br>" in cell
        assert "**" not in cell
    told = re.escape("2 pairs have fewer than 3 common seeds")
    better = r"resemotenet is better than gcn \(\+\d+\.\d points, adjusted p (=|&lt;) \.\d{3}\)"
    assert re.search(rf"- \*rafdb(, \w+)*\*: {better}; {told} \(200 pictures, 3 seeds\)\.", text)
    overall = r"resemotenet is better than gcn \(\+0\.\d\d, adjusted p (=|&lt;) \.\d{3}\)"
    assert re.search(rf"\*\*What can be concluded\*\*: {overall}; {told} \(850 test units, 3 seeds\)\.", text)
    assert "How surely a true difference of 5 points would be shown" in text
    assert "Seeds differ (cafe: 0; gcn: 0, 1, 2; resemotenet: 0, 1, 2)" in text
    assert "provisional with" not in text
    header, rows = rows_of(text, "### At a glance")
    assert header[1:4] == ["generalisation, overall", "difference from the best", "retention"]
    assert rows["**resemotenet**"][2] == "-"
    assert re.fullmatch(rf"-0\.\d\d<br><sub>{BOUNDS}</sub>", rows["**gcn**"][2])
    for row in rows.values():
        assert re.fullmatch(r"\d+ %<br><sub>\[\d+, \d+\]</sub>", row[3])


def test_pairs_and_generalisation_are_exported_with_letters_seeds_and_intervals(board):
    lines = lines_of(board, "pairs.csv")
    assert list(lines[0])[4:] == [
        *("first", "second", "difference", "difference_low", "difference_high", "p", "adjusted"),
        *("units", "seeds", "first_letters", "second_letters", "sources_won", "sources", "wilcoxon_p"),
    ]
    assert [(x["score"], x["source"]) for x in lines] == [
        *(("uar", source) for source in SEEDED),
        *(("generalisation", source) for source in (*SEEDED, "overall")),
    ]
    for line in lines:
        assert (line["first"], line["second"], line["seeds"]) == ("resemotenet", "gcn", "0 1 2")
        assert 0 < float(line["p"]) <= float(line["adjusted"]) < 0.05
        assert float(line["difference_low"]) < float(line["difference"]) < float(line["difference_high"])
        assert (line["first_letters"], line["second_letters"]) == ("a", "b")
        overall = line["source"] == "overall"
        assert (line["sources_won"], line["sources"]) == (("3", "3") if overall else ("", ""))
        assert (line["wilcoxon_p"] == "0.25") is overall
    lines = lines_of(board, "generalisation.csv")
    assert {x["method"] for x in lines[:3] if x["source"] == "overall"} == {"resemotenet", "cafe", "gcn"}
    assert len(lines) == 3 + 9
    for line in lines:
        low, share, high = (float(line[f"retention{end}"]) for end in ("_low", "", "_high"))
        assert 0 <= low < share < high <= 1
        assert float(line["transfer_low"]) < float(line["transfer"]) < float(line["transfer_high"])
        assert line["letters"] == {"resemotenet": "a", "gcn": "b", "cafe": "ab"}[line["method"]]
        assert bool(line["seed_sd"]) is (line["method"] != "cafe")
