"""Small trees in the official layouts, with pictures, and the damages that a check has to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fer_bench.data.audit.report import Report
from fer_bench.data.audit.verify import verify
from fer_bench.data.protocols import unit_interval
from fer_bench.workspace.sources import find_roots, open_source
from tests.datasets import test_affectnet as affectnet
from tests.datasets import test_affwild2 as affwild2
from tests.datasets import test_ckplus as ckplus
from tests.datasets import test_expw as expw
from tests.datasets import test_fer2013 as fer2013
from tests.datasets import test_mmafedb as mmafedb
from tests.datasets import test_mmi as mmi
from tests.datasets import test_oulu as oulu
from tests.datasets import test_rafdb as rafdb
from tests.datasets import test_sfew as sfew

PICTURES = {".jpg", ".jpeg", ".png", ".tif"}


def paint(root: Path) -> Path:
    """Give every empty picture of a tree a face of its own: smooth, so that compression keeps it."""
    files = sorted(f for f in root.rglob("*") if f.suffix.casefold() in PICTURES and not f.stat().st_size)
    for seed, file in enumerate(files):
        coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
        cv2.imwrite(str(file), cv2.resize(coarse, (120, 120), interpolation=cv2.INTER_CUBIC))
    return root


def expw_tree(root: Path) -> Path:
    """Write 280 photos with one face each, all classes on all sides of the hash split."""
    lines = tuple(f"boy_{i}.jpg 0 10 10 110 110 9.5 {i % 7}" for i in range(280))
    return paint(expw.write_tree(root, lines))


def fer2013_tree(root: Path) -> Path:
    """Write the csv with four faces per class and part, no two alike."""
    lines = []
    for seed, usage in enumerate(u for u in ("Training", "PublicTest", "PrivateTest") for _ in range(28)):
        coarse = np.random.default_rng(seed).integers(0, 256, (7, 7)).astype(np.uint8)
        face = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
        lines.append(f"{seed % 7},{' '.join(map(str, face.ravel()))},{usage}")
    return fer2013.write_csv(root, lines)


def ckplus_tree(root: Path) -> Path:
    """Write four sequences of four people per emotion, with points inside the pictures."""
    for subject in range(1, 29):
        stem = ckplus.add_labelled(root, f"S{subject:03d}", "001", subject % 7 + 1, frames=4)
        ckplus.add_text(root, "Landmarks", stem, "".join(f"{20 + i} {30 + i}\n" for i in range(68)))
    return paint(root)


def mmi_tree(root: Path) -> Path:
    """Write one clip of each of 18 people, three per emotion."""
    for number in range(18):
        mmi.add_session(root, number, f"S{number:03d}-001", emotion=str(number % 6 + 1))
        clip = clip_of(number, root)
        coarse = np.random.default_rng(number).integers(0, 200, (7, 7, 3)).astype(np.uint8)
        face = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
        writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 24, (64, 48))
        for frame in range(9):
            writer.write(np.roll(face, frame, axis=1))
        writer.release()
    return root


def oulu_tree(root: Path) -> Path:
    """Write the six emotions of ten people, originals in strong light."""
    for subject in range(1, 11):
        for emotion in oulu.EMOTIONS:
            oulu.add_sequence(root / "OriginalImg" / "VL" / "Strong", f"P{subject:03d}", emotion, frames=4)
    return paint(root / "OriginalImg").parent


def affectnet_tree(root: Path) -> Path:
    """Write crops of eight classes, 40 to train on, with points inside the pictures."""
    return paint(affectnet.write_tree(root, per_class=(5, 3)))


def affwild2_tree(root: Path) -> Path:
    """Write videos of every expression, ten to train on and four to validate."""
    lists = [
        tuple(
            f"v{video}/{frame:05d}.jpg,0.1,0.2,{(frame - 1) % 8},{affwild2.AUS}"
            for video in videos
            for frame in range(1, 9)
        )
        for videos in (range(10), range(10, 14))
    ]
    return paint(affwild2.write_tree(root, *lists))


def clip_of(number: int, root: Path) -> Path:
    return root / mmi.DOWNLOAD / "Sessions" / str(number) / f"S{number:03d}-001.avi"


def cut(file: Path, keep: float = 0.5) -> None:
    """Leave the beginning of a file only, as a copy that was stopped does."""
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * keep)])


def change_lines(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")


TREES: dict[str, Callable[[Path], Path]] = {
    "expw": expw_tree,
    "fer2013": fer2013_tree,
    "sfew": lambda root: paint(sfew.write_tree(root)),
    "mmafedb": lambda root: paint(mmafedb.write_tree(root, 4)),
    "rafdb": lambda root: paint(rafdb.write_tree(root)).parent,
    "ckplus": ckplus_tree,
    "mmi": mmi_tree,
    "oulu": oulu_tree,
    "affectnet7": affectnet_tree,
    "affwild2": affwild2_tree,
}


def check(name: str, root: Path, *, is_real: bool = False) -> Report:
    roots = find_roots(str(root))
    return verify(
        lambda: open_source(name, roots).dataset, name, is_real=is_real, cache=root.parent / "cache"
    )


def photo_of(side: str, root: Path, number: int = 0) -> Path:
    """Return an ExpW photo that trains or tests under the hash rule."""
    names = [f"boy_{i}.jpg" for i in range(280)]
    place = unit_interval(names, "split/expw")
    wanted = place < 0.7 if side == "train" else place >= 0.85
    return root / "image/origin" / np.array(names)[wanted][number]


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def mirror(source: Path, target: Path) -> None:
    cv2.imwrite(str(target), cv2.imread(str(source))[:, ::-1])


def shrink(source: Path, target: Path) -> None:
    cv2.imwrite(str(target), cv2.resize(cv2.imread(str(source)), (90, 90), interpolation=cv2.INTER_AREA))
