"""Figures of the board, measured as they are drawn."""

import pytest

from fer_bench.figures import figure_style, new_figure
from fer_bench.leaderboard import plots

NAMES = ("none better for less", "gcn", "erm", "ssmfar", "resemotenet", "cafe (not compared)")


@pytest.mark.parametrize(("width", "columns"), [(13.4, 6), (7.0, 3), (3.8, 2), (1.0, 1)])
def test_a_legend_below_the_axes_takes_as_few_rows_as_fit(width, columns):
    with figure_style():
        figure = new_figure(width, 4.0)
        axis = figure.subplots()
        named = {name: axis.plot([0, 1], [0, 1])[0] for name in NAMES}
        plots._legend_below(figure, named)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert legend._ncols == columns
        assert [text.get_text() for text in legend.get_texts()] == list(NAMES)
        if columns > 1:
            box = legend.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= figure.bbox.width
