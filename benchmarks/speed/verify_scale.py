"""Measure `fer-bench data verify` against decoding the same pictures, its memory, and how it continues.

Writes class folders (MMAFEDB's layout) of pictures as large as RAF-DB's and FER2013's, and in turn reads and
decodes every picture with OpenCV, and checks them: layout, labels, copies and look-alikes as well as files.
Then separate processes check folders of small pictures of noise, one four times as large as the other, for
the memory per picture, which does not depend on what pictures show; and a check is killed half-way (SIGKILL)
and continued.

    python -m benchmarks.speed.verify_scale
"""

from __future__ import annotations

import cProfile
import itertools
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from benchmarks.speed.harness import Ratio, Report, alternate, median_ratio, run_benchmark, text_of
from benchmarks.speed.pictures import CLASSES, PARTS, write_pictures
from fer_bench import allocator
from fer_bench.data.audit import scan
from fer_bench.data.audit.report import Report as Findings
from fer_bench.data.audit.verify import verify
from fer_bench.data.reading.pictures import read_picture
from fer_bench.datasets import get

PICTURES = 3_000
SIDES = {100: "colour, 100 px", 48: "grey, 48 px"}
WANTED = 1.5
COUNTS = (6_000, 24_000)
"""Pictures whose memory is measured."""
PUBLISHED = 300_000
"""Pictures of the largest datasets."""
HALF = 0.5
GROWS = "a row of the index and the print that look-alikes are found with stay in memory for each picture"
LINES = 25
NOTE = (
    "{more:.0f} microseconds are added to the {decode:.0f} of opening, reading and decoding a file, about as "
    "many whatever the size of a picture: calls of Python, numpy and OpenCV that find files cut off or "
    "overwritten, make checksums and prints of faces, and keep a row of the index (profile). {wanted:g} "
    "times would leave {left:.0f} for all of them, of which the rules for damaged files take {rules:.0f}"
)


def write_noise(root: Path, pictures: int) -> None:
    """Write small pictures of different noise, quickly."""
    rng = np.random.default_rng(0)
    for part, share in PARTS.items():
        for code in CLASSES:
            folder = root / part / code
            folder.mkdir(parents=True)
            for number in range(int(pictures * share / len(CLASSES))):
                face = cv2.resize(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8), (32, 32))
                (folder / f"{number}.jpg").write_bytes(cv2.imencode(".jpg", face)[1].tobytes())


def decode(files: list[str]) -> None:
    """Read and decode every picture."""
    for file in files:
        assert cv2.imread(file) is not None


def read(files: list[str]) -> None:
    """Read and decode every picture as readers do, which refuse those that are cut off or overwritten."""
    for file in files:
        read_picture(file)


def check(root: Path, cache: Path, **options: Any) -> Findings:
    """Check the pictures of a folder."""
    reader = get("mmafedb")
    return verify(lambda: reader(root), "mmafedb", is_real=False, cache=cache, **options)


def child(root: Path, cache: Path) -> None:
    """Check in this process, printing progress and what it took."""
    scan.SAVED_EVERY = 0.5  # so that a short check has something to continue

    def progress(done: int, total: int) -> None:
        print(json.dumps({"done": done, "total": total}), flush=True)

    began, before = time.process_time(), _mib()
    report = check(root, cache, progress=progress)
    resumed = next((finding.message for finding in report.findings if finding.kind == "resumed"), "0")
    found = {"rows": report.rows, "before": before, "mib": _mib(), "resumed": int(resumed.split()[0])}
    print(json.dumps({**found, "seconds": time.process_time() - began}))


