"""Count what changes when a board is made again with other training seeds.

Both stores hold the same methods on the same data, with other seeds. A *conclusion* is a pair of methods that
a test of a board tells apart, in-domain, across datasets or overall. It is *lost* if the other board does not
tell the pair apart, and *reversed* if it does so the other way round. A score *leaves* its interval if the
other board's score lies outside. Writes docs/board-flips.md.

    python benchmarks/board_flips.py runs-seeds-0-2 runs-seeds-3-5
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from readme_section import figure_table

from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Column
from fer_bench.files import write_text
from fer_bench.leaderboard.page import read_board
from fer_bench.leaderboard.tables import Board, Section
from fer_bench.results.store import Store

PAGE = Path(__file__).parents[1] / "docs" / "board-flips.md"
KINDS = ("in-domain", "generalisation per source", "generalisation overall")
Decisions = dict[tuple[str, str, str, str], str]
"""(kind of column, source, method, method) -> the better one, or nothing where no test tells them apart."""
Values = dict[tuple[str, ...], Value]


def decisions(board: Board) -> Decisions:
    """Return what every test of a board says."""
    found: Decisions = {}
    for section in board.sections:
        for kind, source, column in columns(section):
            for test in column.tests:
                first, second = sorted((test.first, test.second))
                found[kind, source, first, second] = test.first if test.significant else ""
    return found


def columns(section: Section) -> Iterator[tuple[str, str, Column]]:
    """Return every column of a section that is tested, with its kind and source."""
    yield from ((KINDS[0], source, column) for source, column in section.own_columns.items())
    yield from ((KINDS[1], source, column) for source, column in section.general_columns.items())
    yield KINDS[2], "", section.overall_column


def values(board: Board) -> dict[str, Values]:
    """Return the scores of a board, by kind."""
    own: Values = {}
    pairs: Values = {}
    means: Values = {}
    for section in board.sections:
        for cell in section.cells:
            place = (cell.label, cell.source)
            if cell.in_domain is not None:
                own[place] = cell.in_domain.estimate.values["uar"]
            if cell.generalisation.mean is not None:
                means[place] = cell.generalisation.mean
            pairs |= {(*place, target): one.values["transfer"] for target, one in cell.cross.items()}
        means |= {(one.label, "overall"): one.mean for one in section.overall if one.mean is not None}
    return {"UAR on the own dataset": own, "transfer of a pair": pairs, "generalisation": means}


def conclusions(first: Decisions, second: Decisions) -> list[list[str]]:
    """Return what became of the conclusions of either board, by kind of column."""
    rows = []
    for kind in KINDS:
        keys = [key for key in first.keys() & second.keys() if key[0] == kind]
        made = [(a[key], b[key]) for key in keys for a, b in ((first, second), (second, first)) if a[key]]
        lost = sum(not other for _, other in made)
        turned = sum(bool(other) and one != other for one, other in made)
        rows.append(
            [kind, f"{len(keys)}", f"{len(made)}", _share(lost, len(made)), _share(turned, len(made))]
        )
    return rows


def left(first: Mapping[str, Values], second: Mapping[str, Values]) -> list[list[str]]:
    """Return how many scores lie outside the other board's interval, by kind of score."""
    rows = []
    for title in first:
        outside, total = 0, 0
        for one, other in ((first[title], second[title]), (second[title], first[title])):
            for place, value in one.items():
                if value.interval is not None and place in other:
                    total += 1
                    outside += not value.interval.low <= other[place].value <= value.interval.high
        rows.append([title, f"{total}", _share(outside, total)])
    return rows


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.0f} %)" if whole else "-"


def page(first: Board, second: Board) -> str:
    """Return `docs/board-flips.md`.

    Args:
        first: A board.
        second: The board of the same methods and data with other seeds.
    """
    kinds = sorted({section.data_kind for board in (first, second) for section in board.sections})
    seeds = [sorted({r.seed for s in board.sections for r in s.finished}) for board in (first, second)]
    runs = sum(len(s.finished) for board in (first, second) for s in board.sections)
    told = " and ".join(", ".join(map(str, one)) for one in seeds)
    head = ("tests", "pairs", "conclusions of both", "lost in the other", "reversed")
    made = conclusions(decisions(first), decisions(second))
    outside = left(values(first), values(second))
    lines = [
        "# A board made twice",
        "",
        *(["**SYNTHETIC DATA.**", ""] if kinds == ["synthetic"] else []),
        "Written by `python benchmarks/board_flips.py`; no number here is typed by hand. The same methods",
        f"and data with training seeds {told} ({runs} runs). What one board concludes, does the other say",
        "too? Each board is held against the other, both ways. A lost conclusion is a difference that one",
        "board shows and the other does not; a reversed one would be a contradiction.",
        "",
        *figure_table(head, made),
        "",
        "Scores outside the other board's 95 % interval. The test faces are the same in both, so fewer than",
        "5 % are expected where faces matter more than seeds, and up to 17 % where only seeds matter.",
        "",
        *figure_table(("score", "intervals", "left"), outside),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare two stores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, default=PAGE)
    wanted = parser.parse_args()
    write_text(wanted.out, page(*(read_board(Store(store)) for store in (wanted.first, wanted.second))))


if __name__ == "__main__":
    main()
