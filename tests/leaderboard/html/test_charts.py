"""The rows of the figures; that they are drawn is tested in a browser."""

import json

import pytest

from fer_bench.leaderboard.html import charts


@pytest.fixture(scope="module")
def section(board):
    return board.sections[0]


def test_all_figures_are_there_and_no_placeholder_is_left(section):
    found = charts.charts(section, charts.rows_of(section))
    assert [chart.name for chart in found] == ["both", "costs", "matrix", "ranks", "reliability", "learning"]
    for spec in (*(chart.spec for chart in found), *charts.specs_of(section).values()):
        assert '"$' not in json.dumps(spec)


def test_the_matrix_has_the_scores_of_the_board(section):
    rows = charts.matrix(section).spec["data"]["values"]
    assert len(rows) == 9 * len(section.targets)
    for row in rows:
        cell = section.cell(row["method"], row["source"])
        if row["own"]:
            value = cell.in_domain.estimate.values["transfer"].value
        else:
            value = cell.cross[row["target"]].values["transfer"].value
        assert row["value"] == pytest.approx(value, abs=5e-4)


def test_the_first_figure_starts_with_the_means_of_the_methods(section):
    rows = charts.both(section).spec["data"]["values"]
    assert [row["method"] for row in rows[:3]] == [one.label for one in section.overall]
    for row, one in zip(rows, section.overall, strict=False):
        assert (row["y"], row["yl"]) == (
            pytest.approx(one.mean.value, abs=5e-4),
            pytest.approx(one.mean.interval.low, abs=5e-4),
        )


def test_costs_have_the_scores_of_the_first_table_and_mark_the_front(section):
    spec = charts.costs_of(section).spec
    rows, front = spec["data"]["values"], spec["layer"][0]["data"]["values"]
    assert {row["axis"] for row in rows} == {"multiply-adds of a picture, million"}
    means = {one.label: one.mean.value for one in section.overall}
    assert {row["method"]: row["y"] for row in rows} == pytest.approx(means, abs=5e-4)
    best = pytest.approx(max(means.values()), abs=5e-4)  # all cost the same
    assert [(row["cost"], row["y"]) for row in front] == [(20.0, best), (44.0, best)]


def test_ranks_need_complete_blocks_and_tests(section, one_seed):
    found = charts.complete_blocks(section)
    assert found.blocks == 3
    assert list(found.means) == ["resemotenet", "gcn", "erm"]
    assert charts.complete_blocks(one_seed.sections[0]) is None
    names = [
        chart.name for chart in charts.charts(one_seed.sections[0], charts.rows_of(one_seed.sections[0]))
    ]
    assert "ranks" not in names


def test_curves_of_runs_merge_by_bin():
    one = [(10, 0.30, 0.2), (30, 0.95, 0.9)]
    other = [(30, 0.31, 0.6), (10, 1.0, 1.0)]
    assert charts.merged_curve([one, other]) == [
        {"n": 40, "confidence": 0.307, "accuracy": 0.5},
        {"n": 40, "confidence": 0.963, "accuracy": 0.925},
    ]


def test_learning_curves_are_those_of_the_cells(section):
    rows = charts.rows_of(section)["learning"]
    assert len(rows) == 27 * 5
    mine = [row for row in rows if (row["method"], row["source"], row["seed"]) == ("gcn", "rafdb", 1)]
    assert [row["uar"] for row in mine] == [20.0, 25.0, 30.0, 35.0, 40.0]
    assert [row["chosen"] for row in mine] == [False, False, False, True, False]
