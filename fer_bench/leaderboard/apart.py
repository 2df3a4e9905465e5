"""Methods that are not compared with the others, since their models saw before what they are tested on."""

from __future__ import annotations

from collections.abc import Iterable

from fer_bench.evaluation.exposure import Seen
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.wording import and_of

NOT_COMPARED = "not compared"
"""Said where others have their letters."""


def told_apart(found: Iterable[tuple[str, Seen | None]]) -> str:
    """Say which methods are not compared, and why; nothing where all are.

    Args:
        found: Each method, and why it is apart.
    """
    methods: dict[str, list[str]] = {}
    for name, seen in found:
        if seen is not None and name not in methods.setdefault(seen.reason, []):
            methods[seen.reason].append(name)
    return " ".join(
        f"Not compared with the others: {and_of(names)}, since {reason}."
        for reason, names in methods.items()
        if names
    )


def by_source(found: Iterable[tuple[Cell, Seen | None]]) -> str:
    """Say which methods are not compared on which sources, and why; nothing where all are.

    Args:
        found: Cells of usual settings, and why each is apart.
    """
    cells = list(found)
    told = []
    for label, seen in dict.fromkeys((cell.label, seen) for cell, seen in cells if seen is not None):
        mine = [(cell.source, why) for cell, why in cells if cell.label == label]
        where = [source for source, why in mine if why == seen]
        told.append((label if len(where) == len(mine) else f"{label} on {and_of(where)}", seen))
    return told_apart(told)


def notes_apart(cell: Cell) -> list[str]:
    """Return the notes at the numbers of a cell that is not compared."""
    own, other = cell.apart_in_domain, cell.apart_elsewhere
    if own is not None and own == other:
        return [f"{NOT_COMPARED} and in no test of the others, since {own.reason}"]
    places = (("on its own dataset", own), ("on other datasets", other))
    return [
        f"{NOT_COMPARED} {where} and in no test of the others, since {seen.reason}"
        for where, seen in places
        if seen is not None
    ]
