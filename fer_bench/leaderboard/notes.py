"""Notes on numbers: warnings of records, as letters at the numbers and lines below the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fer_bench.evaluation.letters import letter
from fer_bench.leaderboard.apart import notes_apart
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape
from fer_bench.leaderboard.tables import Section


class Notes:
    """The notes of a section.

    A note that holds for all cells of a method is marked at the method's name, any other at its cells.

    Args:
        section: The section.
    """

    def __init__(self, section: Section) -> None:
        self.section = section
        carriers: dict[str, list[Cell]] = {}
        for cell in section.cells:
            for text in notes_of(cell):
                carriers.setdefault(text, []).append(cell)
        self.carriers = dict(sorted(carriers.items()))
        self.letters = {text: letter(i) for i, text in enumerate(self.carriers)}

    def _everywhere(self, text: str, label: str) -> bool:
        mine = [c for c in self.section.cells if c.label == label]
        return len(mine) > 1 and all(text in notes_of(c) for c in mine)

    def of_method(self, label: str) -> str:
        """Return the marks at a method's name."""
        return self._marks(t for t in self.carriers if self._everywhere(t, label))

    def of_cell(self, cell: Cell) -> str:
        """Return the marks at a cell's number."""
        return self._marks(t for t in notes_of(cell) if not self._everywhere(t, cell.label))

    def _marks(self, texts: Iterable[str]) -> str:
        letters = sorted(self.letters[text] for text in texts)
        return f" <sup>{','.join(letters)}</sup>" if letters else ""

    def lines(self) -> list[tuple[str, str, str]]:
        """Return letter, text and carriers of every note, escaped."""
        found = []
        for text, cells in self.carriers.items():
            by_method: dict[str, list[str]] = {}
            for cell in cells:
                by_method.setdefault(cell.label, []).append(cell.source)
            who = (
                label if self._everywhere(text, label) else f"{label} on {', '.join(sources)}"
                for label, sources in by_method.items()
            )
            found.append((self.letters[text], escape(text), escape("; ".join(who))))
        return found


def notes_of(cell: Cell) -> tuple[str, ...]:
    """Return what a reader of a cell's numbers should know."""
    found = [*cell.warnings, *notes_apart(cell)]
    total = max(r.folds for r in cell.records)
    found += [
        f"seed {seed} has finished {_folds(folds)} of {total} only and is left out of the means"
        for seed, folds in cell.partial.items()
    ]
    found += [
        f"left out of the means until more seeds have them: {_folds(folds)} of seed {seed}"
        for seed, folds in cell.ahead.items()
    ]
    found += [
        f"runs were tested on several versions or crops of {name}, so it is left out" for name in cell.mixed
    ]
    if cell.outdated:
        found.append(
            f"{', '.join(cell.outdated)} in the records and in results.csv follow older scoring rules: "
            "`fer-bench score` brings them up to date"
        )
    return tuple(found)


def _folds(folds: Sequence[int]) -> str:
    """Return `fold 3` or `folds 3, 4`."""
    return f"{'fold' if len(folds) == 1 else 'folds'} {', '.join(map(str, folds))}"
