"""A board of the stored shape, five methods on seven datasets with three seeds, can be read in a minute."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from fer_bench.evaluation import pairs
from fer_bench.leaderboard.markup import WIDEST, tables, width
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.results.record import GENERATOR, TrainingData
from fer_bench.results.store import Store
from tests.leaderboard.conftest import EMOTIONS

SKILLS = {"erm": 2.0, "gcn": 1.2, "ssmfar": 1.6, "resemotenet": 0.8, "cafe": 3.0}
MOST_LINES = 250
TOWER = {"tower": TrainingData(text="drawn faces", exposure={GENERATOR: "in training"})}
ADAPTED = {"gcn": "no neutral frames", "ssmfar": "no action units"}


@pytest.fixture
def board(add, store, tmp_path, monkeypatch):
    """Write the pages and return their texts by name."""
    monkeypatch.setattr(pairs, "LEAST_DRAWS", 400)
    monkeypatch.setattr(pairs, "MOST_DRAWS", 400)
    for method, skill in SKILLS.items():
        for dataset in EMOTIONS:
            more = {"adapted": ADAPTED.get(method), "pretrained": TOWER if method == "cafe" else {}}
            for seed in (0, 1, 2):
                add(method, dataset, skill=skill, seed=seed, rows=64, warnings=(f"{method} warns",), **more)
    write_leaderboard(Store(store.root), tmp_path / "board")
    return {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "board").glob("*.md")}


def tables_of(text):
    """Return the tables of a page as rows of cells, without the line below the header."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = ([re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in one.splitlines()] for one in found)
    return [[[cell.strip() for cell in row] for row in one if "---" not in row[0]] for one in rows]


@pytest.mark.long
def test_pages_are_short_narrow_ordered_and_say_nothing_twice(board):
    check_size_and_words(board)
    check_order(board)


def check_size_and_words(board):
    assert set(board) == {"README.md", "methods.md", *(f"{name}.md" for name in EMOTIONS)}
    text = board["README.md"]
    assert len(text.splitlines()) <= MOST_LINES
    assert (
        text.index("<details>") > text.index("| [erm]") > 0
    )  # the answer comes before everything that folds
    assert len(text[: text.index("<details>")].splitlines()) <= 45
    for page in board.values():
        for one in tables_of(page):
            assert width(one) <= WIDEST
            assert not any("<br>" in cell for row in one for cell in row)
        assert page.count("<details>") == page.count("</details>")
    for name in ("README.md", *(f"{name}.md" for name in EMOTIONS)):
        said = Counter(
            line
            for line in board[name].splitlines()
            if line and not line.startswith(("|", "<", "#")) and "methods.md" not in line
        )
        assert [line for line, count in said.items() if count > 1] == []


def check_order(board):
    """Check that methods and datasets have one order in all tables."""
    first, *others = tables_of(board["README.md"])
    order = [re.match(r"\[(\w+)\]", row[0])[1] for row in first[1:]]
    assert sorted(order) == sorted(SKILLS)
    for one in (*others, *(one for name in EMOTIONS for one in tables_of(board[f"{name}.md"]))):
        named = [re.match(r"\[(\w+)\]", cell) for line in (one[0], [row[0] for row in one]) for cell in line]
        found = [match[1] for match in named if match and match[1] in SKILLS]
        assert found == [name for name in order if name in found], one[0]
        rows = [match[1] for row in one if (match := re.match(r"\[(\w+)\]", row[0])) and match[1] in EMOTIONS]
        assert rows == [name for name in EMOTIONS if name in rows]


def test_a_wide_table_is_cut_into_even_ones():
    header = ("dataset", *(f"method {i}" for i in range(12)))
    rows = [("oulu", *(f"0.{i:02} ± .03 ab" for i in range(12)))]
    parts = tables(header, rows).split("\n\n")
    assert len(parts) == 2
    cut = [tables_of(f"{part}\n")[0] for part in parts]
    assert [len(one[0]) for one in cut] == [7, 7]
    assert {one[0][0] for one in cut} == {"dataset"}
    assert [cell for one in cut for cell in one[0][1:]] == list(header[1:])
    assert [cell for one in cut for cell in one[1][1:]] == list(rows[0][1:])
    assert tables(header[:3], [rows[0][:3]]).count("\n\n") == 0
    assert tables(header, []) == ""
