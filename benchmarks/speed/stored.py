"""The stored results of the speed benchmarks, what they are compared with, and the page written from them.

`results/NAME.json` has the newest report of a benchmark and, under `reference`, the figures that later ones
are compared with: those of the first run, until others are accepted. `results/NAME.txt` has its profile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import Ratio, Report, sign_of
from fer_bench.files import write_json, write_text

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
HEAD = """# Speed

Written by `make speed`, which runs every benchmark of `benchmarks/speed/` and fails when a figure is worse
than the stored one by more than 20 % twice in a row. Each is one command as well:
`python -m benchmarks.speed.NAME`.

Most figures are ratios of processor times taken in turn, because machines differ and are busy; where they are
something else, the section says so. *Stored* is what later runs on the same processor are compared with
(`make speed ACCEPT=--accept` stores new ones). A figure that misses what was asked is in bold, with the
reason below its table.
"""


@dataclass(frozen=True)
class Stored:
    """A stored result.

    Attributes:
        name: Of the benchmark's file, without its suffix.
        report: The newest report.
        environment: Where it was made, see `runs/environment.py`.
        reference: Figures by name that later ones are compared with.
    """

    name: str
    report: Report
    environment: Mapping[str, Any]
    reference: Mapping[str, float]

    @classmethod
    def of(cls, name: str, found: Mapping[str, Any], before: Stored | None, accept: bool) -> Stored:
        """Return a new result, with the reference figures of the one before.

        Args:
            name: Of the benchmark.
            found: What `harness.run_benchmark` wrote.
            before: What is stored, None for a new benchmark.
            accept: Make the new figures the reference.
        """
        known = {**found, "ratios": [Ratio(**each) for each in found["ratios"]]}
        environment = known.pop("environment")
        kept = known.pop("reference", {} if before is None or accept else before.reference)
        report = Report(**known)
        return cls(name, report, environment, {r.name: kept.get(r.name, r.value) for r in report.ratios})

    def write(self, folder: Path = RESULTS) -> None:
        """Write the result, and the profile if there is one."""
        ratios = [vars(each) for each in self.report.ratios]
        written = {**vars(self.report), "ratios": ratios, "environment": self.environment}
        write_json(folder / f"{self.name}.json", {**written, "reference": self.reference})
        profile = folder / f"{self.name}.txt"
        if self.report.profile:
            write_text(profile, self.report.profile.rstrip() + "\n")
        else:
            profile.unlink(missing_ok=True)


def read_stored(name: str, folder: Path = RESULTS) -> Stored | None:
    """Return what is stored of a benchmark, None if it has never run."""
    file = folder / f"{name}.json"
    return (
        Stored.of(name, json.loads(file.read_text(encoding="utf-8")), None, accept=False)
        if file.exists()
        else None
    )


def worse(new: Stored, before: Stored | None) -> dict[str, str]:
    """Return a line for each figure that is worse than the stored one by over 20 %, or gone, by its name."""
    known = {} if before is None else before.reference
    found = {
        ratio.name: f"{new.name}: {ratio.name}: {ratio.value:.3g}, stored {known[ratio.name]:.3g}"
        for ratio in new.report.ratios
        if ratio.name in known and ratio.worse_than(known[ratio.name])
    }
    gone = {*known} - {ratio.name for ratio in new.report.ratios}
    return found | {name: f"{new.name}: {name}: not measured any more" for name in sorted(gone)}


def page_of(results: list[Stored]) -> str:
    """Return the page in markdown."""
    return "\n".join([HEAD, *(line for each in results for line in _section(each))]).rstrip() + "\n"


def _section(stored: Stored) -> list[str]:
    report, made = stored.report, stored.environment
    where = made["gpu"] if report.device == "cuda" else f"{made['cpu']} ({made['cpu_level']})"
    lines = [f"## {report.title}", "", report.text, ""]
    if report.ratios:
        lines += ["| | asked | measured | stored |", "|---|--:|--:|--:|"]
        lines += [_row(ratio, stored.reference[ratio.name]) for ratio in report.ratios]
        lines.append("")
    lines += [f"- *{ratio.name}*: {ratio.note}" for ratio in report.ratios if ratio.note]
    for heading, names, rows in report.tables:
        rule = "|".join(["---", *["--:"] * (len(names) - 1)])
        lines += ["", f"**{heading}**", "", f"| {' | '.join(names)} |", f"|{rule}|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    profile = f" Profile: `benchmarks/speed/results/{stored.name}.txt`." if report.profile else ""
    code = f"torch {made['torch']}, commit {made['commit']}"
    said = f"*`python -m benchmarks.speed.{stored.name}`; {where}, {code}.{profile}*"
    return [*_without_double_blanks(lines), "", said, ""]


def _row(ratio: Ratio, reference: float) -> str:
    asked = "" if ratio.wanted is None else f"{sign_of(ratio)} {ratio.wanted:g}"
    value = f"{ratio.value:.3g}"
    measured = f"**{value}**" if ratio.reached is False else value
    return f"| {ratio.name} | {asked} | {measured} | {reference:.3g} |"


def _without_double_blanks(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return [line for at, line in enumerate(lines) if line or at == 0 or lines[at - 1]]
