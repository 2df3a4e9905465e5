"""Where methods and datasets come from: papers with links, and the command that opens each page."""

from __future__ import annotations

import re
from typing import Any

from fer_bench import datasets, methods
from fer_bench.datasets import members_of
from fer_bench.leaderboard.markup import escape
from fer_bench.leaderboard.tables import Section

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_DOI = re.compile(r"doi:(10\.\d{4,9}/[^\s,;&]*[^\s,;&.])")
_ADDRESS = re.compile(r"https?://[^\s()<>]+[^\s()<>.,;]")


def context(section: Section) -> dict[str, Any]:
    """Return the values of the template: a line per method and dataset that this installation knows."""
    names = dict.fromkeys(c.method for c in section.cells)
    tested = dict.fromkeys(name for c in section.cells for name in (*members_of(c.dataset), *c.cross))
    known = datasets.REGISTRY.usable()
    return {
        "methods": [_method(name) for name in names if name in methods.known()],
        "datasets": [
            (name, escape(known[name].card.title), _linked(known[name].card.citation), _obtain(name))
            for name in tested
            if name in known
        ],
    }


def _method(name: str) -> tuple[str, str, str]:
    entry = methods.entry(name)
    return name, escape(entry.title), _linked(entry.source)


def _obtain(name: str) -> str:
    """Return the link to the page of a dataset's owner, nothing where its card names none."""
    found = _ADDRESS.search(datasets.REGISTRY.usable()[name].card.obtain)
    return f"[owner's page]({found[0]})" if found else ""


def _linked(text: str) -> str:
    """Return escaped text in which arXiv numbers and DOIs are links."""
    linked = _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", escape(text, None))
    return _DOI.sub(r"[doi:\1](https://doi.org/\1)", linked)
