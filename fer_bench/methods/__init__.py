"""The methods, one folder each, and the registry that finds them by name without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from fer_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from fer_bench.methods.base import Method


@dataclass(frozen=True)
class Entry:
    """One line of the registry.

    Attributes:
        target: `module:Class` of the Method.
        title: What the method is, in one line.
        source: The paper.
    """

    target: str
    title: str
    source: str


BUILT_IN: dict[str, Entry] = {
    "cafe": Entry(
        "fer_bench.methods.cafe.method:CAFE",
        "a trained mask chooses channels of a frozen CLIP feature",
        "Zhang et al., ECCV 2024, arXiv:2408.10614",
    ),
    "gcn": Entry(
        "fer_bench.methods.gcn.method:GCN",
        "generative-contrastive network: compares a face with a generated reference of the same person",
        "Kim et al., arXiv:1703.07140",
    ),
    "resemotenet": Entry(
        "fer_bench.methods.resemotenet.method:ResEmoteNet",
        "convolutions, one squeeze-and-excitation block and three residual blocks",
        "Roy et al., IEEE SPL 2024, arXiv:2409.10545",
    ),
    "ssmfar": Entry(
        "fer_bench.methods.ssmfar.method:SSMFAR",
        "expressions, valence-arousal and action units together, also from rows without expression label",
        "Gera et al., ECCVW 2022, arXiv:2207.09012",
    ),
}


@cache
def registry() -> dict[str, Entry]:
    """Return all registry lines: the built-in ones, then those of other packages."""
    found = dict(BUILT_IN)
    for point in entry_points(group="fer_bench.methods"):
        found.setdefault(point.name, Entry(point.value, f"from {point.module}", ""))
    return found


def names() -> tuple[str, ...]:
    """Return all method names."""
    return tuple(registry())


def entry(name: str) -> Entry:
    """Return the registry line of that name.

    Raises:
        UsageError: No such method; near names are suggested.
    """
    found = registry().get(name)
    if found is None:
        raise UsageError("unknown method", value=name, hint=nearest(name, names()))
    return found


def get(name: str) -> type[Method]:
    """Return the method class of that name.

    Raises:
        UsageError: No such method; near names are suggested.
    """
    module, _, attribute = entry(name).target.partition(":")
    found: type[Method] = getattr(import_module(module), attribute)
    return found
