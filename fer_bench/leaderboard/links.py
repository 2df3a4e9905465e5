"""Links between the pages of the board."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape

METHODS = "methods.md"
"""The page of methods: papers, settings, what weights were trained on."""


def page_name(dataset: str) -> str:
    """Return the file of the page of what was trained on a dataset or union."""
    return f"{dataset}.md"


@dataclass(frozen=True)
class Links:
    """What has a page or a part of one.

    Attributes:
        trained_on: Datasets and unions with a page.
        methods: Method by label.
    """

    trained_on: frozenset[str]
    methods: dict[str, str]

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Links:
        """Return the links of a board."""
        known = list(cells)
        return cls(frozenset(c.dataset for c in known), {c.label: c.method for c in known})

    def method(self, label: str) -> str:
        """Return a method's label as a link to its part of the page of methods."""
        name = self.methods.get(label, label)
        anchor = re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")
        return f"[{escape(label)}]({METHODS}#{anchor})"

    def source(self, source: str) -> str:
        """Return a dataset, union or `dataset/protocol` as a link to its page, if it has one."""
        name = source.split("/")[0]
        if name not in self.trained_on:
            return escape(source)
        return f"[{escape(source)}]({quote(page_name(name), safe='+')})"
