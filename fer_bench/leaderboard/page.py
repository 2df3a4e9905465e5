"""The board: pages that link to each other, `index.html`, the numbers as CSV, and the figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fer_bench import datasets, methods
from fer_bench.errors import UsageError
from fer_bench.evaluation import coverage
from fer_bench.evaluation.components import LEVEL, MIN_UNITS
from fer_bench.evaluation.pairs import EXACT_UNITS, LEAST_DRAWS, MIN_SEEDS
from fer_bench.evaluation.transfer import MIN_IN_DOMAIN
from fer_bench.files import write_text
from fer_bench.leaderboard import pages
from fer_bench.leaderboard.exports import (
    cells_csv,
    efficiency_csv,
    generalisation_csv,
    pairs_csv,
    results_csv,
    runs_csv,
)
from fer_bench.leaderboard.html.page import render_html
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import table
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.plots import draw_costs, draw_in_domain, draw_overview, draw_transfer
from fer_bench.leaderboard.sections import (
    baseline,
    claims,
    costs,
    cross,
    diagnostics,
    epochs,
    glance,
    in_domain,
    likeness,
    outside,
    provenance,
    robustness,
    runs,
    terms,
)
from fer_bench.leaderboard.tables import Board, Section, build_board, slugs
from fer_bench.results.store import MARK, Store

FIGURES: dict[str, Callable[[Section, Path], bool]] = {
    "overview": draw_overview,
    "in-domain": draw_in_domain,
    "transfer": draw_transfer,
    "costs": draw_costs,
}


def read_board(store: Store) -> Board:
    """Read a store into the tables of the leaderboard, with every known method and the seven main datasets.

    Args:
        store: The run store.

    Raises:
        UsageError: Its runs were trained with a bad habit, for the protocol audit.
    """
    if (store.root / MARK).exists():
        raise UsageError(
            "these runs were trained with a bad habit for the protocol audit, so no board is made of them",
            file=store.root,
            hint="what the habit buys: fer-bench audit --dataset NAME",
        )
    return build_board(store, methods=methods.names(), named_targets=datasets.MAIN_SEVEN)


def write_leaderboard(store: Store, out: Path) -> list[Path]:
    """Write the board of a store into a folder; the same store gives the same bytes."""
    return write_pages(read_board(store), out)


def write_pages(board: Board, out: Path) -> list[Path]:
    """Write the pages of a board; the same board gives the same bytes.

    Args:
        board: From `read_board`.
        out: Folder of `README.md`, a page per dataset trained on, `methods.md`, `claims.md` where papers'
            claims apply, `index.html` (the same, interactive), `results.csv` (one row per run, target and
            selection), `runs.csv` (one row per run), `cells.csv` (one row per method, source and target, with
            intervals), `generalisation.csv` (one row per method and source), `pairs.csv` (one row per test of
            two methods), `efficiency.csv` (one row per method: what it costs) and `figures/`.

    Returns:
        The files, `README.md` first.
    """
    figures: list[Path] = []
    shown: dict[str, dict[str, str]] = {}
    for section, slug in zip(board.sections, slugs(board.sections), strict=True):
        shown[slug] = {}
        for name, draw in FIGURES.items():
            path = out / "figures" / f"{slug}-{name}.png"
            if draw(section, path):
                figures.append(path)
                shown[slug][name] = f"figures/{path.name}"
    for old in sorted((out / "figures").glob("*.png")):
        if old not in figures and re.fullmatch(rf"(real|synthetic)-.*-({'|'.join(FIGURES)})\.png", old.name):
            old.unlink()  # of a section that the store no longer has
    texts = {"README.md": render(board, shown), **pages.render_all(board)}
    for old in sorted(out.glob("*.md")):
        if old.name not in texts and old.read_text(encoding="utf-8", errors="replace").startswith(pages.MARK):
            old.unlink()  # of a dataset that the store no longer has
    texts |= {
        "index.html": render_html(board),
        "results.csv": results_csv(r for s in board.sections for r in s.records),
        "runs.csv": runs_csv(board),
        "cells.csv": cells_csv(board),
        "generalisation.csv": generalisation_csv(board),
        "pairs.csv": pairs_csv(board),
        "efficiency.csv": efficiency_csv(board),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts] + figures


def render(board: Board, figures: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of `README.md`.

    Args:
        board: The tables.
        figures: Per section name: name of the figure, as in `FIGURES`, -> its path.
    """
    links = Links.of(cell for section in board.sections for cell in section.cells)
    problems = [(p.file, p.message) for p in board.problems]
    return pages.fill(
        "README.md.j2",
        sections=[
            _section(board, section, figures.get(slug, {}), links)
            for section, slug in zip(board.sections, slugs(board.sections), strict=True)
        ],
        problems=table(("file below the store", "problem"), problems, raw=()),
        synthetic=board.synthetic,
        methods=board.methods,
        named=board.named_targets,
        level=round(100 * LEVEL),
        min_units=MIN_UNITS,
        min_in_domain=MIN_IN_DOMAIN,
        coverage=coverage.found(),
        draws=LEAST_DRAWS,
        exact=EXACT_UNITS,
        min_seeds=MIN_SEEDS,
    )


def _section(board: Board, section: Section, figures: Mapping[str, str], links: Links) -> dict[str, Any]:
    """Return the values that the template shows of a section."""
    return {
        "heading": pages.heading(section),
        "data_kind": section.data_kind,
        "generator": section.drawing,
        "figures": figures,
        "any_done": bool(section.cells),
        "best": section.overall_column.best,
        "glance": glance.context(section, Notes(section), links),
        "baseline": baseline.context(section, links),
        "own": in_domain.context(section, links),
        "cross": cross.context(section, links),
        "likeness": likeness.sentences(section, board.similarities),
        "outside": outside.context(section, links),
        "costs": costs.context(section, links),
        "gaps": diagnostics.gaps(section, links),
        "robustness": robustness.context(section, links),
        "epochs": epochs.table_of(section, section.cells, links),
        "peeked": any("peek" in r.selection for r in section.finished),
        "adapted": in_domain.adapted(section),
        "claims": claims.summary(section),
        "terms": terms.context(section, links),
        "runs": runs.context(section, board.named_targets, links),
        "environment": provenance.environment(section),
    }
