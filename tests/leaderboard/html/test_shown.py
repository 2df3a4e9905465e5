"""Cells of tables: numbers with intervals, bold and letters as tests say."""

from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.html.shown import interval, lettered, number
from fer_bench.leaderboard.markup import two


def test_a_cell_has_a_number_to_sort_by_a_text_and_both_ends():
    cell = interval(Value(0.612, Interval(0.57, 0.65)), lambda v: f"{100 * v:.1f}", 100, mark=" a", bold=True)
    assert cell == {"v": 61.2, "t": "61.2 ± 4.2 a", "n": "95 % interval: 57.0 to 65.0", "b": 1}
    assert interval(None, two) is None
    assert number(None, two) is None
    assert number(0.25, two) == {"v": 0.25, "t": "0.25"}


def test_letters_and_bold_come_from_tests_only(board, one_seed):
    tested, untested = board.sections[0].overall_column, one_seed.sections[0].overall_column
    assert lettered(tested, "resemotenet") == (" a", True)
    assert lettered(tested, "erm") == (" c", False)
    assert lettered(untested, "resemotenet") == ("", False)
