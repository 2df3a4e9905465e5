"""What the choice of the epoch does: on validation rows, the last, and what peeking at test rows gains."""

from __future__ import annotations

from collections.abc import Sequence

from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, points, signed_percent, tables
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import Record

CHOSEN, LAST, PEEKED = "chosen on validation rows", "last epoch", "gain by peeking"


def table_of(section: Section, cells: Sequence[Cell], links: Links) -> TableText:
    """Return a row per method with in-domain UAR by epoch, and what the best epoch on test rows would add.

    Means over the runs that chose an epoch on validation rows; the gain over those of them that looked at the
    test rows after every epoch (`--track-peek`), in points, with their number.

    Args:
        section: The section.
        cells: Cells to look at.
        links: Links of the board.
    """
    rows = []
    for label in section.labels:
        runs = [by for c in cells if c.label == label for r in c.records if (by := _by_selection(r))]
        if not runs:
            continue
        gains = [by["peek"] - by["val"] for by in runs if "peek" in by]
        gain = f"{signed_percent(sum(gains) / len(gains))} ({len(gains)})" if gains else "-"
        means = (points(sum(by[name] for by in runs) / len(runs)) for name in ("val", "last"))
        rows.append([links.method(label), *means, gain, str(len(runs))])
    header = ["method", CHOSEN, LAST, f"{PEEKED} (runs)", "runs"]
    if all(row[3] == "-" for row in rows):
        header, rows = [*header[:3], header[4]], [[*row[:3], row[4]] for row in rows]
    return tables(header, rows)


def _by_selection(record: Record) -> dict[str, float]:
    """Return a run's in-domain UAR by selection; nothing where no epoch was chosen on validation rows."""
    found: dict[str, float] = {s.selection: s.uar for s in record.scores if s.target == record.dataset}
    return found if record.headline == "val" and {"val", "last"} <= {*found} else {}
