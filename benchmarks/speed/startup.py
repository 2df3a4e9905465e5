"""Measure what commands cost that train nothing: a finished run asked again, `doctor`, `status`, the board.

CPU time of whole processes, beside that of a process that only imports torch and Lightning, as every run that
trains must. What the second call of a run does is itemised; the time of each import is kept as text.

    python -m benchmarks.speed.startup
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.speed.harness import Ratio, Report, alternate, cpu_of_children, median_ratio, run_benchmark

RUN = ("run", "--method", "erm", "--dataset", "rafdb", "--device", "cpu", "--max-epochs", "1")
IMPORTS = "torch and Lightning"
ASKED = 2.0
"""CPU-seconds."""
LIMIT = 0.4
"""Two seconds, as a share of the 4.9 that importing torch and Lightning took where the limit was set."""
LIMITED = ("a finished run", "doctor")
SHOWN = 25
"""Modules in the profile."""
PARTS = """
import json, sys, time
marks = {"the interpreter": time.process_time()}
def mark(name):
    marks[name] = time.process_time() - sum(marks.values())
import fer_bench.cli.main, fer_bench.cli.score_table, fer_bench.cli.terminal, fer_bench.inference.opening
import fer_bench.runs.sweep, fer_bench.runs.launchers.local
from fer_bench.cli.options import WorkOptions
from fer_bench.provenance.answers import remembering
from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
mark("imports")
with remembering():
    mark("reading the code for kept answers")
    settings = {"methods": ["erm"], "datasets": ["rafdb"], "device": "cpu", "set": ["train.max_epochs=1"]}
    sweep, workspace = check_sweep(settings), Workspace(find_roots(None))
    sources = ["rafdb", *workspace.targets("all", "rafdb")[0]]
    for name in sources:
        workspace.source(name).dataset.index
    mark("indexes")
    size = fer_bench.runs.plan.resolve_fields("erm", "quick")[0]["size"]
    for name in sources:
        workspace.pack(name, size)
    mark("packs")
    (run,), _ = plan_sweep(sweep, workspace)
    mark("plan")
    assert is_complete(run, Store(sys.argv[1]), workspace)
    mark("stored predictions")
assert "torch" not in sys.modules
print(json.dumps(marks))
"""


def call(*arguments: str, folder: str) -> str:
    """Run Python in a process; return what it printed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def imports() -> str:
    """Return what a finished run imports, by the time of each module itself."""
    lines = PARTS.strip().splitlines()
    code = "\n".join(line for line in lines[: lines.index('mark("imports")')] if line[:4] in ("from", "impo"))
    command = [sys.executable, "-X", "importtime", "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = [line.removeprefix("import time:").split("|") for line in said.splitlines() if "|" in line][1:]
    modules = sorted(((int(own), name.strip()) for own, _, name in found), reverse=True)
    whole = sum(own for own, _ in modules)
    shown = [f"{own / 1e3:8.1f} {own / whole:6.1%}  {name}" for own, name in modules[:SHOWN]]
    return "\n".join(["Imports of a finished run: milliseconds and share of a module itself", *shown])


def _marked(name: str, seconds: float) -> str:
    """Return a time, bold where it is not as asked."""
    return f"**{seconds:.1f}**" if name in LIMITED and seconds >= ASKED else f"{seconds:.1f}"


def measure(rounds: int) -> Report:
    """Train a run for one epoch, then time commands in turn."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each call compiles this project's modules again
    with tempfile.TemporaryDirectory() as folder:
        fer_bench = partial(call, "-m", "fer_bench.cli.main", folder=folder)
        fer_bench(*RUN)
        fer_bench(*RUN)  # keeps indexes and answers
        commands = {
            "a finished run": partial(fer_bench, *RUN),
            "doctor": partial(fer_bench, "doctor"),
            "status": partial(fer_bench, "status"),
            "leaderboard": partial(fer_bench, "leaderboard", "--out", "board"),
            IMPORTS: partial(call, "-c", "import torch, lightning", folder=folder),
        }
        seconds = alternate(commands, rounds, clock=cpu_of_children)
        shares = [
            json.loads(call("-c", PARTS, str(Path(folder) / "runs"), folder=folder)) for _ in range(rounds)
        ]
    names = [name for name in commands if name != IMPORTS]
    parts = {
        name: statistics.median(each[name] / sum(each.values()) for each in shares) for name in shares[0]
    }
    return Report(
        title="Start-up",
        text="CPU time of commands that train nothing, in a store of one run, beside that of importing torch "
        "and Lightning, which they do without. 0.4 is two seconds where these imports take 4.9 s; where they "
        "take longer, so does everything: seconds of this processor are in the second table.",
        ratios=tuple(
            Ratio(
                f"{name} / importing {IMPORTS}",
                median_ratio(seconds, name, IMPORTS),
                LIMIT if name in LIMITED else None,
                "lower",
            )
            for name in names
        ),
        figures={name: round(statistics.median(each), 2) for name, each in seconds.items()},
        tables=(
            (
                "CPU-seconds, on this processor",
                ("command", "asked", "measured"),
                [
                    (
                        name,
                        f"under {ASKED:g}" if name in LIMITED else "",
                        _marked(name, statistics.median(each)),
                    )
                    for name, each in seconds.items()
                ],
            ),
            (
                "Where the second call of a finished run spends its time",
                ("part", "share"),
                [(name, f"{share:.0%}") for name, share in parts.items()],
            ),
        ),
        profile=imports(),
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
