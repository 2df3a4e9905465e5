"""The board: `README.md`, `index.html`, the numbers as CSV, and the figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fer_bench import datasets, methods
from fer_bench.evaluation import coverage
from fer_bench.evaluation.components import LEVEL, MIN_UNITS
from fer_bench.evaluation.estimates import SMALL_CLASS
from fer_bench.evaluation.pairs import EXACT_UNITS, LEAST_DRAWS, MIN_SEEDS
from fer_bench.evaluation.transfer import MIN_IN_DOMAIN
from fer_bench.files import canonical, write_text
from fer_bench.leaderboard.exports import cells_csv, generalisation_csv, pairs_csv, results_csv
from fer_bench.leaderboard.html.page import render_html
from fer_bench.leaderboard.markup import escape, table
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.plots import draw_in_domain, draw_transfer
from fer_bench.leaderboard.sections import (
    baseline,
    claims,
    cross,
    diagnostics,
    glance,
    in_domain,
    outside,
    parts,
    provenance,
    robustness,
    runs,
    sources,
)
from fer_bench.leaderboard.tables import Board, Section, build_board, slugs
from fer_bench.results.store import Store


def read_board(store: Store) -> Board:
    """Read a store into the tables of the leaderboard, with every known method and the seven main datasets.

    Args:
        store: The run store.
    """
    return build_board(store, methods=methods.names(), named_targets=datasets.MAIN_SEVEN)


def write_leaderboard(store: Store, out: Path) -> list[Path]:
    """Write the board of a store into a folder; the same store gives the same bytes."""
    return write_pages(read_board(store), out)


def write_pages(board: Board, out: Path) -> list[Path]:
    """Write the pages of a board; the same board gives the same bytes.

    Args:
        board: From `read_board`.
        out: Folder of `README.md`, `index.html` (the same, interactive), `results.csv` (one row per run,
            target and selection), `cells.csv` (one row per method, source and target, with intervals),
            `generalisation.csv` (one row per method and source), `pairs.csv` (one row per test of two
            methods) and `figures/`.

    Returns:
        The files, `README.md` first.
    """
    names = slugs(board.sections)
    figures: list[Path] = []
    shown: dict[str, dict[str, str]] = {}
    for section, slug in zip(board.sections, names, strict=True):
        shown[slug] = {}
        for name, draw in (("in-domain", draw_in_domain), ("transfer", draw_transfer)):
            path = out / "figures" / f"{slug}-{name}.png"
            if draw(section, path):
                figures.append(path)
                shown[slug][name] = f"figures/{path.name}"
    for old in sorted((out / "figures").glob("*.png")):
        if old not in figures and re.fullmatch(r"(real|synthetic)-.*-(in-domain|transfer)\.png", old.name):
            old.unlink()  # of a section that the store no longer has
    texts = {
        "README.md": render(board, shown),
        "index.html": render_html(board),
        "results.csv": results_csv(r for s in board.sections for r in s.records),
        "cells.csv": cells_csv(board),
        "generalisation.csv": generalisation_csv(board),
        "pairs.csv": pairs_csv(board),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts] + figures


def render(board: Board, figures: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of `README.md`.

    Args:
        board: The tables.
        figures: Per section name: `in-domain` and `transfer` -> path of the figure.
    """
    environment = Environment(
        loader=PackageLoader("fer_bench.leaderboard"),
        autoescape=False,  # markdown, not HTML: every text of a record goes through `escape`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["esc"] = escape
    template = environment.get_template("README.md.j2")
    sections = [
        _section(section, figures.get(slug, {}), board.named_targets)
        for section, slug in zip(board.sections, slugs(board.sections), strict=True)
    ]
    problems = [(p.file, p.message) for p in board.problems]
    text = template.render(
        sections=sections,
        problems=table(("file below the store", "problem"), problems, raw=()),
        synthetic=bool(board.sections) and all(s.data_kind == "synthetic" for s in board.sections),
        methods=board.methods,
        named=board.named_targets,
        level=round(100 * LEVEL),
        min_units=MIN_UNITS,
        small=SMALL_CLASS,
        min_in_domain=MIN_IN_DOMAIN,
        coverage=coverage.found(),
        draws=LEAST_DRAWS,
        exact=EXACT_UNITS,
        min_seeds=MIN_SEEDS,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _section(section: Section, figures: Mapping[str, str], named: Sequence[str]) -> dict[str, Any]:
    """Return the values that the template shows of a section."""
    notes = Notes(section)
    generator = (section.generator or {}).items()
    return {
        "data_kind": section.data_kind,
        "profile": section.profile,
        "generator": ", ".join(f"{k} {v if isinstance(v, str) else canonical(v)}" for k, v in generator),
        "figures": figures,
        "any_done": bool(section.cells),
        "number": len(section.records),
        "glance": glance.context(section, notes),
        "baseline": baseline.context(section),
        "own": in_domain.context(section, notes),
        "diagnostics": diagnostics.context(section),
        "cross": cross.context(section, notes),
        "outside": outside.context(section),
        "parts": parts.parts_table(section, notes),
        "robustness": robustness.context(section),
        "claims": claims.claimed(section),
        "runs": runs.context(section, named),
        "provenance": provenance.context(section),
        "sources": sources.context(section),
    }
