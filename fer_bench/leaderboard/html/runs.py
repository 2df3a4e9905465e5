"""The tables of what ran, and of what scores are made of: from the records of a section."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fer_bench.leaderboard.html.shown import Column, Row, Shown, Table, key_of, number
from fer_bench.leaderboard.html.tables import PERCENT, cells_of
from fer_bench.leaderboard.markup import points, two
from fer_bench.leaderboard.sections.runs import reason_of
from fer_bench.leaderboard.tables import Section
from fer_bench.results.scores import Breakdown


def runs(section: Section) -> Table:
    """Return one row per run, finished or not."""
    keys = {r.key: key_of(cell) for cell in (*section.cells, *section.outside) for r in cell.records}
    rows: list[Row] = []
    for record in section.records:
        score, chosen = record.score(record.dataset, record.headline), record.selection.get(record.headline)
        key: Shown = record.key
        if record.key in keys:
            key = {"v": record.key, "t": record.key, "d": keys[record.key]}
        rows.append(
            {
                "method": record.method,
                "varied": ", ".join(f"{name}={text}" for name, text in record.varied.items()),
                "dataset": record.dataset,
                "protocol": record.protocol,
                "fold": f"{record.fold} of {record.folds}" if record.folds > 1 else "",
                "seed": record.seed,
                "status": record.status,
                "epoch": None if chosen is None else chosen.epoch,
                "uar": number(None if score is None else score.uar, points, PERCENT),
                "key": key,
                "reason": reason_of(record),
            }
        )
    columns = [
        Column("method", "method"),
        Column("varied", "settings varied"),
        Column("dataset", "trained on"),
        Column("protocol", "protocol"),
        Column("fold", "fold"),
        Column("seed", "seed", "number"),
        Column("status", "status"),
        Column("epoch", "epoch chosen", "number"),
        Column("uar", "test UAR, %", "number", "of the epoch with the best validation UAR"),
        Column("key", "key"),
        Column("reason", "why it did not finish"),
    ]
    return Table("runs", "What ran, what did not", columns, rows)


def missing(section: Section) -> Table:
    """Return what was asked for and is absent, and what the board expects and was never run."""
    rows: list[Row] = [
        {"what": target, "why": f"asked for and absent: {reason}", "runs": count}
        for (target, reason), count in section.missing.items()
    ]
    rows += [
        {"what": f"{method} on {name}", "why": "not yet run", "runs": 0}
        for method, names in section.not_run.items()
        for name in names
    ]
    columns = [Column("what", "missing"), Column("why", "why"), Column("runs", "runs that asked", "number")]
    return Table("missing", "Missing cells", columns, rows)


def parts(section: Section) -> Table:
    """Return what the in-domain scores are made of: one row per cell, means over its runs."""
    rows: list[Row] = []
    for cell in cells_of(section):
        found = cell.breakdowns(cell.dataset)
        if not found:
            continue
        row: dict[str, Shown] = {
            "source": cell.source,
            "method": {"v": cell.label, "t": cell.label, "d": key_of(cell)},
        }
        for name, show, scale, value in _MEANS:
            row[name] = number(_mean(found, value), show, scale)
        rows.append(row)
    columns = [
        Column("source", "trained on"),
        Column("method", "method"),
        Column("ece", "ECE, %", "number", "expected calibration error, 15 bins of equal width"),
        Column("ece_adaptive", "adaptive ECE, %", "number", "bins of equal numbers of rows"),
        Column("brier", "Brier", "number"),
        Column("nll", "NLL", "number", "negative log-likelihood in nats"),
        Column("human", "people, %", "number", "UAR of one held-out vote against the majority of the others"),
        Column("va", "CCC", "number", "mean concordance of valence and arousal"),
        Column("au", "AU F1, %", "number", "mean F1 of the action units"),
    ]
    kept = [c for c in columns if any(row.get(c.field) is not None for row in rows)]
    return Table(
        "parts",
        "Calibration, people, affect",
        kept,
        rows,
        ("Means over the runs of a cell, without intervals and not tested.",),
    )


_MEANS: tuple[tuple[str, Callable[[float], str], float, Callable[[Breakdown], float | None]], ...] = (
    ("ece", points, PERCENT, lambda part: part.calibration.ece),
    ("ece_adaptive", points, PERCENT, lambda part: part.calibration.ece_adaptive),
    ("brier", two, 1.0, lambda part: part.calibration.brier),
    ("nll", two, 1.0, lambda part: part.calibration.nll),
    ("human", points, PERCENT, lambda part: None if part.votes is None else part.votes.human_uar),
    ("va", two, 1.0, lambda part: part.va_ccc),
    ("au", points, PERCENT, lambda part: part.au_f1),
)


def _mean(found: Sequence[Breakdown], value: Callable[[Breakdown], float | None]) -> float | None:
    known = [one for part in found if (one := value(part)) is not None]
    return sum(known) / len(known) if known else None
