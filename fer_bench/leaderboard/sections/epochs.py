"""What the choice of the epoch does: on validation rows, the last one, and what peeking would gain."""

from __future__ import annotations

from collections.abc import Sequence

from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import points, signed_percent, tables
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import Record

HEADER = (
    "method",
    "chosen on validation rows",
    "last epoch",
    "best of the stored ones",
    "gain by peeking",
    "runs",
)


def table_of(section: Section, cells: Sequence[Cell], links: Links) -> str:
    """Return a row per method with the in-domain UAR of the epochs that were stored, means over runs.

    Only runs that stored two epochs or more count: with one there is nothing to choose. The better of them on
    the test rows is what an honest protocol may not take; with more epochs to peek at the gain is larger.

    Args:
        section: The section.
        cells: Cells to look at.
        links: Links of the board.
    """
    rows = []
    for label in section.labels:
        found = [scores for c in cells if c.label == label for r in c.records if (scores := _scores(r))]
        if not found:
            continue
        chosen, last, best = (sum(one) / len(found) for one in zip(*found, strict=True))
        gain = signed_percent(best - chosen)
        rows.append([links.method(label), points(chosen), points(last), points(best), gain, str(len(found))])
    return tables(HEADER, rows)


def _scores(record: Record) -> tuple[float, float, float] | None:
    """Return a run's UAR at the chosen, the last and the best of its stored epochs, None with one epoch."""
    by_selection = {s.selection: s.uar for s in record.scores if s.target == record.dataset}
    if record.headline != "val" or "last" not in by_selection or "val" not in by_selection:
        return None
    return by_selection["val"], by_selection["last"], max(by_selection.values())
