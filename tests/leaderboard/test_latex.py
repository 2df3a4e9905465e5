"""The LaTeX tables: numbers, letters and bold as on the page, and text that LaTeX can read."""

from __future__ import annotations

import re

import pytest

from fer_bench.leaderboard.latex import latex_tables
from fer_bench.leaderboard.page import read_board, write_leaderboard
from tests.leaderboard.conftest import SEEDED
from tests.leaderboard.test_page_seeds import rows_of


def tables(text):
    """Return the tables by label; each as its rows of cells, the header first."""
    found = {}
    for one in re.findall(r"\\begin\{table\*\}.*?\\end\{table\*\}", text, re.DOTALL):
        lines = [line.removesuffix(r" \\") for line in one.splitlines() if line.endswith(r" \\")]
        found[re.search(r"\\label\{(.*?)\}", one)[1]] = [line.split(" & ") for line in lines]
    return found


@pytest.fixture
def text(store, seeded):
    return latex_tables(read_board(store))


def test_the_numbers_letters_and_bold_of_the_page(store, seeded, text, tmp_path):
    write_leaderboard(store, tmp_path)
    header, *lines = tables(text)["tab:fer-bench-synthetic-quick-in-domain"]
    assert header == ["Method", *SEEDED]
    assert len(lines) == 4  # a line of numbers and one of intervals per method
    for line, small in zip(lines[::2], lines[1::2], strict=True):
        for source, number, interval in zip(SEEDED, line[1:], small[1:], strict=True):
            page = (tmp_path / f"{source}.md").read_text(encoding="utf-8")
            _, rows = rows_of(page, "### Trained and tested on it")
            shown = rows[f"[{line[0]}](methods.md#{line[0]})"][1]
            assert re.findall(r"\d+\.\d", number + interval) == re.findall(r"\d+\.\d", shown)
            assert ("textbf" in number) == shown.startswith("**")
            assert re.search(r"mathrm\{(\w+)\}", number)[1] == shown.split()[-1]


def test_synthetic_tables_say_so_and_every_row_is_whole(text):
    assert text.count("SYNTHETIC DATA") == len(tables(text)) == 2
    for rows in tables(text).values():
        assert len({len(row) for row in rows}) == 1
    assert text.count("{") == text.count("}")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2


def test_few_seeds_are_provisional_and_nothing_is_bold(store, add):
    for method in ("gcn", "resemotenet"):
        add(method, "rafdb")
    text = latex_tables(read_board(store))
    assert "provisional" in text
    assert r"\textbf{SYNTHETIC" in text
    assert not re.search(r"\\textbf\{\d", text)


def test_names_are_printed_as_themselves(store, add):
    add("own_method&more", "rafdb")
    assert r"own\_method\&more" in latex_tables(read_board(store))


def test_sections_of_other_generators_have_labels_of_their_own(store, add):
    for seed in (0, 1):
        add("gcn", "rafdb", seed=seed, generator={"version": 1 + seed})
    labels = re.findall(r"\\label\{(.*?)\}", latex_tables(read_board(store)))
    assert len(labels) == len(set(labels)) == 4
