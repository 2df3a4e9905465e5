"""What the markdown pages tell before one believes a number, as tables to sort and filter.

The tables are those of the markdown pages: whatever a section writes there stands here in the same words and
numbers.
"""

from __future__ import annotations

import html
import re

from fer_bench.leaderboard.html.shown import Column, Row, Shown, Table
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, shown
from fer_bench.leaderboard.sections import claims, costs, diagnostics, epochs, outside, robustness, terms
from fer_bench.leaderboard.tables import Section

_NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(?![\w-])")


def honesty(section: Section) -> list[Table]:
    """Return the tables on costs, epochs, adaptations, weights, licences, claims, groups and corruptions.

    Args:
        section: The section.
    """
    links = Links.of((*section.cells, *section.outside))
    found = [
        _costs(section, links),
        of_markdown(
            "epochs",
            "Epochs: chosen on validation rows, the last, peeking",
            epochs.table_of(section, section.cells, links),
            "In-domain UAR in %, means over runs; all other tables show the epoch chosen on validation rows. "
            f"The {epochs.PEEKED}, in points, is measured by runs with --track-peek; no table uses it.",
        ),
        _claims(section, links),
        *_terms(section, links),
        of_markdown(
            "gaps",
            "Groups of people: widest gap in UAR, points",
            diagnostics.gaps(section, links),
            "The widest of several is a reason to look, not a proof: ± does not know that it was picked.",
        ),
        *_robustness(section, links),
        of_markdown(
            "outside",
            "Models trained elsewhere: transfer",
            outside.context(section, links)["table"],
            "Not compared: each was trained on data of its own. †: it saw this dataset. ?: nobody knows.",
        ),
    ]
    return [table for table in found if table is not None]


def _costs(section: Section, links: Links) -> Table | None:
    told = costs.context(section, links)
    if told is None:
        return None
    title = "What methods cost: size, time, memory"
    return of_markdown("costs", title, told["table"], *map(_plain, told["said"]))


def _terms(section: Section, links: Links) -> list[Table | None]:
    told = terms.context(section, links)
    weights, data = "Weights that methods start from, and their terms", "Terms of the data"
    unknown = 'Filter "commercial use" for yes. It is unknown where no card says.'
    return [
        of_markdown("weights", weights, told["methods"], unknown),
        of_markdown("data", data, told["data"]),
    ]


def _claims(section: Section, links: Links) -> Table | None:
    """Return every claim of the papers beside the score here, with remarks in words."""
    if not claims.has_claims(section):
        return None
    columns: list[Column] = []
    rows: list[Row] = []
    for part in claims.page(section, links):
        found = of_markdown("claims", "", part["table"])
        if found is None:
            continue
        columns = [Column("paper", "method"), *found.columns]
        remarks = {str(number): _plain(text) for number, text in part["remarks"]}
        last = found.columns[-1].field
        for row in found.rows:
            cell = row[last]
            words, numbers = _split(cell["t"] if isinstance(cell, dict) else str(cell or ""))
            told = "; ".join((*words, *(remarks.get(number, number) for number in numbers)))
            rows.append({**row, "paper": _plain(part["method"]), last: told})
    said = "Other splits and crops than ours are the rule. The distance is ours minus theirs, in points."
    return Table("claims", "Papers' claims", columns, rows, (said,)) if rows else None


def _split(text: str) -> tuple[list[str], list[str]]:
    """Return the words and the numbers of `contested 1, 2`."""
    parts = [part for part in re.split(r"[ ,]+", text) if part not in ("", "-")]
    return [p for p in parts if not p.isdigit()], [p for p in parts if p.isdigit()]


def _robustness(section: Section, links: Links) -> list[Table | None]:
    found: list[Table | None] = []
    whole = "Corrupted pictures: share of UAR lost, %, mean over all corruptions"
    found.append(of_markdown("corrupted", whole, robustness.context(section, links)))
    for at, source in enumerate(section.sources):
        for place, (target, rows, text) in enumerate(robustness.of_source(section, source, links)):
            title = f"Corrupted pictures: trained on {source}, tested on {_plain(target)} ({rows} rows)"
            found.append(of_markdown(f"corrupted-{at}-{place}", title, text))
    return found


def of_markdown(name: str, title: str, text: TableText, *notes: str) -> Table | None:
    """Return a table of a markdown page as one of this page.

    Args:
        name: Its name within the section.
        title: Its heading.
        text: The markdown table.
        notes: Sentences above it.

    Returns:
        None without a row.
    """
    if not text.rows:
        return None
    columns = []
    for at, cells in enumerate(zip(*text.rows, strict=True)):
        texts = [_plain(cell) for cell in cells]
        are_numbers = at > 0 and all(_number(one) is not None or one in ("-", "") for one in texts)
        columns.append(Column(f"c{at}", _plain(text.header[at]), "number" if are_numbers else "text"))
    rows = [{c.field: _cell(cell, c) for c, cell in zip(columns, row, strict=True)} for row in text.rows]
    return Table(name, title, columns, rows, notes)


def _plain(cell: str) -> str:
    """Return what a reader sees of a cell of markdown."""
    return html.unescape(shown(cell.strip().replace("<br>", "; ")))


def _number(text: str) -> float | None:
    found = _NUMBER.match(text)
    return None if found is None else float(found[0].replace(",", ""))


def _cell(markdown: str, column: Column) -> Shown:
    text = _plain(markdown)
    if text in ("-", ""):
        return None
    cell: dict[str, str | float] = {"t": text, "v": text}
    if column.kind == "number":
        value = _number(text)
        assert value is not None
        cell["v"] = value
    if markdown.strip().startswith("**"):
        cell["b"] = 1
    return cell if len(cell) > 2 or cell["v"] != text else text
