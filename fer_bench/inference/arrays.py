"""Pictures and frames that a program has as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fer_bench.data.reading.pictures import Image
from fer_bench.errors import UsageError
from fer_bench.inference.table import Row


def placed(frames: Iterable[Any]) -> Iterator[tuple[Row, Any]]:
    """Yield frames uint8 [H, W, 3] with their place; one may be a pair of seconds and picture."""
    for number, frame in enumerate(frames):
        seconds, image = frame if isinstance(frame, tuple) and len(frame) == 2 else (None, frame)
        yield {"file": "frames", "frame": number, "time": seconds}, image


def checked(image: Any) -> Image:
    """Return a picture that was given as an array.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        is_array = isinstance(image, np.ndarray)
        raise UsageError(
            "a picture is an RGB array uint8 [height, width, 3]",
            value=f"{image.dtype} {list(image.shape)}" if is_array else type(image).__name__,
        )
    if not image.size:
        raise UsageError("the picture has no pixels", value=list(image.shape))
    return image
