"""Notes on numbers: warnings of records, as small figures at the numbers and lines below the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fer_bench.leaderboard.apart import notes_apart
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import SAW_GENERATOR


class Notes:
    """The notes of a section, each where its numbers are.

    What holds for all cells of a method is marked at the method's name, on the first page; anything else at
    the method on the page of its dataset. Why a method is not compared is said in a sentence there.

    Args:
        section: The section.
        dataset: Dataset of the page; the first page by default.
    """

    def __init__(self, section: Section, dataset: str | None = None) -> None:
        self.section, self.dataset = section, dataset
        carriers: dict[str, list[Cell]] = {}
        for cell in section.cells:
            for text in _noted(cell):
                carriers.setdefault(text, []).append(cell)
        kept = ((text, self._here(text, cells)) for text, cells in sorted(carriers.items()))
        self.carriers = {text: cells for text, cells in kept if cells}
        self.numbers = {text: number for number, text in enumerate(self.carriers, start=1)}

    def _here(self, text: str, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells with a note that stands on this page."""
        everywhere = {c.label for c in cells if self._everywhere(text, c.label)}
        if self.dataset is None:
            return [c for c in cells if c.label in everywhere]
        return [c for c in cells if c.label not in everywhere and c.dataset == self.dataset]

    def _everywhere(self, text: str, label: str) -> bool:
        mine = [c for c in self.section.cells if c.label == label]
        return len(mine) > 1 and all(text in _noted(c) for c in mine)

    def of(self, label: str) -> str:
        """Return the marks at a method's name."""
        return self._marks(t for t, cells in self.carriers.items() if any(c.label == label for c in cells))

    def _marks(self, texts: Iterable[str]) -> str:
        numbers = sorted(self.numbers[text] for text in texts)
        return f" <sup>{','.join(map(str, numbers))}</sup>" if numbers else ""

    def lines(self) -> list[tuple[int, str, str]]:
        """Return number, text and carriers of every note, escaped."""
        return [
            (self.numbers[text], escape(text), escape(", ".join(self._who(cells))))
            for text, cells in self.carriers.items()
        ]

    def _who(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        if self.dataset is None:
            return tuple(dict.fromkeys(c.label for c in cells))
        return tuple(c.label + ("" if c.headline else f" ({c.protocol})") for c in cells)


def _noted(cell: Cell) -> list[str]:
    """Return the notes of a cell but those on why it is not compared."""
    apart = notes_apart(cell)
    return [text for text in notes_of(cell) if text not in apart and not text.startswith(SAW_GENERATOR)]


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
