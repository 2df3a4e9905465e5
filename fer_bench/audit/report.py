"""The table of an audit: as a markdown page, as lines of a terminal and as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fer_bench import datasets
from fer_bench.audit.measure import Bought
from fer_bench.leaderboard.markup import percent, signed_percent, table, with_interval

SYNTHETIC = (
    "**SYNTHETIC DATA** (drawn faces): the table shows how each habit works. How much it buys on photographs "
    "the same command says on real data."
)


def page(found: Sequence[Bought], *, method: str, kind: str, profile: str, command: str, version: str) -> str:
    """Return an audit as a markdown page.

    Args:
        found: What was measured.
        method: Method, with its settings.
        kind: `real` or `synthetic`.
        profile: Profile name.
        command: The command that measures it again.
        version: Version of the package.
    """
    parts = [
        "# What bad habits buy",
        "How many points of UAR a method seems to gain when it is scored under habits that are common in the "
        "field: the same method, the same data, the same test rows. Only rows of the honest protocol are "
        "scored, with its people, videos or pictures as units.",
        *([SYNTHETIC] if kind == "synthetic" else []),
        f"Method `{method}`, profile {profile}, version {version}. Written by `{command}`.",
    ]
    for name in dict.fromkeys(one.dataset for one in found):
        mine = [one for one in found if one.dataset == name]
        measured = [one for one in mine if one.gain is not None]
        parts.append(f"## {datasets.get(name).card.title}")
        if measured:
            first = measured[0]
            parts.append(
                f"{first.rows} test rows of {first.units} {datasets.get(name).card.unit}s, {first.seeds} "
                "seed(s); UAR in %, differences in points, 95 % intervals over test units and training seeds."
            )
        parts.append(table(HEADER, [row(one) for one in mine]))
    parts += [
        "## What each habit is here",
        "\n".join(f"- **{one.habit.title}** (`{one.habit.name}`): {one.habit.does}." for one in _once(found)),
        "A negative number is a loss: exchanged colours or another order of classes cost points, and look "
        "like a weak method. The interval of *best of the seeds* is over test units, for "
        "the seeds that were trained. Frames of one clip, and a picture and its copy, are told apart by the "
        "honest protocol's units in every interval.",
    ]
    return "\n\n".join(parts) + "\n"


HEADER = ("habit", "UAR without it", "UAR with it", "it buys")


def row(one: Bought) -> tuple[str, str, str, str]:
    """Return the row of a habit: title, both scores and the difference with its interval."""
    if one.gain is None:
        return one.habit.title, "", "", f"not measured: {one.why_not}"
    return one.habit.title, percent(one.honest), percent(one.score), with_interval(one.gain, signed_percent)


def document(one: Bought) -> dict[str, Any]:
    """Return a habit on a dataset as plain values."""
    values = {"without": one.honest, "with": one.score, "gain": one.gain}
    return {
        "habit": one.habit.name,
        "dataset": one.dataset,
        **{name: None if value is None else value.plain for name, value in values.items()},
        "rows": one.rows,
        "units": one.units,
        "seeds": one.seeds,
        "why_not": one.why_not,
    }


def _once(found: Sequence[Bought]) -> list[Bought]:
    return list({one.habit.name: one for one in found}.values())
