"""The page itself: the board's numbers, the libraries and a little glue in one file that loads nothing."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fer_bench.evaluation.components import LEVEL, MIN_UNITS
from fer_bench.evaluation.pairs import MIN_SEEDS
from fer_bench.figures import COLOURS
from fer_bench.leaderboard.colours import ON_DARK
from fer_bench.leaderboard.html import charts, libraries, runs, tables
from fer_bench.leaderboard.html.details import details
from fer_bench.leaderboard.html.folded import honesty
from fer_bench.leaderboard.html.shown import Column, Table
from fer_bench.leaderboard.tables import Board, Section, slugs

FOLDER = files("fer_bench.leaderboard.html")
_ESCAPED = "<>&\u2028\u2029"


def render_html(board: Board) -> str:
    """Return the text of `index.html`; the same board gives the same text.

    Args:
        board: The tables.
    """
    names = slugs(board.sections)
    shown = [_section(section, slug) for section, slug in zip(board.sections, names, strict=True)]
    data = {one["slug"]: one.pop("data") for one in shown}
    problems = _problems(board)
    if problems is not None:
        data["problems"] = {"tables": {problems.name: problems.plain}}
    scripts = [*libraries.scripts(), _own("board.js")]
    return (
        _environment()
        .get_template("index.html")
        .render(
            sections=shown,
            synthetic=board.synthetic,
            problems=problems,
            data=Markup(embedded({"sections": data, "palette": {"light": COLOURS, "dark": ON_DARK}})),
            scripts=[Markup(script) for script in scripts],
            styles=[Markup(style) for style in (*libraries.styles(), _own("board.css"))],
            policy=" ".join(libraries.policy_hash(script) for script in scripts),
            licences=libraries.licences(),
            level=round(100 * LEVEL),
            min_units=MIN_UNITS,
            min_seeds=MIN_SEEDS,
        )
    )


def embedded(value: Any) -> str:
    """Return a value as JSON that can stand in a script element of a page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in _ESCAPED:
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("fer_bench.leaderboard.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _section(section: Section, slug: str) -> dict[str, Any]:
    """Return what the template shows of a section, and under `data` what its script does."""
    first = [tables.overview(section), tables.in_domain(section), tables.generalisation(section)]
    folded = [tables.cells(section), tables.pairs(section), tables.tests(section), runs.parts(section)]
    folded += [*honesty(section), runs.runs(section), runs.missing(section)]
    rows = charts.rows_of(section)
    drawn = charts.charts(section, rows)
    every = [table for table in (*first, *folded) if table.rows]
    return {
        "slug": slug,
        "kind": section.data_kind,
        "profile": section.profile,
        "generator": section.drawing,
        "runs": len(section.records),
        "done": bool(section.cells),
        "tables": {table.name: table for table in every},
        "folded": [table for table in folded if table.rows],
        "charts": {chart.name: chart for chart in drawn},
        "data": {
            "tables": {table.name: table.plain for table in every},
            "charts": {chart.name: chart.spec for chart in drawn},
            "rows": rows,
            "details": details(section),
            "specs": charts.specs_of(section),
        },
    }


def _problems(board: Board) -> Table | None:
    """Return the files that could not be read, None where there are none."""
    columns = [Column("file", "file below the store"), Column("problem", "problem")]
    rows = [{"file": one.file, "problem": one.message} for one in board.problems]
    return Table("problems", "What could not be read", columns, rows) if rows else None
