"""What the speed benchmarks share: timing in turn, ratios and what is wanted of them, and their result files.

A benchmark is a file of this folder with a function `measure(rounds)` that returns a `Report`. Machines
differ and are busy with other work, so that only ratios of things timed in turn are compared.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from fer_bench.files import write_json
from fer_bench.runs.environment import describe

TOLERANCE = 0.2
"""By this share a ratio may be worse than the stored one."""


@dataclass(frozen=True)
class Ratio:
    """One figure of a benchmark, without a unit.

    Attributes:
        name: What over what, for the page; unique within the benchmark.
        value: The figure.
        wanted: What it should reach; None where nothing is asked.
        better: Whether a higher or a lower figure is better.
        note: Why it is not reached and what the limit is, or what else has to be known.
    """

    name: str
    value: float
    wanted: float | None = None
    better: Literal["higher", "lower"] = "higher"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the figure is as wanted; None where nothing is asked."""
        if self.wanted is None:
            return None
        return self.value >= self.wanted if self.better == "higher" else self.value <= self.wanted

    def worse_than(self, stored: float) -> bool:
        """Return whether the figure is worse than a stored one by more than `TOLERANCE`."""
        if self.better == "higher":
            return self.value < stored * (1 - TOLERANCE)
        return self.value > stored * (1 + TOLERANCE)


Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, names of the columns, rows."""


@dataclass(frozen=True)
class Report:
    """What a benchmark found.

    Attributes:
        title: Heading on the page.
        text: What is measured against what, in a sentence or two.
        ratios: The figures that are compared with the stored ones.
        figures: Further numbers, for the result file only.
        tables: Further tables for the page: ratios, shares and counts.
        profile: Where the time goes, as text; kept beside the result.
        device: What was measured.
    """

    title: str
    text: str
    ratios: Sequence[Ratio] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    profile: str = ""
    device: Literal["cpu", "cuda"] = "cpu"


Measure = Callable[[int], Report]


def alternate(
    steps: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Time several things in turn, every other round backwards, after one round that does not count.

    Args:
        steps: What to call, by name.
        rounds: How often.
        clock: Seconds: those of the processor, or `time.perf_counter` where waiting counts.

    Returns:
        Seconds of each round by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        order = list(steps) if number % 2 == 0 else list(steps)[::-1]
        for name in order:
            began = clock()
            steps[name]()
            if number > 0:
                seconds[name].append(clock() - began)
    return seconds


def median_ratio(seconds: Mapping[str, Sequence[float]], over: str, under: str) -> float:
    """Return the median over rounds of one time divided by the other of the same round."""
    return statistics.median(a / b for a, b in zip(seconds[over], seconds[under], strict=True))


def cpu_of_children() -> float:
    """Return the CPU-seconds of all processes that this one has waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of_descendants() -> float:
    """Return the CPU-seconds of this process, of those it has waited for, and of all below it that run."""
    used = time.process_time() + cpu_of_children()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            found = process.cpu_times()
            used += found.user + found.system + found.children_user + found.children_system
    return used


def text_of(profiler: cProfile.Profile, lines: int) -> str:
    """Return where the time of a profile goes, by the functions' own time."""
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def run_benchmark(text: str | None, measure: Measure) -> None:
    """Run a benchmark from the command line: print its figures, and write its result where asked.

    Args:
        text: The docstring of the benchmark.
        measure: Measures, given the number of rounds.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is timed")
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that it works")
    parser.add_argument("--json", type=Path, default=None, help="write the result into this file")
    given = parser.parse_args()
    report = measure(2 if given.quick else given.rounds)
    print("\n".join(lines_of(report)))
    if given.json is not None:
        write_json(given.json, {"environment": describe(), **asdict(report)})


def lines_of(report: Report) -> list[str]:
    """Return a report as lines for the terminal."""
    lines = [report.title, report.text, ""]
    for ratio in report.ratios:
        asked = "" if ratio.wanted is None else f"  (asked {sign_of(ratio)} {ratio.wanted:g})"
        lines.append(f"  {ratio.value:8.3g}  {ratio.name}{asked}")
    for heading, names, rows in report.tables:
        lines += ["", heading, "  " + " | ".join(names), *("  " + " | ".join(row) for row in rows)]
    if report.figures:
        lines += ["", json.dumps(report.figures, indent=2, default=str)]
    return [*lines, "", report.profile] if report.profile else lines


def sign_of(ratio: Ratio) -> str:
    """Return how a figure is compared with what is wanted of it."""
    return "at least" if ratio.better == "higher" else "at most"
