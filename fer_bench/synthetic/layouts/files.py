"""Writing the files of synthetic datasets: pictures, videos, lists."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError
from fer_bench.synthetic.anatomy import Picture

# On noisy pictures, Huffman coding of horizontal differences is several times as fast as the default.
_PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB),
]


def save(file: Path, picture: Picture, *, quality: int = 92, grey: bool = False) -> None:
    """Write an RGB picture in the format of its suffix; `grey` keeps one channel."""
    data = picture[:, :, 0] if grey else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    png = file.suffix == ".png"
    options = _PNG_OPTIONS if png else [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".png" if png else ".jpg", data, options)
    _write(file, encoded.tobytes())


def save_video(file: Path, frames: Sequence[Picture], *, rate: float) -> None:
    """Write RGB frames as a motion JPEG in an AVI container."""
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.CAP_OPENCV_MJPEG, code, rate, (width, height))
    if not writer.isOpened():
        raise DataError("the video cannot be opened for writing", file=file)
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 85)
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def save_array(file: Path, values: NDArray[Any]) -> None:
    """Write an array as npy, without pickle."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    _write(file, stream.getvalue())


def write_lines(file: Path, lines: Iterable[str], *, final_newline: bool = True) -> None:
    """Write lines as UTF-8, one at a time, with the folders above the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(lines):
            stream.write(f"\n{line}" if number else line)
        stream.write("\n" if final_newline else "")


def scientific(values: Sequence[float]) -> str:
    """Return numbers as CK+ prints them: in scientific notation after three spaces each."""
    return "".join(f"   {value:.7e}" for value in values)


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
