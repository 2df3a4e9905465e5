"""Where methods and datasets come from: papers with links, settings, cost, and the command of each page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from fer_bench import datasets, methods
from fer_bench.files import spelled
from fer_bench.leaderboard.licences import commercial
from fer_bench.leaderboard.markup import escape
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import Record

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_DOI = re.compile(r"doi:(10\.\d{4,9}/[^\s,;&]*[^\s,;&.])")
_ADDRESS = re.compile(r"https?://[^\s()<>]+[^\s()<>.,;]")


def linked(text: str) -> str:
    """Return escaped text in which arXiv numbers and DOIs are links."""
    found = _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", escape(text, None))
    return _DOI.sub(r"[doi:\1](https://doi.org/\1)", found)


def method_facts(name: str, sections: Sequence[Section]) -> dict[str, Any]:
    """Return what the page of methods says of one: its paper, and per section its settings and cost."""
    known = name in methods.known()
    entry = methods.entry(name) if known else None
    uses = []
    for section in sections:
        records = [r for c in section.cells if c.method == name and c.usual for r in c.records]
        if records:
            uses.append(
                {
                    "where": f"{section.data_kind} data, profile `{section.profile}`",
                    "settings": _settings(records),
                    "parameters": _range(r.parameters for r in records),
                    "multiply_adds": _range(r.multiply_adds for r in records),
                }
            )
    return {
        "name": escape(name),
        "command": name if known else "",
        "title": "" if entry is None else escape(entry.title),
        "source": "" if entry is None else linked(entry.source),
        "uses": uses,
    }


def dataset_facts(name: str) -> dict[str, str]:
    """Return what the page of a dataset says of it; nothing where this installation does not know it."""
    usable = datasets.REGISTRY.usable()
    if name not in usable:
        return {}
    card = usable[name].card
    found = _ADDRESS.search(card.obtain)
    return {
        "name": name,
        "title": escape(card.title),
        "citation": linked(card.citation),
        "owner": f"[owner's page]({found[0]})" if found else "",
        "licence": escape(card.licence),
        "commercial": commercial(card.licence),
    }


def _settings(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the settings of some runs by name; several values where runs differ."""
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in spelled(record.settings).items():
            values.setdefault(name.removeprefix("method."), set()).add(value)
    return [(escape(name), escape(" / ".join(sorted(found)))) for name, found in values.items()]


def _range(values: Iterable[int]) -> str:
    found = sorted({value for value in values if value})
    if not found:
        return "-"
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
