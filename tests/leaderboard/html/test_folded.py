"""The folded tables are those of the markdown pages."""

import pytest

from fer_bench.leaderboard.html.folded import honesty, of_markdown
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import tables
from fer_bench.leaderboard.page import read_board
from fer_bench.leaderboard.sections import epochs


def test_cells_are_what_a_reader_of_the_markdown_sees():
    text = tables(
        ["method", "score", "what"],
        [
            [r"[g\_n](methods.md#g_n)", "**0.29 ± .03** a", r"a &lt; 2 \| `x`"],
            ["erm", "1,234", "-"],
            ["cafe", "-", "+3"],
        ],
    )
    found = of_markdown("name", "title", text, "a note")
    assert [(c.title, c.kind) for c in found.columns] == [
        ("method", "text"),
        ("score", "number"),
        ("what", "text"),
    ]
    assert list(found.rows) == [
        {"c0": "g_n", "c1": {"t": "0.29 ± .03 a", "v": 0.29, "b": 1}, "c2": "a < 2 | x"},
        {"c0": "erm", "c1": {"t": "1,234", "v": 1234.0}, "c2": None},
        {"c0": "cafe", "c1": None, "c2": "+3"},
    ]
    assert found.notes == ("a note",)
    assert of_markdown("name", "title", tables(["method"], [])) is None


def test_tables_too_wide_for_a_page_are_whole_here():
    header = ["method", *(f"a long heading of column {i}" for i in range(9))]
    rows = [[name, *(f"{i}.5" for i in range(9))] for name in ("one", "two")]
    text = tables(header, rows)
    assert "\n\n" in text
    found = of_markdown("wide", "", text)
    assert [column.title for column in found.columns] == header
    assert [[found.rows[i][c.field] for c in found.columns[1:]] for i in (0, 1)] == [
        [{"t": f"{i}.5", "v": i + 0.5} for i in range(9)]
    ] * 2


def test_every_row_of_the_markdown_is_there(board):
    section = board.sections[0]
    found = {table.name: table for table in honesty(section)}
    assert {"weights"} <= {*found}
    assert [row["c0"] for row in found["weights"].rows] == list(section.labels)
    assert [column.title for column in found["weights"].columns][-1] == "commercial use"
    text = epochs.table_of(section, section.cells, Links.of(section.cells))
    assert ("epochs" in found) == bool(text)
    assert "claims" not in found  # these are drawn faces


@pytest.mark.parametrize(("kind", "profile", "shown"), [("real", "paper", True), ("real", "quick", False)])
def test_claims_stand_beside_real_data_under_their_recipe_only(store, add, kind, profile, shown):
    add("resemotenet", "rafdb", data_kind=kind, profile=profile)
    (section,) = read_board(store).sections
    found = {table.name: table for table in honesty(section)}
    assert ("claims" in found) == shown
    if not shown:
        return
    rows = found["claims"].rows
    by_title = {column.title: column.field for column in found["claims"].columns}
    assert {row["paper"] for row in rows} == {"resemotenet"}
    measured = [row for row in rows if row[by_title["here, %"]] is not None]
    assert measured
    assert all(row[by_title["distance"]] for row in measured)
    assert any("contested" in str(row[by_title["remarks"]]) for row in rows)
