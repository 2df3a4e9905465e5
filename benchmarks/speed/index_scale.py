"""Measure how long the indexes of the large datasets take to build, and how much memory they need.

Writes label files of the published size with empty pictures into a temporary folder, then builds each index
in its own process: wall seconds, peak resident memory, and the ratio to a plain pass over the same label
files (`csv.reader` over the lists; reading every npy as bytes). Another process opens the kept index: its
time as a share of building, its memory, and whether both indexes are equal.

    python benchmarks/speed/index_scale.py --only affectnet-csv affwild2 --dir /dev/shm
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SECONDS, GIBIBYTES = 30.0, 1.5
"""Limits for every index; the seconds are for as many rows as AffectNet has."""
PUBLISHED = 300_000

POINTS = 200
"""Number of different landmark strings; one per face would take most of the time."""


def touch(folder: Path, names: list[str]) -> None:
    """Create empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))


def landmarks(rng: random.Random) -> list[str]:
    """Return strings of 136 coordinates."""
    return [";".join(f"{rng.uniform(0, 500):.2f}" for _ in range(136)) for _ in range(POINTS)]


def affectnet_csv(root: Path, share: float) -> None:
    """Write AffectNet's csv lists: 414,799 and 5,500 lines over some 1,000 folders of pictures."""
    rng = random.Random(0)
    points = landmarks(rng)
    (root / "Manually_Annotated_file_lists").mkdir(parents=True)
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    for name, lines, start in (("training", 414_799, 0), ("validation", 5_500, 10**7)):
        count = int(lines * share)
        folders: dict[str, list[str]] = {}
        with (root / "Manually_Annotated_file_lists" / f"{name}.csv").open("w") as out:
            out.write(header + "valence,arousal\n")
            for number in range(start, start + count):
                folder, stem = str(number % 1000), f"{number * 2654435761 % 2**64:056x}.jpg"
                folders.setdefault(folder, []).append(stem)
                code = rng.choices(range(11), (75, 134, 25, 14, 6, 4, 25, 4, 33, 12, 82))[0]
                affect = "-2,-2" if code > 8 else f"{rng.uniform(-1, 1):.6f},{rng.uniform(-1, 1):.6f}"
                box = ",".join(str(rng.randrange(50, 900)) for _ in range(4))
                out.write(f"{folder}/{stem},{box},{rng.choice(points)},{code},{affect}\n")
        for folder, names in folders.items():
            touch(root / "Manually_Annotated" / "Manually_Annotated_Images" / folder, names)


def affectnet_npy(root: Path, share: float) -> None:
    """Write AffectNet's crops: 287,651 and 3,999 pictures with four npy files each.

    The npy files are hard links to some hundred contents: writing over a million files takes far longer than
    the measurement.
    """
    rng = random.Random(0)
    originals = root / "originals"
    originals.mkdir(parents=True)

    def stored(kind: str, texts: list[str]) -> list[Path]:
        for number, text in enumerate(texts):
            np.save(originals / f"{kind}{number}.npy", np.array(text))
        return [originals / f"{kind}{number}.npy" for number in range(len(texts))]

    points = stored("lnd", landmarks(rng))
    numbers = stored("number", [f"{value / 10_000:.6f}" for value in range(-9_999, 10_000)])
    codes = stored("code", [str(code) for code in range(8)])
    for name, faces in (("train_set", 287_651), ("val_set", 3_999)):
        count = int(faces * share)
        touch(root / name / "images", [f"{number}.jpg" for number in range(count)])
        folder = root / name / "annotations"
        folder.mkdir()
        for number in range(count):
            parts = {"exp": codes, "val": numbers, "aro": numbers, "lnd": points}
            for part, values in parts.items():
                os.link(rng.choice(values), folder / f"{number}_{part}.npy")


def affwild2(root: Path, share: float) -> None:
    """Write the multi-task lists of Aff-Wild2: 142,333 and 26,876 labelled frames of 307 videos."""
    rng = random.Random(0)
    for name, frames, videos in (("training", 142_333, 240), ("validation", 26_876, 67)):
        count = int(frames * share)
        pictures: dict[str, list[str]] = {}
        with (root / f"{name}_set_annotations.txt").open("w") as out:
            out.write("image,valence,arousal,expression,aus\n")
            for number in range(count):
                video, frame = f"{name}{number % videos}", f"{number // videos + 1:05d}.jpg"
                pictures.setdefault(video, []).append(frame)
                units = ",".join(str(rng.choice((-1, 0, 0, 1))) for _ in range(12))
                affect = "-5,-5" if number % 4 == 0 else f"{rng.uniform(-1, 1):.3f},{rng.uniform(-1, 1):.3f}"
                out.write(f"{video}/{frame},{affect},{rng.randrange(-1, 8)},{units}\n")
        for video, names in pictures.items():
            touch(root / "cropped_aligned" / video, names)


