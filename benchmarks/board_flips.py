"""Count the conclusions that change when a board is made again with other training seeds.

Both stores hold the same methods on the same data, with other seeds. A conclusion is a pair of methods that a
test of the board tells apart, in-domain, across datasets or overall. It *flips* if the other board tells the
pair apart the other way round.

    python benchmarks/board_flips.py runs-seeds-0-2 runs-seeds-3-5
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from fer_bench.evaluation.pairs import Column
from fer_bench.leaderboard.page import read_board
from fer_bench.leaderboard.tables import Section
from fer_bench.results.store import Store

Decisions = dict[tuple[str, str, str, str], str]
"""(data, column, method, method) -> the better one, or nothing where the test does not tell them apart."""


def decisions(store: Store) -> Decisions:
    """Return what every test of a board says."""
    found: Decisions = {}
    for section in read_board(store).sections:
        data = f"{section.data_kind}, {section.profile}"
        for name, column in columns(section):
            for test in column.tests:
                pair = tuple(sorted((test.first, test.second)))
                found[data, name, pair[0], pair[1]] = test.first if test.significant else ""
    return found


def columns(section: Section) -> Iterator[tuple[str, Column]]:
    """Return every column of a section that is tested."""
    yield from ((f"in-domain, {source}", column) for source, column in section.own_columns.items())
    yield from ((f"generalisation, {source}", column) for source, column in section.general_columns.items())
    yield "generalisation, overall", section.overall_column


def report(first: Decisions, second: Decisions) -> str:
    """Return how many conclusions flip, are lost and agree, and which flip."""
    shared = first.keys() & second.keys()
    made = [key for key in sorted(shared) if first[key] or second[key]]
    flips = [key for key in made if first[key] and second[key] and first[key] != second[key]]
    agree = [key for key in made if first[key] == second[key]]
    lines = [
        f"{len(shared)} pairs were tested in both; {len(made)} are told apart in one board at least:",
        f"{len(agree)} alike in both, {len(made) - len(agree) - len(flips)} in one only, {len(flips)} flip",
    ]
    lines += [f"  flips: {data}: {name}: {a} and {b}" for data, name, a, b in flips]
    return "\n".join(lines)


def main() -> None:
    """Compare two stores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    wanted = parser.parse_args()
    print(report(decisions(Store(wanted.first)), decisions(Store(wanted.second))))


if __name__ == "__main__":
    main()
