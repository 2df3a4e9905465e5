"""The letter display of pairwise tests: methods that share a letter are not shown to differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from string import ascii_lowercase


def letters(order: Sequence[str], apart: Collection[frozenset[str]]) -> dict[str, str]:
    """Return the letters of each name, by inserting and absorbing (Piepho 2004).

    Two names share a letter if and only if they are not apart; no letter is superfluous.

    Args:
        order: Names, the best first; the best one's letter is `a`.
        apart: Pairs that are shown to differ.
    """
    groups: list[set[str]] = [set(order)] if order else []
    for pair in sorted(apart, key=lambda pair: sorted(map(order.index, pair))):
        first, second = pair
        split: list[set[str]] = []
        for group in groups:
            split += [group - {first}, group - {second}] if pair <= group else [group]
        groups = [
            group
            for place, group in enumerate(split)
            if not any(group < other or (group == other and place > at) for at, other in enumerate(split))
        ]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    marks = [letter(place) for place in range(len(groups))]
    return {
        name: "".join(mark for mark, group in zip(marks, groups, strict=True) if name in group)
        for name in order
    }


def letter(number: int) -> str:
    """Return the number-th mark, from 0: a to z, then aa, ab and so on."""
    first, second = divmod(number, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[second]