def _mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(root: Path, cache: Path, *, kill_at: float = 2.0) -> dict[str, Any]:
    """Check in a process of its own, and return its last line.

    Args:
        root: The pictures.
        cache: Where the state of the check is kept.
        kill_at: Share of the pictures after which it is killed.
    """
    call = "import sys; from pathlib import Path; from benchmarks.speed.verify_scale import child; "
    process = subprocess.Popen(
        [sys.executable, "-c", call + "child(*map(Path, sys.argv[1:]))", str(root), str(cache)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    last: dict[str, Any] = {}
    for last in _lines(process):
        if last.get("done", 0) >= kill_at * last.get("total", PUBLISHED):
            process.send_signal(signal.SIGKILL)
            break
    if process.wait() != 0 and kill_at > 1:
        raise SystemExit("a check failed")
    return last


def _lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def note_of(decode: float, ratio: float, floor: float) -> str:
    """Return why the check takes longer than was asked.

    Args:
        decode: Microseconds in which a picture is read and decoded.
        ratio: The check's time over that.
        floor: That of reading through the rules for damaged files.
    """
    added = {"more": ratio - 1, "left": WANTED - 1, "rules": floor - 1}
    return NOTE.format(
        decode=decode, wanted=WANTED, **{name: share * decode for name, share in added.items()}
    )


def measure(rounds: int) -> Report:
    """Measure time, memory and continuing."""
    allocator.keep_memory()  # as every command does
    cv2.setNumThreads(1)
    ratios, micro, profile = [], {}, ""
    with tempfile.TemporaryDirectory() as folder:
        place, caches = Path(folder), itertools.count()
        for side, name in SIDES.items():
            root = place / str(side) / "mmafedb"
            write_pictures(root, PICTURES, side, grey=side == 48)
            files = sorted(str(file) for file in root.rglob("*.jpg"))
            steps = {
                "decode": lambda files=files: decode(files),
                "read": lambda files=files: read(files),
                "verify": lambda root=root: check(root, place / f"cache{next(caches)}"),
            }
            seconds = alternate(steps, rounds)
            ratio, floor = (median_ratio(seconds, way, "decode") for way in ("verify", "read"))
            found = {step: min(each) / len(files) * 1e6 for step, each in seconds.items()}
            note = note_of(found["decode"], ratio, floor)
            ratios.append(Ratio(f"verify / decoding, {name}", ratio, WANTED, "lower", note))
            micro[name] = {step: round(each, 1) for step, each in found.items()}
            profile += f"{name}\n{profile_of(root, place / f'profile{side}')}\n"
        checked = []
        for count in COUNTS:
            write_noise(place / str(count) / "mmafedb", count)
            checked.append(apart(place / str(count) / "mmafedb", place / f"memory{count}"))
        small, large = checked
        killed = apart(root := place / str(COUNTS[1]) / "mmafedb", place / "killed", kill_at=HALF)
        again = apart(root, place / "killed")
    slope = (large["mib"] - small["mib"]) / (large["rows"] - small["rows"])
    more = large["mib"] / small["mib"]
    ratios.append(Ratio("memory at four times as many pictures", more, 1.0, "lower", GROWS))
    at_most = large["mib"] + slope * (PUBLISHED - large["rows"])
    share = again["seconds"] / large["seconds"]
    return Report(
        title="Checking a dataset",
        text="`fer-bench data verify`, in processor time, against reading and decoding the same JPEG files "
        "with OpenCV. It reads layout and pictures, and finds damaged files, copies and look-alikes.",
        ratios=ratios,
        figures={"microseconds a picture": micro, "MiB": [(c["rows"], c["mib"]) for c in checked]},
        tables=[
            (
                f"Memory; at {PUBLISHED:,} pictures it is extrapolated",
                ["pictures", "each takes", f"at {PUBLISHED:,}"],
                [[f"{large['rows']:,}", f"{slope * 1024:.2f} KiB", f"{at_most:.0f} MiB"]],
            ),
            (
                "A check that was killed half-way and is continued",
                ["pictures checked when killed", "not checked again", "share of a whole check's time"],
                [[f"{killed['done']:,}", f"{again['resumed']:,}", f"{share:.2f}"]],
            ),
        ],
        profile=profile,
    )


class _OneThread:
    """Runs what a pool of threads would, so that the profiler sees it."""

    def __init__(self, workers: int) -> None:
        self.map = map

    def __enter__(self) -> _OneThread:
        return self

    def __exit__(self, *details: object) -> None:
        pass


def profile_of(root: Path, cache: Path) -> str:
    """Return where the time of a check goes, by the functions' own time."""
    with patch.object(scan, "ThreadPoolExecutor", _OneThread), cProfile.Profile() as profiler:
        check(root, cache)
    return text_of(profiler, LINES)


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
