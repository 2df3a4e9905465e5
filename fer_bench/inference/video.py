"""Frames of videos and cameras with their times. The container's clock counts, not a frame's number."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fer_bench.data.reading.pictures import Image
from fer_bench.errors import DataError, UsageError
from fer_bench.inference.inputs import Item

_EVERY = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds|f|frames|)")
TOLERANCE = 0.02
"""Share of its frames by which a container may count too many: some only estimate them."""


@dataclass(frozen=True)
class Every:
    """Which frames of a video are predicted.

    Attributes:
        frames: Every so many frames, from the first.
        seconds: The first frame of every so many seconds; counts instead of `frames` where it is given.
    """

    frames: int = 1
    seconds: float | None = None

    @property
    def text(self) -> str:
        """Return it as on the command line."""
        return f"{self.frames}" if self.seconds is None else f"{self.seconds:g}s"


def read_every(text: str) -> Every:
    """Return which frames a text means: `10` is every tenth frame, `0.5s` one frame each half second.

    Raises:
        UsageError: Neither, or not positive.
    """
    match = _EVERY.fullmatch(text.strip().casefold())
    if match is not None and float(match[1]) > 0:
        if match[2].startswith("s"):
            return Every(seconds=float(match[1]))
        if "." not in match[1]:
            return Every(frames=int(match[1]))
    raise UsageError(
        "cannot tell how often a frame is taken", value=text, hint="--every 10 (frames) or --every 0.5s"
    )


@dataclass(frozen=True)
class Frame:
    """A frame that is predicted.

    Attributes:
        number: Position in the video, from 0.
        time: Seconds from the start of the video, or of watching a camera.
        image: RGB uint8 [H, W, 3], upright where the file says how it is turned.
    """

    number: int
    time: float
    image: Image


@dataclass
class Ending:
    """How a video ended.

    Attributes:
        frames: Frames that were decoded or skipped.
        reason: Why it ended before its end, None where it did not.
    """

    frames: int = 0
    reason: str | None = None


@contextmanager
def opened(item: Item) -> Iterator[Any]:
    """Open a video or camera with OpenCV, which turns frames upright as the file says.

    Raises:
        DataError: It cannot be opened.
    """
    import cv2

    capture = cv2.VideoCapture(int(str(item.path)) if item.kind == "camera" else str(item.path))
    try:
        if not capture.isOpened():
            if item.kind == "camera":
                raise DataError("the camera cannot be opened", value=item.name, hint="try 0, 1 or 2")
            raise DataError(
                "the video cannot be opened: damaged, cut off, or of an unknown kind", file=item.path
            )
        yield capture
    finally:
        capture.release()


def frames_of(
    capture: Any,
    item: Item,
    every: Every,
    ending: Ending,
    *,
    start: int = 0,
    seconds: float | None = None,
    stop: Callable[[], bool] = bool,
) -> Iterator[Frame]:
    """Yield the frames of an opened video or camera that are predicted.

    Args:
        capture: From `opened`.
        item: The video or camera.
        every: Which frames.
        ending: Filled in when the last frame has been yielded.
        start: Frames before this one are passed over without being decoded.
        seconds: When to stop, in seconds; None reads to the end.
        stop: Asked before each frame whether to stop.
    """
    import cv2

    clock = _Clock(item.kind, float(capture.get(cv2.CAP_PROP_FPS) or 0))
    due = 0.0
    while not stop() and capture.grab():
        now = clock.read(capture, ending.frames)
        if seconds is not None and now >= seconds:
            return
        wanted = now >= due - 1e-6 if every.seconds is not None else ending.frames % every.frames == 0
        if wanted and every.seconds is not None:
            due = every.seconds * (np.floor(now / every.seconds + 1e-6) + 1)
        if wanted and ending.frames >= start:
            decoded, picture = capture.retrieve()
            if not decoded:
                break
            yield Frame(ending.frames, now, np.ascontiguousarray(picture[:, :, ::-1]))
        ending.frames += 1
    if stop():
        return
    said = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if item.kind == "video" else 0
    if said - ending.frames > max(1.0, TOLERANCE * said):
        ending.reason = f"the video is cut off or damaged: {ending.frames} of {said} frames decode"
    elif not ending.frames:
        ending.reason = (
            "the video has no frame that decodes" if item.kind == "video" else "the camera delivered no frame"
        )


class _Clock:
    """The time of each frame: the container's, a camera's by this machine, by the rate where there is none.

    Args:
        kind: What is read.
        rate: Frames per second, 0 where it is unknown.
    """

    def __init__(self, kind: Literal["picture", "video", "camera"], rate: float) -> None:
        self.kind, self.rate, self.last = kind, rate, -1.0
        self.started = time.monotonic()
        self.first: float | None = None

    def read(self, capture: Any, number: int) -> float:
        """Return the time of the frame that was just grabbed, in seconds."""
        import cv2

        if self.kind == "camera":
            return time.monotonic() - self.started
        stamp = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if self.first is None:
            self.first = stamp
        now = stamp - self.first
        if now <= self.last:  # formats without a clock
            now = self.last + 1 / self.rate if self.rate > 0 else float(number)
        self.last = now
        return now
