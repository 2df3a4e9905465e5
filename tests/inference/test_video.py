"""Frames and their times: the container's clock, turned frames, cut files, frames without a decoder."""

import re
import struct

import numpy as np
import pytest

from fer_bench.errors import DataError, UsageError
from fer_bench.inference.inputs import Item
from fer_bench.inference.video import Ending, Every, frames_of, opened, read_every
from tests.inference.models import Camera


def read(path, every=Every(), **options):
    item, ending = Item(path.name, path, "video"), Ending()
    with opened(item) as capture:
        return list(frames_of(capture, item, every, ending, **options)), ending


def test_every_frame_with_its_time(clip, tmp_path):
    frames, ending = read(clip(tmp_path / "a.avi"))
    assert [f.number for f in frames] == list(range(20))
    np.testing.assert_allclose([f.time for f in frames], np.arange(20) / 10, atol=1e-6)
    assert ending.frames == 20
    assert ending.reason is None
    assert [int(f.image.mean()) for f in frames] == pytest.approx(30 + np.arange(20) * 10, abs=3)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1", range(20)), ("7", (0, 7, 14)), ("0.5s", (0, 5, 10, 15)), ("0.35 s", (0, 4, 7, 11, 14, 18))],
)
def test_only_some_frames(clip, tmp_path, text, numbers):
    every = read_every(text)
    frames, ending = read(clip(tmp_path / "a.avi"), every)
    assert [f.number for f in frames] == list(numbers)
    assert ending.frames == 20
    assert read_every(every.text) == every


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "0s", "", "5 minutes"])
def test_how_often_must_be_said_properly(text):
    with pytest.raises(UsageError, match="how often"):
        read_every(text)


def test_times_are_those_of_the_container_where_the_rate_varies(clip, tmp_path):
    """A Matroska file whose second half is twice as fast; its nominal rate stays 10 frames a second."""
    path = clip(tmp_path / "a.mkv")
    raw = bytearray(path.read_bytes())
    wanted = [number * 100 if number < 10 else 1000 + (number - 10) * 50 for number in range(20)]
    blocks = [match.start() for match in re.finditer(rb"\x81..\x80\xff\xd8", raw, re.DOTALL)]
    for number, place in enumerate(blocks):  # track 1, time since its cluster began, flags, a JPEG
        (old,) = struct.unpack(">h", raw[place + 1 : place + 3])
        raw[place + 1 : place + 3] = struct.pack(">h", wanted[number] - (number * 100 - old))
    assert len(blocks) == 20
    path.write_bytes(raw)
    frames, _ = read(path)
    np.testing.assert_allclose([f.time for f in frames], np.array(wanted) / 1000, atol=1e-6)
    assert [f.number for f in read(path, Every(seconds=0.5))[0]] == [0, 5, 10]


def test_frames_are_upright_where_the_file_says_how_they_are_turned(clip, tmp_path):
    """A phone's MP4: the matrix of its track turns it by a quarter."""
    path = clip(tmp_path / "a.mp4", code="mp4v")
    raw = bytearray(path.read_bytes())
    place = raw.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times and duration, layer and volume
    assert struct.unpack(">9i", raw[place : place + 36])[0] == 1 << 16
    raw[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(raw)
    frames, _ = read(path)
    assert frames[0].image.shape == (64, 48, 3)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_cut_video_says_so_after_its_last_frame(clip, tmp_path, name):
    path = clip(tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, ending = read(path)
    assert 0 < len(frames) < 15
    assert ending.reason == f"the video is cut off or damaged: {len(frames)} of 20 frames decode"


def test_a_video_that_cannot_be_opened_is_refused(clip, tmp_path):
    path = clip(tmp_path / "a.mp4", code="mp4v")
    path.write_bytes(path.read_bytes()[:3000])  # the index is at the end
    with pytest.raises(DataError, match="cannot be opened"), opened(Item("a", path, "video")):
        pass


def test_a_camera_is_watched_for_some_time_or_until_it_is_stopped(monkeypatch):
    import time
    from pathlib import Path

    now = iter(np.arange(1000) / 4)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    item, ending = Item("camera 0", Path("0"), "camera"), Ending()
    frames = list(frames_of(Camera(), item, Every(), ending, seconds=2))
    np.testing.assert_allclose([f.time for f in frames], np.arange(1, 8) / 4)
    camera = Camera()
    assert len(list(frames_of(camera, item, Every(), Ending(), stop=lambda: camera.frames == 3))) == 3
    assert ending.reason is None


def test_a_camera_that_is_not_there_is_refused():
    from pathlib import Path

    item = Item("camera 97", Path("97"), "camera")
    with pytest.raises(DataError, match="camera cannot be opened"), opened(item):
        pass
