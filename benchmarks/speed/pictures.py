"""Pictures that speed benchmarks write: smooth ones with the noise of a camera, in class folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

PARTS = {"train": 0.7, "valid": 0.15, "test": 0.15}
CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def write_pictures(root: Path, pictures: int, side: int, *, grey: bool = False) -> None:
    """Write JPEG files as MMAFEDB has them, all of them different, of about 5 kB at 100 pixels.

    Args:
        root: A new folder.
        pictures: How many, at least 42.
        side: Pixels.
        grey: Whether files have one channel.
    """
    rng = np.random.default_rng(0)
    for part, share in PARTS.items():
        for code in CLASSES:
            folder = root / part / code
            folder.mkdir(parents=True)
            for number in range(max(2, int(pictures * share / len(CLASSES)))):
                coarse = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
                smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
                noisy = np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
                noisy = cv2.cvtColor(noisy, cv2.COLOR_BGR2GRAY) if grey else noisy
                cv2.imwrite(str(folder / f"{part}{code}{number}.jpg"), noisy)
