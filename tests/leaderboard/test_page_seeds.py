"""The page of a store with three seeds: letters, bold numbers and what is said about methods."""

from __future__ import annotations

import csv
import re

import pytest

from fer_bench.leaderboard.page import write_leaderboard
from tests.leaderboard.conftest import SEEDED
from tests.leaderboard.test_page import tables_are_regular

BOUNDS = r"\[-?\d+\.\d+, -?\d+\.\d+\]"
GCN, RESEMOTENET, CAFE = (f"[{name}](methods.md#{name})" for name in ("gcn", "resemotenet", "cafe"))


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
    header, rows = rows_of(text, "<details><summary>Trained and tested on the same dataset")
    assert header == ["UAR, %", RESEMOTENET, CAFE, GCN, "guessing"]
    assert list(rows) == [f"[{name}]({name}.md)" for name in SEEDED]
    for _, best, unsure, worse, _ in rows.values():
        assert re.fullmatch(r"\d+(\.\d)? ± [\d.]+ b", worse)
        for cell in (best, unsure):
            assert re.fullmatch(r"\d+(\.\d)? ± [\d.]+ ab?", cell.replace("**", ""))
        assert unsure.endswith(" ab")  # one seed: neither told apart from the others nor bold
        assert "**" not in unsure
    overall = r"resemotenet is better than gcn \(\+0\.\d\d, adjusted p (=|&lt;) \.\d{3}\)"
    told = re.escape("2 pairs have fewer than 3 common seeds")
    assert re.search(rf"^{overall}; {told} \(850 test units, 3 seeds\)\.", text, re.MULTILINE)
    assert "would show a true difference of 5 points with a probability of" in text
    assert "Seeds differ (cafe: 0; gcn: 0, 1, 2; resemotenet: 0, 1, 2)" in text
    assert "provisional with" not in text
    header, rows = rows_of(text, "## Synthetic data")
    assert header[1:] == ["on other datasets", "difference from resemotenet", "on its own", "retained"]
    assert list(rows) == [RESEMOTENET, CAFE, GCN]
    assert rows[RESEMOTENET][2] == "-"
    assert re.fullmatch(r"0\.\d\d ± \.\d\d a", rows[RESEMOTENET][1])  # cafe may be better: not bold
    assert re.fullmatch(r"-0\.\d\d ± \.\d\d", rows[GCN][2])
    for row in rows.values():
        assert re.fullmatch(r"0\.\d\d ± \.\d\d", row[3])
        assert re.fullmatch(r"\d+ % ± \d+", row[4])


def test_the_page_of_a_dataset_has_both_ends_of_every_interval(board):
    text = (board / "rafdb.md").read_text(encoding="utf-8")
    tables_are_regular(text)
    told = re.escape("2 pairs have fewer than 3 common seeds")
    better = r"resemotenet is better than gcn \(\+\d+\.\d points, adjusted p (=|&lt;) \.\d{3}\)"
    assert re.search(rf"^{better}; {told} \(200 pictures, 3 seeds\)\.", text, re.MULTILINE)
    assert "Tested on 200 rows of 200 pictures, 7 classes." in text
    header, rows = rows_of(text, "### Trained and tested on it")
    assert header == ["method", "UAR, %", "accuracy, %", "macro-F1, %", "seeds (sd of UAR)"]
    assert list(rows) == [RESEMOTENET, CAFE, GCN]
    for row in rows.values():
        assert re.fullmatch(rf"(\*\*)?\d+\.\d {BOUNDS}(\*\*)? (a|b|ab)", row[1])
        for cell in row[2:4]:
            assert re.fullmatch(rf"\d+\.\d {BOUNDS}", cell)
    assert [row[4][:1] for row in rows.values()] == ["3", "1", "3"]
    header, rows = rows_of(text, "### Tested on other datasets")
    assert header == ["tested on", RESEMOTENET, CAFE, GCN]
    for row in rows.values():
        if row[0].startswith("["):
            assert all(re.fullmatch(rf"-?\d+\.\d+ {BOUNDS}", cell) for cell in row[1:])
    assert re.fullmatch(rf"0\.\d\d {BOUNDS} a", rows["**mean**"][1])


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
