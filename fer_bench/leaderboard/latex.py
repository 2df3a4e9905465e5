"""The tables that a paper needs, as LaTeX: in-domain UAR and generalisation, with intervals and letters."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fer_bench.evaluation.components import LEVEL
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import MIN_SEEDS, Column
from fer_bench.leaderboard.markup import with_interval
from fer_bench.leaderboard.tables import Board, Section, slugs

PREAMBLE = "% Written by fer-bench; needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n"
APART = r"$^{\dagger}$"
SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def latex_tables(board: Board) -> str:
    """Return the tables of a board as LaTeX with booktabs; the same board gives the same text.

    Bold are methods that no other is shown to be better than, and only where a test shows a difference. What
    was tested on data that its model had seen is marked, and neither bold nor lettered.

    Args:
        board: The tables of a store.
    """
    parts = [PREAMBLE]
    for section, slug in zip(board.sections, slugs(board.sections), strict=True):
        if section.cells:
            parts += [_generalisation(section, slug), _in_domain(section, slug)]
    return "\n".join(parts)


def _generalisation(section: Section, slug: str) -> str:
    rows = []
    for mine in section.overall:
        mark = mine.apart is not None and mine.mean is not None
        row = [_text(mine.label), _number(mine.mean, section.overall_column, mine.label, 1, 2, apart=mark)]
        row.append(_plain(mine.retention, 100, 0))
        for source in section.sources:
            cell = section.cell(mine.label, source)
            general = None if cell is None else cell.generalisation
            column = section.general_columns[source]
            if cell is None or general is None or general.mean is None:
                row.append("-")
            elif not general.complete:
                row.append(f"{general.mean.value:.2f} ({general.scored}/{general.wanted})")
            else:
                apart = cell.apart_elsewhere is not None
                row.append(_number(general.mean, column, mine.label, 1, 2, apart=apart))
        rows.append(row)
    header = ["Method", "Overall", r"Retention, \%", *map(_text, section.sources)]
    what = (
        "Generalisation: mean chance-corrected UAR on other datasets (0 is guessing, 1 is perfect), per "
        "dataset trained on, and retention, its share of the score on the own dataset."
    )
    return _table(section, header, rows, what, f"{slug}-generalisation")


def _in_domain(section: Section, slug: str) -> str:
    rows = []
    for label in section.labels:
        row = [_text(label)]
        for source in section.sources:
            cell = section.cell(label, source)
            if cell is None or cell.in_domain is None:
                row.append("-")
                continue
            value = cell.in_domain.estimate.values["uar"]
            apart = cell.apart_in_domain is not None
            row.append(_number(value, section.own_columns[source], label, 100, 1, apart=apart))
        rows.append(row)
    header = ["Method", *map(_text, section.sources)]
    return _table(
        section, header, rows, r"UAR (\%), trained and tested on the same dataset.", f"{slug}-in-domain"
    )


def _table(
    section: Section, header: Sequence[str], rows: Sequence[Sequence[str]], what: str, name: str
) -> str:
    """Return one floating table, no wider than the text."""
    kind = r"\textbf{SYNTHETIC DATA} (drawn faces). " if section.data_kind == "synthetic" else ""
    seeds = sorted({len(cell.seeds) for cell in section.cells})
    counts = str(seeds[0]) if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    letters = (
        "methods that share a letter are not shown to differ, bold ones are not shown to be worse than any"
        if seeds[-1] >= MIN_SEEDS
        else f"provisional, methods are compared from {MIN_SEEDS} seeds on"
    )
    apart = any(APART in cell for row in rows for cell in row)
    caption = (
        f"{kind}{what} Profile {_text(section.profile)}, {counts} training seed{'s' * (counts != '1')}; "
        f"brackets: {round(100 * LEVEL)}\\,\\% intervals; {letters}."
        + (f" {APART} not compared: the model saw labels of what it is tested on." if apart else "")
    )
    body = (
        pd.DataFrame(_two_lines(rows), columns=list(header))
        .style.hide(axis="index")
        .to_latex(hrules=True, column_format="l" + "r" * (len(header) - 1))
    )
    parts = [
        r"\begin{table*}",
        r"\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:fer-bench-{name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        body.rstrip() + "%",
        "}",
        r"\end{table*}",
    ]
    return "\n".join(parts) + "\n"


def _number(
    value: Value | None, column: Column, label: str, scale: float, places: int, *, apart: bool
) -> str:
    """Return a number with its interval and letters, bold where no method is shown to be better."""
    point, bracket, rest = _plain(value, scale, places).partition(" [")
    point = rf"\textbf{{{point}}}" if label in column.leaders else point
    letters = column.letters.get(label, "")
    point += rf"$^{{\mathrm{{{letters}}}}}$" if letters else ""
    return point + (APART if apart and value is not None else "") + bracket + rest


def _plain(value: Value | None, scale: float, places: int) -> str:
    return with_interval(value, lambda number: f"{scale * number:.{places}f}".replace("-", "$-$"))


def _two_lines(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return two lines per row: the numbers, and their intervals in small type below them."""
    lines = []
    for row in rows:
        parts = [cell.partition(" [") for cell in row]
        lines.append([point for point, _, _ in parts])
        lines.append([rf"{{\scriptsize [{rest}}}" if bracket else "" for _, bracket, rest in parts])
    return lines


def _text(text: str) -> str:
    """Return text that LaTeX prints as itself."""
    return text.translate(SPECIAL)
