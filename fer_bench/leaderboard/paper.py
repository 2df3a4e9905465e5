"""The tables that a paper needs, as numbers: how methods do elsewhere, and on their own dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Column
from fer_bench.files import write_text
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.tables import Board, Overall, Section, slugs


@dataclass(frozen=True)
class Entry:
    """A number of a paper's table.

    Attributes:
        value: The number with its interval.
        letters: Methods that share one are not shown to differ.
        bold: Whether no method is shown to be better, in a column where a test shows a difference.
        apart: Whether it is not compared: the model saw labels of what it is tested on.
        part: `5/6` for a mean over some of the targets, which is not compared either.
    """

    value: Value
    letters: str = ""
    bold: bool = False
    apart: bool = False
    part: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table: a row per method, a column per number.

    Attributes:
        name: Its name within the section.
        columns: Titles of the columns.
        rows: Entries by method, None where there is no number.
        percent: Columns that are shares, shown in percent.
        places: Decimals that are shown.
    """

    name: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Entry | None, ...]]
    percent: frozenset[str]
    places: int


OVERALL, RETENTION = "overall", "retention"


def generalisation(section: Section) -> PaperTable:
    """Return mean transfer over all datasets trained on and per dataset, and the share that is retained."""
    rows = {}
    for mine in section.overall:
        cells = (section.cell(mine.label, source) for source in section.sources)
        rows[mine.label] = (
            _overall(mine, section.overall_column),
            None if mine.retention is None else Entry(mine.retention),
            *(
                None if cell is None else _elsewhere(cell, section.general_columns[cell.source])
                for cell in cells
            ),
        )
    columns = (OVERALL, RETENTION, *section.sources)
    return PaperTable("generalisation", columns, rows, frozenset({RETENTION}), 2)


def in_domain(section: Section) -> PaperTable:
    """Return the UAR of every method trained and tested on the same dataset."""
    rows = {}
    for label in section.labels:
        cells = (section.cell(label, source) for source in section.sources)
        rows[label] = tuple(None if c is None else _own(c, section.own_columns[c.source]) for c in cells)
    return PaperTable("in-domain", section.sources, rows, frozenset(section.sources), 1)


def table_csv(table: PaperTable) -> str:
    """Return a table as CSV: each number with both ends of its interval, its letters and whether it is bold.

    Shares are not in percent. `note` columns say `not compared` or over how many targets a mean is.
    """
    parts = ("", "_low", "_high", "_letters", "_bold", "_note")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", *(f"{name}{part}" for name in table.columns for part in parts)])
    for label, entries in table.rows.items():
        writer.writerow([label, *(text for entry in entries for text in _fields(entry))])
    return text.getvalue()


def write_tables(board: Board, folder: Path) -> list[Path]:
    """Write the tables of every section as CSV files and return their paths."""
    written = []
    for section, slug in zip(board.sections, slugs(board.sections), strict=True):
        if section.cells:
            for table in (generalisation(section), in_domain(section)):
                written.append(folder / f"{slug}-{table.name}.csv")
                write_text(written[-1], table_csv(table))
    return written


def _fields(entry: Entry | None) -> Sequence[object]:
    if entry is None:
        return [""] * 6
    ends = entry.value.interval
    low, high = ("", "") if ends is None else (ends.low, ends.high)
    note = "not compared" if entry.apart else f"mean over {entry.part} targets" if entry.part else ""
    return [entry.value.value, low, high, entry.letters, int(entry.bold), note]


def _entry(value: Value | None, column: Column, label: str, *, apart: bool) -> Entry | None:
    if value is None:
        return None
    return Entry(value, column.letters.get(label, ""), label in column.leaders, apart)


def _overall(mine: Overall, column: Column) -> Entry | None:
    return _entry(mine.mean, column, mine.label, apart=mine.apart is not None)


def _elsewhere(cell: Cell, column: Column) -> Entry | None:
    general = cell.generalisation
    if general.mean is not None and not general.complete:
        return Entry(Value(general.mean.value, None), part=f"{general.scored}/{general.wanted}")
    return _entry(general.mean, column, cell.label, apart=cell.apart_elsewhere is not None)


def _own(cell: Cell, column: Column) -> Entry | None:
    value = None if cell.in_domain is None else cell.in_domain.estimate.values["uar"]
    return _entry(value, column, cell.label, apart=cell.apart_in_domain is not None)
