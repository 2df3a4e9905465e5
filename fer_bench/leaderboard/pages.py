"""The pages beside the first one: a page per dataset trained on, of methods, and of papers' claims."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fer_bench.datasets import members_of
from fer_bench.evaluation.components import LEVEL
from fer_bench.evaluation.estimates import SMALL_CLASS
from fer_bench.leaderboard import found_faces
from fer_bench.leaderboard.links import METHODS, Links, page_name
from fer_bench.leaderboard.markup import escape
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.sections import (
    claims,
    cross,
    diagnostics,
    epochs,
    in_domain,
    likeness,
    parts,
    provenance,
    robustness,
    sources,
)
from fer_bench.leaderboard.tables import Board, Section

MARK = "<!-- written by fer-bench leaderboard -->"
"""First line of generated pages: those that no store needs any more are removed."""
CLAIMS = "claims.md"


def heading(section: Section) -> str:
    """Return the title of a section."""
    kind = "Synthetic" if section.data_kind == "synthetic" else "Real"
    return f"{kind} data, profile `{section.profile}`"


def render_all(board: Board) -> dict[str, str]:
    """Return the text of every page but the first one, by file name."""
    cells = [cell for section in board.sections for cell in section.cells]
    if not cells:
        return {}
    links = Links.of(cells)
    trained_on = dict.fromkeys(s.split("/")[0] for section in board.sections for s in section.sources)
    texts = {page_name(dataset): _dataset(board, dataset, links) for dataset in trained_on}
    names = dict.fromkeys(
        cell.method for s in board.sections for label in s.labels for cell in s.cells if cell.label == label
    )
    facts = [sources.method_facts(name, board.sections) for name in names]
    texts[METHODS] = fill("methods.md.j2", mark=MARK, methods=facts)
    told = [part for s in board.sections if claims.has_claims(s) for part in claims.page(s, links)]
    if told:
        texts[CLAIMS] = fill("claims.md.j2", mark=MARK, parts=told)
    return texts


def fill(template: str, /, **values: Any) -> str:
    """Return a template of a page with values, blank lines tidied."""
    environment = Environment(
        loader=PackageLoader("fer_bench.leaderboard"),
        autoescape=False,  # markdown, not HTML: every text of a record goes through `escape`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["esc"] = escape
    text = environment.get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"


def _dataset(board: Board, dataset: str, links: Links) -> str:
    """Return the page of what was trained on a dataset or union."""
    shown = [s for s in board.sections if any(c.dataset == dataset for c in s.cells)]
    facts = [found for name in members_of(dataset) if (found := sources.dataset_facts(name))]
    return fill(
        "dataset.md.j2",
        mark=MARK,
        name=dataset,
        facts=facts,
        sections=[_of_section(board, section, dataset, links) for section in shown],
        level=round(100 * LEVEL),
        small=SMALL_CLASS,
    )


def _of_section(board: Board, section: Section, dataset: str, links: Links) -> dict[str, Any]:
    notes = Notes(section, dataset)
    own = [source for source in section.sources if source.split("/")[0] == dataset]
    data = [provenance.data_of(section, name) for name in members_of(dataset)]
    targets = [item for r in section.finished for item in r.targets.items()]
    recipes = sorted({d.recipe for name, d in targets if name in members_of(dataset)})
    return {
        "heading": heading(section),
        "sources": [_of_source(section, source, notes, links) for source in own],
        "notes": notes.lines(),
        "likeness": likeness.of_dataset(section, board.similarities, dataset, links),
        "data": "\n\n".join(text for text in data if text),
        "found": found_faces.sentence(recipes),
    }


def _of_source(section: Section, source: str, notes: Notes, links: Links) -> dict[str, Any]:
    cells = section.of_source(source)
    return {
        "protocol": cells[0].protocol,
        "own": in_domain.of_source(section, source, notes, links),
        "cross": cross.of_source(section, source, notes, links),
        "epochs": epochs.table_of(section, cells, links),
        "parts": diagnostics.of_source(section, source, links),
        "robustness": robustness.of_source(section, source, links),
        "subsets": parts.of_source(section, source, links),
    }
