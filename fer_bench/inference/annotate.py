"""Videos with boxes and answers drawn into their frames."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_bench.data.reading.decoder_messages import captured_messages
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import DataError
from fer_bench.figures import COLOURS
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.inputs import Item
from fer_bench.inference.shown import box_of, landmarks_of
from fer_bench.inference.table import shares_of
from fer_bench.inference.video import Ending, Every, frames_of, opened

CODEC = "mp4v"
"""MPEG-4 part 2: OpenCV's wheels encode no other codec of MP4."""
RATES = (1.0, 120.0)
"""Frames per second that are written at least and at most."""


def annotate_video(
    table: pd.DataFrame,
    item: Item,
    card: DeploymentCard,
    path: Path,
    on_frame: Callable[[int], None] | None = None,
) -> None:
    """Write a video with the boxes, landmarks and answers of its frames, without sound.

    A frame that was not predicted shows the last answers before it. Frames keep their time also where the
    rate of the video varies: they are repeated or left out as a constant rate asks for.

    Args:
        table: The predictions.
        item: The video.
        card: The model's card.
        path: The MP4 file.
        on_frame: Called with the number of frames read.

    Raises:
        DataError: The video cannot be read, or this OpenCV cannot write MP4 files.
    """
    rows = table[(table["file"] == item.name) & table["frame"].notna()]
    by_frame = {int(str(number)): group for number, group in rows.groupby("frame")}
    temporary = path.with_name(f".{path.stem}.partial.mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: Any = None
    written, current = 0, rows.iloc[:0]
    try:
        with captured_messages(), opened(item) as capture:
            rate = _rate(capture)
            last: Image | None = None
            for frame in frames_of(capture, item, Every(), Ending()):
                current = by_frame.get(frame.number, current)
                if writer is None:
                    writer = _open(temporary, rate, frame.image, path)
                while last is not None and written < round(frame.time * rate):
                    writer.write(last)
                    written += 1
                last = np.ascontiguousarray(draw(frame.image, current, card)[:, :, ::-1])
                if on_frame is not None:
                    on_frame(frame.number + 1)
            if last is None:
                raise DataError("the video has no frame that decodes", file=item.path)
            writer.write(last)
        writer.release()
        os.replace(temporary, path)
    finally:
        if writer is not None:
            writer.release()
        with suppress(OSError):
            temporary.unlink()


def draw(image: Image, rows: pd.DataFrame, card: DeploymentCard) -> Image:
    """Return a frame with a box, landmarks and the likeliest classes of each face; `?` is abstained."""
    import cv2

    drawn = np.ascontiguousarray(image.copy())
    height, width = image.shape[:2]
    unit = max(1, round(min(height, width) / 300))
    found = rows[rows["predicted"].notna()]
    for (_, row), shares in zip(found.iterrows(), shares_of(found, card.classes), strict=True):
        order = np.argsort(-shares, kind="stable")
        colour = _rgb(COLOURS[int(order[0]) % len(COLOURS)])
        box = box_of(row)
        x0, y0, x1, y1 = (round(v) for v in box or (unit, unit, width - unit, height - unit))
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 2 * unit)
        points = landmarks_of(row)
        for x, y in () if points is None else points.round().astype(int).tolist():
            cv2.circle(drawn, (x, y), 2 * unit, colour, -1)
        lines = [f"{card.classes[at]} {shares[at]:.2f}" for at in order[:2]]
        if row["abstained"]:
            lines[0] = f"? {lines[0]}"
        _label(drawn, lines, (x0, y0), colour, unit)
    return drawn


def _label(drawn: Image, lines: list[str], corner: tuple[int, int], colour: Any, unit: int) -> None:
    """Write lines on a plate above a corner, moved into the picture where it is beyond."""
    import cv2

    face, size, thick = cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, max(1, unit)
    boxes = [cv2.getTextSize(line, face, size, thick) for line in lines]
    step = max(high + base for (_, high), base in boxes) + 2 * unit
    wide = max(across for (across, _), _ in boxes) + 6 * unit
    height, width = drawn.shape[:2]
    left = int(np.clip(corner[0] - unit, 0, max(0, width - wide)))
    top = int(np.clip(corner[1] - step * len(lines) - 2 * unit, 0, max(0, height - step * len(lines))))
    cv2.rectangle(drawn, (left, top), (left + wide, top + step * len(lines) + unit), (20, 20, 20), -1)
    cv2.rectangle(drawn, (left, top), (left + 2 * unit, top + step * len(lines) + unit), colour, -1)
    for number, line in enumerate(lines):
        place = (left + 4 * unit, top + step * (number + 1) - 2 * unit)
        cv2.putText(drawn, line, place, face, size, (255, 255, 255), thick, cv2.LINE_AA)


def _rate(capture: Any) -> float:
    """Return the frames per second to write; containers without a rate, or with an odd one, get 25."""
    import cv2

    said = float(capture.get(cv2.CAP_PROP_FPS) or 0)
    return said if RATES[0] <= said <= RATES[1] else 25.0


def _open(temporary: Path, rate: float, image: Image, path: Path) -> Any:
    import cv2

    height, width = image.shape[:2]
    writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*CODEC), rate, (width, height))
    if not writer.isOpened():
        raise DataError("the video cannot be written: is the folder there and writable?", file=path)
    return writer


def _rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
