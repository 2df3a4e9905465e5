"""The strong view of semi-supervised methods; the only place where albumentations is used.

RandAugment as semi-supervised facial expression recognition uses it (Ada-CM's released code): three
operations drawn with replacement from fourteen, each with a magnitude drawn from its range, then a cutout
whose sides are at most half the picture's.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.data.loading.batches import EpochRows, Rows

OPERATIONS = 3
SLOPE = 0.3
"""Largest slope of a shear (Ada-CM's released code)."""
GREY = (125, 123, 114)
"""What a cutout is filled with (Ada-CM's released code)."""


class StrongRows(Rows):
    """Batches of rows with the strong view `strong` added, uint8 [B, H, W, 3].

    Args:
        rows: Rows, indexed by a whole batch at once, with `image` uint8 [B, H, W, 3] and `label` [B].
        seed: Repetition.
        everywhere: Whether rows with a label have one too; else theirs is black.
    """

    def __init__(self, rows: Rows, seed: int, *, everywhere: bool = True) -> None:
        self.rows, self.seed, self.everywhere = rows, seed, everywhere

    def __getitem__(self, wanted: EpochRows) -> dict[str, Tensor]:
        """Return the batch of index positions in their epoch."""
        batch = self.rows[wanted]
        pictures, labels = batch["image"].numpy(), batch["label"].tolist()
        views = np.zeros_like(pictures)
        for place, row in enumerate(wanted):
            if self.everywhere or labels[place] < 0:
                views[place] = strong_view(pictures[place], self.seed, wanted.epoch, row)
        batch["strong"] = torch.from_numpy(views)
        return batch


def strong_view(picture: NDArray[np.uint8], seed: int, epoch: int, row: int) -> NDArray[np.uint8]:
    """Return a strongly augmented copy that depends on the arguments only.

    Args:
        picture: RGB uint8 [H, W, 3].
        seed: Repetition.
        epoch: Epoch from 0.
        row: Index position.
    """
    pipeline = _pipeline()
    pipeline.set_random_seed(int(np.random.SeedSequence([seed, epoch, row]).generate_state(1)[0]))
    return np.asarray(pipeline(image=picture)["image"], np.uint8)


def sheared(picture: NDArray[np.uint8], slope: float, *, down: bool) -> NDArray[np.uint8]:
    """Return a picture sheared about its top left corner, which is Pillow's origin; what it lacks is black.

    The answer at (x, y) is the picture at (x + slope y, y), or at (x, y + slope x) with `down`.

    Args:
        picture: RGB uint8 [H, W, 3].
        slope: Pixels per pixel.
        down: Whether columns are shifted and not rows.
    """
    half = slope / 2  # cv2 counts from the middle of the first pixel, Pillow from its corner
    matrix = np.array([[1, 0, 0], [slope, 1, half]] if down else [[1, slope, half], [0, 1, 0]], np.float64)
    height, width = picture.shape[:2]
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), flags=how), np.uint8)


@cache
def _pipeline() -> Any:
    """Return the transform of albumentations, told not to ask the network for a newer version."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as A

    def colour(**factor: tuple[float, float]) -> Any:
        still = {
            "brightness": (1.0, 1.0),
            "contrast": (1.0, 1.0),
            "saturation": (1.0, 1.0),
            "hue": (0.0, 0.0),
        }
        return A.ColorJitter(**{**still, **factor}, p=1)

    def warp(**change: dict[str, tuple[float, float]]) -> Any:
        return A.Affine(**change, p=1)

    class Shear(A.ImageOnlyTransform):  # type: ignore[misc]
        """Shear about the corner, where A.Affine shears about the centre."""

        def __init__(self, *, down: bool) -> None:
            super().__init__(p=1)
            self.down = down

        def get_params(self) -> dict[str, Any]:
            return {"slope": self.py_random.uniform(-SLOPE, SLOPE)}

        def apply(self, img: Any, slope: float = 0.0, **params: Any) -> Any:
            return sheared(img, slope, down=self.down)

    still, shift = (0.0, 0.0), (-0.3, 0.3)
    operations = [
        A.AutoContrast(method="pil", p=1),
        colour(brightness=(0.05, 0.95)),
        colour(saturation=(0.05, 0.95)),
        colour(contrast=(0.05, 0.95)),
        A.Equalize(mode="pil", p=1),
        A.NoOp(p=1),
        A.Posterize(num_bits=(4, 7), p=1),
        A.Rotate(limit=30, p=1),
        # Pillow's sharpness below 1 mixes in a 3 x 3 smoothing, whose spread these sigmas have.
        A.GaussianBlur(blur_limit=(3, 3), sigma_limit=(0.15, 0.66), p=1),
        Shear(down=False),
        Shear(down=True),
        A.Solarize(threshold_range=(0.0, 1.0), p=1),
        warp(translate_percent={"x": shift, "y": still}),
        warp(translate_percent={"x": still, "y": shift}),
    ]
    cutout = A.CoarseDropout(
        num_holes_range=(1, 1), hole_height_range=(0.01, 0.5), hole_width_range=(0.01, 0.5), fill=GREY, p=1
    )
    return A.Compose([A.SomeOf(operations, n=OPERATIONS, replace=True, p=1), cutout])
