"""The tables that a paper needs, as LaTeX with booktabs: intervals, letters, bold where tests say so."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fer_bench.evaluation.components import LEVEL
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import MIN_SEEDS
from fer_bench.leaderboard import paper
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
            parts += [
                _table(section, one, slug)
                for one in (paper.generalisation(section), paper.in_domain(section))
            ]
    return "\n".join(parts)


_TITLES = {paper.OVERALL: "Overall", paper.RETENTION: r"Retention, \%"}
_CAPTIONS = {
    "generalisation": "Generalisation: mean chance-corrected UAR on other datasets (0 is guessing, "
    "1 is perfect), per dataset trained on, and retention, its share of the score on the own dataset.",
    "in-domain": r"UAR (\%), trained and tested on the same dataset.",
}


def _table(section: Section, table: paper.PaperTable, slug: str) -> str:
    """Return one floating table, no wider than the text."""
    kind = r"\textbf{SYNTHETIC DATA} (drawn faces). " if section.data_kind == "synthetic" else ""
    seeds = sorted({len(cell.seeds) for cell in section.cells})
    counts = str(seeds[0]) if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    letters = (
        "methods that share a letter are not shown to differ, bold ones are not shown to be worse than any"
        if seeds[-1] >= MIN_SEEDS
        else f"provisional, methods are compared from {MIN_SEEDS} seeds on"
    )
    apart = any(entry is not None and entry.apart for row in table.rows.values() for entry in row)
    caption = (
        f"{kind}{_CAPTIONS[table.name]} Profile {_text(section.profile)}, {counts} training "
        f"seed{'s' * (counts != '1')}; brackets: {round(100 * LEVEL)}\\,\\% intervals; {letters}."
        + (f" {APART} not compared: the model saw labels of what it is tested on." if apart else "")
    )
    header = ["Method", *(_TITLES.get(name, _text(name)) for name in table.columns)]
    rows = [[_text(label), *_numbers(table, entries)] for label, entries in table.rows.items()]
    body = (
        pd.DataFrame(_two_lines(rows), columns=header)
        .style.hide(axis="index")
        .to_latex(hrules=True, column_format="l" + "r" * (len(header) - 1))
    )
    parts = [
        r"\begin{table*}",
        r"\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:fer-bench-{slug}-{table.name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        body.rstrip() + "%",
        "}",
        r"\end{table*}",
    ]
    return "\n".join(parts) + "\n"


def _numbers(table: paper.PaperTable, entries: Sequence[paper.Entry | None]) -> list[str]:
    """Return numbers with intervals and letters, bold where no method is shown to be better."""
    texts = []
    for name, entry in zip(table.columns, entries, strict=True):
        if entry is None:
            texts.append("-")
            continue
        share = name in table.percent
        places = 0 if name == paper.RETENTION else table.places
        point, bracket, rest = _plain(entry.value, 100 if share else 1, places).partition(" [")
        point = rf"\textbf{{{point}}}" if entry.bold else point
        point += rf"$^{{\mathrm{{{entry.letters}}}}}$" if entry.letters else ""
        point += f" ({entry.part})" if entry.part else ""
        texts.append(point + (APART if entry.apart else "") + bracket + rest)
    return texts


def _plain(value: Value, scale: float, places: int) -> str:
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
