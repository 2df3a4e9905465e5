"""Train each method under several arithmetics and compare the bytes: what portable runs promise.

    python benchmarks/portable.py                     this machine, with features switched off
    python benchmarks/portable.py --emulator "qemu-x86_64-static -cpu Haswell" \
                                  --emulator "qemu-x86_64-static -cpu EPYC-Rome"

An emulator shows another maker's or an older processor to the libraries. It is slow: minutes for each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SOURCES = ("oulu", "affwild2")
TARGET = "rafdb"
NATIVE = "this processor"
SURROUNDINGS: dict[str, dict[str, str]] = {
    NATIVE: {},
    "libraries told to take AVX-512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "MKL_CBWR": "AUTO",
    },
    "libraries told to take SSE 4": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "SSE4_2",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "numpy without AVX-512": {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL"},
    "numpy without AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL"},
    "OpenCV without AVX-512": {"OPENCV_CPU_DISABLE": "AVX512-SKX"},
    "OpenBLAS for Sandy Bridge": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "OpenMP with three threads": {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"},
}
"""Variables that a user may have set, by what they imitate."""


def train(methods: Sequence[str], *, portable: bool, epochs: int) -> dict[str, str]:
    """Train each method on every source in this process; return a hash of all its predictions.

    Args:
        methods: Method names.
        portable: Whether the runs are portable.
        epochs: Epochs of each run.
    """
    from fer_bench.config import SweepConfig
    from fer_bench.results.predictions import read_predictions
    from fer_bench.results.store import Store
    from fer_bench.runs.execute import execute
    from fer_bench.runs.plan import plan_sweep
    from fer_bench.workspace.sources import find_roots
    from fer_bench.workspace.workspace import Workspace

    workspace = Workspace(find_roots(None), size="tiny")
    sweep = SweepConfig(
        profile="quick",
        methods=tuple(methods),
        datasets=SOURCES,
        targets=(TARGET,),
        set=(f"train.max_epochs={epochs}",),
        device="cpu",
        portable=portable,
    )
    found = {name: hashlib.sha256() for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for run in plan_sweep(sweep, workspace)[0]:
            record = execute(run, store, workspace)
            if record.status != "done":
                raise SystemExit(f"{run.name}: {record.error}")
            for file in sorted((run.folder(store).path / "predictions").glob("*.parquet")):
                numbers = read_predictions(file).frame.select_dtypes("number")
                found[run.config.method].update(file.name.encode() + numbers.to_numpy("float64").tobytes())
    return {name: hashed.hexdigest()[:16] for name, hashed in found.items()}


def train_elsewhere(
    methods: Sequence[str],
    variables: Mapping[str, str] = {},
    *,
    portable: bool = True,
    epochs: int = 2,
    emulator: str = "",
) -> dict[str, str]:
    """Return what `train` returns in a fresh process.

    Args:
        methods: Method names.
        variables: Environment variables of the process.
        portable: Whether the runs are portable.
        epochs: Epochs of each run.
        emulator: Command that runs the interpreter.
    """
    own = ("ATEN_", "ONEDNN_", "DNNL_", "MKL_", "NPY_", "OPENCV_", "OPENBLAS_", "OMP_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    interpreter = [sys.executable]
    if emulator:  # which does not resolve the links of a virtual environment
        interpreter = [*shlex.split(emulator), "-0", sys.executable, str(Path(sys.executable).resolve())]
    options = ["--child", "--epochs", str(epochs), *(() if portable else ("--no-portable",))]
    command = [*interpreter, __file__, *options, *methods]
    done = subprocess.run(command, env={**clean, **variables}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{done.stderr}")
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a table: which methods predict the same bytes as on this processor."""
    from fer_bench import methods

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("methods", nargs="*", help="default: all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--emulator", action="append", default=[], help="command before the interpreter")
    parser.add_argument("--no-portable", action="store_true", help="compare what runs do without it")
    parser.add_argument("--json", type=Path, help="write the table there as well")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names, portable = given.methods or methods.names(), not given.no_portable
    if given.child:
        print(json.dumps(train(names, portable=portable, epochs=given.epochs)))
        return
    rows: dict[str, dict[str, str]] = {}
    for name, variables in SURROUNDINGS.items():
        rows[name] = train_elsewhere(names, variables, portable=portable, epochs=given.epochs)
        _print(name, rows)
    for emulator in given.emulator:
        rows[emulator] = train_elsewhere(names, portable=portable, epochs=given.epochs, emulator=emulator)
        _print(emulator, rows)
    if given.json:
        given.json.write_text(json.dumps({"portable": portable, "rows": rows}, indent=2) + "\n")
    raise SystemExit(0 if all(row == rows[NATIVE] for row in rows.values()) else 1)


def _print(name: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    same = {m: "same" if value == rows[NATIVE][m] else "differs" for m, value in rows[name].items()}
    print(f"{name:44} " + "  ".join(f"{m} {what}" for m, what in same.items()), flush=True)


if __name__ == "__main__":
    main()
