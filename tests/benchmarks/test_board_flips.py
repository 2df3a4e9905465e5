from __future__ import annotations

import pytest

from fer_bench.leaderboard.page import read_board
from fer_bench.results.store import Store
from tests.leaderboard.conftest import add, store  # noqa: F401


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("board_flips")


def test_lost_and_reversed_conclusions_are_counted_both_ways(script):
    column = ("in-domain", "rafdb")
    first = {
        (*column, "a", "b"): "a",
        (*column, "a", "c"): "a",
        (*column, "b", "c"): "",
        (*column, "a", "d"): "a",
    }
    second = {
        (*column, "a", "b"): "a",
        (*column, "a", "c"): "c",
        (*column, "b", "c"): "b",
        (*column, "a", "d"): "",
    }
    (own, *others) = script.conclusions(first, second)
    # told apart: a-b, a-c and a-d in the first, a-b, a-c and b-c in the second
    assert own == ["in-domain", "4", "6", "2 (33 %)", "2 (33 %)"]
    assert [row[1] for row in others] == ["0", "0"]


def test_the_page_of_two_equal_boards(script, store, add):  # noqa: F811
    for method, skill in (("gcn", 0.5), ("resemotenet", 2.5)):
        for seed in range(3):
            add(method, "rafdb", skill=skill, seed=seed, rows=200)
    board = read_board(Store(store.root))
    text = script.page(board, board)
    assert "SYNTHETIC" in text
    assert "| in-domain | 1 | 2 | 0 (0 %) | 0 (0 %) |" in " ".join(text.split()).replace("--:", "")
    assert "seeds 0, 1, 2 and 0, 1, 2 (12 runs)" in " ".join(text.split())