def abaw3va(root: Path, share: float) -> None:
    """Write the third competition's lists of valence and arousal, and action units for two thirds of them.

    There are about as many frames as in the track's training and validation videos together.
    """
    rng = random.Random(0)
    outer = root / "3rd ABAW Annotations" / "Third ABAW Annotations"
    lines = [f"{rng.uniform(-1, 1):.3f},{rng.uniform(-1, 1):.3f}\n" for _ in range(5000)]
    units = [",".join(str(rng.choice((-1, 0, 0, 1))) for _ in range(12)) + "\n" for _ in range(5000)]
    header = ",".join(f"AU{n}" for n in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))
    for part, videos in (("Train_Set", 341), ("Validation_Set", 71)):
        for track in ("VA_Estimation_Challenge", "AU_Detection_Challenge"):
            (outer / track / part).mkdir(parents=True)
        for number in range(videos):
            count, video = int(4_700 * share), f"{part.split('_')[0]}-{number}-1920x1080"
            text = "valence,arousal\n" + "".join(rng.choices(lines, k=count))
            (outer / "VA_Estimation_Challenge" / part / f"{video}.txt").write_text(text)
            if number % 3:
                text = f"{header}\n" + "".join(rng.choices(units, k=count))
                (outer / "AU_Detection_Challenge" / part / f"{video}.txt").write_text(text)
            touch(root / "cropped_aligned" / video, [f"{frame + 1:05d}.jpg" for frame in range(count)])


KINDS: dict[str, tuple[str, Callable[[Path, float], None]]] = {
    "affectnet-csv": ("affectnet7", affectnet_csv),
    "affectnet-npy": ("affectnet7", affectnet_npy),
    "affwild2": ("affwild2", affwild2),
    "abaw3va": ("abaw3va", abaw3va),
}


def plain_pass(root: Path) -> float:
    """Return the seconds that only reading the label files takes."""
    began = time.perf_counter()
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith((".csv", ".txt")):
                with open(os.path.join(folder, name), newline="") as stream:
                    for _ in csv.reader(stream):
                        pass
            elif name.endswith(".npy"):
                with open(os.path.join(folder, name), "rb", buffering=0) as binary:
                    binary.read()
    return time.perf_counter() - began


def build(name: str, root: Path) -> dict[str, Any]:
    """Build one index in this process, or open the kept one."""
    from fer_bench.data.index import fingerprint
    from fer_bench.data.packs import index_cache
    from fer_bench.datasets import get

    index_cache.SETTLED = -3600.0  # the files were written just now and will not change
    dataset = get(name)(root)
    index_cache.keep_index(dataset)
    file = index_cache.file_of(dataset)
    was_kept = file.exists() and index_cache.outdated(index_cache.read_facts(file), type(dataset)) is None
    began, at_work = time.perf_counter(), time.process_time()
    index = dataset.index
    seconds, at_work = time.perf_counter() - began, time.process_time() - at_work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = {"rows": len(index), "seconds": seconds, "cpu": at_work, "gib": peak / 2**20}
    return {**facts, "was_kept": was_kept, "mark": fingerprint(index)}


def main() -> int:
    """Write, measure and print; the exit code is 1 where an index takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--share", type=float, default=1.0, help="share of the published size")
    parser.add_argument("--dir", type=Path, default=None, help="where the temporary folder goes")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(build(options.measure[0], Path(options.measure[1]))))
        return 0
    failed = False
    print(
        "| index | rows | seconds | CPU seconds | of a plain pass | peak GiB | kept: of building | GiB |\n"
        + "| --- " * 8
        + "|"
    )
    for kind in options.only:
        found, kept, plain = built(kind, options.share, options.dir)
        ratio = f"{found['seconds'] / plain:.1f} x {plain:.1f} s"
        times = f"{found['seconds']:.1f} | {found['cpu']:.1f} | {ratio}"
        again = f"{kept['seconds'] / found['seconds']:.0%} | {kept['gib']:.2f}"
        print(f"| {kind} | {found['rows']:,} | {times} | {found['gib']:.2f} | {again} |", flush=True)
        failed |= found["seconds"] > SECONDS * max(1.0, found["rows"] / PUBLISHED)
        failed |= found["gib"] > GIBIBYTES
    return int(failed)


def built(
    kind: str, share: float, folder: Path | None = None
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Write a dataset and build its index in a process of its own, and open the kept one in another.

    Args:
        kind: Of `KINDS`.
        share: Share of the published size.
        folder: Where the temporary folder goes.

    Returns:
        What `build` found while building and while opening, and the seconds of a plain pass.
    """
    name, write = KINDS[kind]
    with tempfile.TemporaryDirectory(dir=folder) as data, tempfile.TemporaryDirectory() as cache:
        root = Path(data)
        write(root, share)
        plain_pass(root)  # so that both readings find the files in the page cache
        plain = plain_pass(root)
        command = [sys.executable, __file__, "--measure", name, data]
        around = {**os.environ, "FER_BENCH_CACHE": cache}
        found, kept = (
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=around).stdout)
            for _ in range(2)
        )
    if not kept["was_kept"] or kept["mark"] != found["mark"]:
        raise SystemExit(f"{kind}: the kept index is not the one that was built")
    return found, kept, plain


if __name__ == "__main__":
    raise SystemExit(main())
