"""Run the speed benchmarks, compare their figures with the stored ones, and write docs/speed.md.

    python -m benchmarks.speed                    # all of them, as `make speed`
    python -m benchmarks.speed startup runner     # these
    python -m benchmarks.speed --page             # the page alone, from the stored results

A figure that is worse than the stored one by more than 20 % is measured once more, because machines are busy
at times. Exit code 1 when one is worse again, or a benchmark failed; everything else is stored nevertheless.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.stored import PAGE, RESULTS, Stored, page_of, read_stored, worse
from fer_bench.files import write_text

ORDER = (
    "input_pipeline",
    "runner",
    "startup",
    "quick_runs",
    "released",
    "feature_cache",
    "cpu_options",
    "cross_dataset",
    "verify_scale",
    "pack_speed",
    "draw_faces",
    "scaling",
)
"""Of the page; benchmarks that are not named here follow by name."""


def names() -> list[str]:
    """Return the benchmarks of this folder, the files with a function `measure`, in the order of the page."""
    files = Path(__file__).parent.glob("*.py")
    found = {file.stem for file in files if "\ndef measure(rounds: int)" in file.read_text(encoding="utf-8")}
    return [name for name in ORDER if name in found] + sorted(found - {*ORDER})


def main() -> None:
    """Measure, compare, store and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--accept", action="store_true", help="later runs are compared with these figures")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    given = parser.parse_args()
    if unknown := {*given.names} - {*names()}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    faults: list[str] = []
    for name in () if given.page else given.names or names():
        faults += run(name, given.rounds, given.accept)
    write_text(PAGE, page_of([found for name in names() if (found := read_stored(name)) is not None]))
    print(f"wrote {PAGE.name}")
    if faults:
        print("\nworse than the stored figures, or failed:", *faults, sep="\n  ")
        sys.exit(1)


def run(name: str, rounds: int, accept: bool, folder: Path = RESULTS) -> list[str]:
    """Run a benchmark in a process of its own, and store what it found; return what is wrong with it.

    Args:
        name: Of the benchmark.
        rounds: How often everything is timed.
        accept: Make the new figures those that later runs are compared with.
        folder: Of the results.
    """
    before = read_stored(name, folder)
    faults: list[str] = []
    seen: set[str] | None = None
    for attempt in (1, 2):
        print(f"{name}{' again' if attempt == 2 else ''} ...", flush=True)
        found = result_of(name, rounds)
        if found is None:
            return [f"{name}: failed"]
        if before is not None and (before.report.device, found["device"]) == ("cuda", "cpu"):
            print(f"{name}: kept as it was measured on a GPU ({before.environment['gpu']})")
            return []
        if before is not None and _machine(before.environment) != _machine(found["environment"]):
            print(f"{name}: stored figures are of {_machine(before.environment)}; these take their place")
            before = None
        new = Stored.of(name, found, before, accept)
        lines = {} if accept else worse(new, before)
        faults = [line for key, line in lines.items() if seen is None or key in seen]
        seen = {*lines}
        if not faults:
            break
    new.write(folder)
    return faults


def _machine(environment: Mapping[str, Any]) -> str:
    return " and ".join(filter(None, (environment["cpu"], environment["gpu"])))


def result_of(name: str, rounds: int) -> dict[str, Any] | None:
    """Return what a benchmark writes, None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [
            sys.executable,
            "-m",
            f"benchmarks.speed.{name}",
            "--rounds",
            str(rounds),
            "--json",
            str(file),
        ]
        done = subprocess.run(command, cwd=PAGE.parents[1], check=False)
        if done.returncode != 0:
            return None
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


if __name__ == "__main__":
    main()
