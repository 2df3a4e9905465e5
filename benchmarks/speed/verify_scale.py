"""Measure `fer-bench data verify` on many pictures: time relative to decoding them, memory, resuming.

Writes class folders of small noise pictures (MMAFEDB layout), once a quarter of them and once all. Separate
processes read and decode every picture with as many threads as the check; check them; start a check that is
killed (SIGKILL) half-way; and continue it. Times are ratios within one run. Memory does not depend on the
content of the pictures and grows with their number by an index row and a print each; the memory for the
published size is extrapolated from the two sizes. Below 65,536 pictures that is too high, because the texts
of an index are packed in pieces of so many rows.

    python benchmarks/speed/verify_scale.py --pictures 40000 --dir /dev/shm
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PUBLISHED = 300_000
"""Pictures of the largest datasets."""
PARTS = {"train": 0.7, "valid": 0.15, "test": 0.15}
CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
HALF = 0.5


def write(root: Path, pictures: int, side: int = 100) -> None:
    """Write JPEG files of different smooth noise."""
    rng = np.random.default_rng(0)
    number = 0
    for part, share in PARTS.items():
        for code in CLASSES:
            folder = root / part / code
            folder.mkdir(parents=True, exist_ok=True)
            for _ in range(max(2, int(pictures * share / len(CLASSES)))):
                coarse = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
                face = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
                (folder / f"{number}.jpg").write_bytes(cv2.imencode(".jpg", face)[1].tobytes())
                number += 1


def plain(root: Path) -> dict[str, Any]:
    """Read and decode every picture, with as many threads as the check uses."""
    from fer_bench.files import usable_cores

    cv2.setNumThreads(1)

    def look(file: str) -> int:
        with open(file, "rb") as stream:
            return int(cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)[0, 0, 0])

    files = sorted(os.path.join(place, name) for place, _, names in os.walk(root) for name in names)
    began = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as pool:
        sum(pool.map(look, files))
    return {"rows": len(files), "seconds": time.perf_counter() - began}


def check(root: Path) -> dict[str, Any]:
    """Check the tree in this process, printing progress."""
    from fer_bench.data.audit import scan
    from fer_bench.data.audit.verify import verify
    from fer_bench.datasets import get

    scan.SAVED_EVERY = 1.0  # so that a short run has something to continue
    reader = get("mmafedb")
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        print(json.dumps({"done": done, "total": total}), flush=True)

    report = verify(lambda: reader(root), "mmafedb", is_real=False, progress=progress)
    seconds = time.perf_counter() - began
    resumed = next((f.message for f in report.findings if f.kind == "resumed"), "0")
    return {
        "rows": report.rows,
        "seconds": seconds,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "errors": report.has_errors,
        "resumed": int(resumed.split()[0]),
    }


def run(what: str, root: Path, cache: Path) -> dict[str, Any]:
    """Measure in a separate process and return its last line."""
    last: dict[str, Any] = {}
    for line in _lines(_start(what, root, cache)):
        last = line
    return last


def _start(what: str, root: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--measure", what, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "FER_BENCH_CACHE": str(cache)},
    )


def _lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    if process.wait() != 0:
        raise SystemExit("a measuring process failed")


def kill_half_way(root: Path, cache: Path) -> int:
    """Start a check, kill it half-way, and return how many rows it had checked."""
    process = _start("check", root, cache)
    assert process.stdout is not None
    for line in process.stdout:
        found = json.loads(line)
        if found["done"] >= HALF * found["total"]:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    return int(found["done"])


def main() -> None:
    """Write, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=40_000)
    parser.add_argument("--dir", type=Path, default=None, help="where the temporary folders go")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, root = options.measure
        print(json.dumps({"plain": plain, "check": check}[what](Path(root))))
        return
    with tempfile.TemporaryDirectory(dir=options.dir) as folder, tempfile.TemporaryDirectory() as caches:
        cache = Path(caches)
        found = []
        for share in (0.25, 1.0):
            root = Path(folder) / f"{share:.0%}"
            write(root, int(options.pictures * share))
            run("plain", root, cache)  # so that both find the files in the page cache
            decoded = run("plain", root, cache)
            found.append(run("check", root, cache / str(share)))
            ratio = found[-1]["seconds"] / decoded["seconds"]
            print(f"{found[-1]['rows']:,} pictures: {ratio:.2f} times as long as decoding them, ", end="")
            print(f"{found[-1]['mib']:.0f} MiB at most; errors: {found[-1]['errors']}", flush=True)
        small, large = found
        slope = (large["mib"] - small["mib"]) / (large["rows"] - small["rows"])
        at = large["mib"] + slope * (PUBLISHED - large["rows"])
        print(f"{slope * 1024:.2f} KiB per picture; extrapolated to {PUBLISHED:,} pictures: {at:.0f} MiB")
        looked = kill_half_way(root, cache / "killed")
        again = run("check", root, cache / "killed")
        print(
            f"killed after {looked:,} of {again['rows']:,}: the next check went on from {again['resumed']:,} "
            f"and took {again['seconds'] / large['seconds']:.2f} of a whole one"
        )


if __name__ == "__main__":
    main()
