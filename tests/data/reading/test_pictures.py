from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from fer_bench.data.reading.pictures import read_picture
from fer_bench.errors import DataError

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)


def encoded(ending: str) -> bytes:
    return cv2.imencode(ending, PICTURE)[1].tobytes()


def with_preview(jpeg: bytes) -> bytes:
    """Put a whole JPEG into the header of another, as cameras do."""
    preview = encoded(".jpg")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview + jpeg[2:]


def test_pictures_come_as_rgb(tmp_path):
    for ending in (".png", ".bmp", ".tif"):
        (tmp_path / f"a{ending}").write_bytes(encoded(ending))
        found = read_picture(tmp_path / f"a{ending}")
        assert np.array_equal(found, PICTURE[:, :, ::-1])
        assert found.flags.c_contiguous
    cv2.imwrite(str(tmp_path / "grey.png"), PICTURE[:, :, 0])
    assert np.array_equal(read_picture(tmp_path / "grey.png"), np.repeat(PICTURE[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_truncated_picture_is_refused(tmp_path, ending, share, capfd):
    raw = encoded(ending)
    (tmp_path / "a").write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DataError, match=r"truncated|cannot be decoded") as caught:
        read_picture(tmp_path / "a")
    assert caught.value.file == tmp_path / "a"


def test_a_truncated_jpeg_is_refused_whatever_its_preview_says(tmp_path, monkeypatch):
    raw = with_preview(encoded(".jpg"))
    (tmp_path / "whole.jpg").write_bytes(raw)
    assert read_picture(tmp_path / "whole.jpg").shape == (40, 30, 3)
    # decoders before OpenCV 4.14 fill the rest of such a picture with grey
    monkeypatch.setattr(cv2, "imdecode", lambda *_: PICTURE)
    (tmp_path / "cut.jpg").write_bytes(raw[:-200])
    with pytest.raises(DataError, match=r"truncated .no end marker"):
        read_picture(tmp_path / "cut.jpg")


@pytest.mark.parametrize("tail", [b"\0" * 500, b"SEFT" * 100, b"\xff" * 80])
def test_what_cameras_append_to_a_jpeg_is_tolerated(tmp_path, tail):
    (tmp_path / "a.jpg").write_bytes(encoded(".jpg") + tail)
    assert read_picture(tmp_path / "a.jpg").shape == (40, 30, 3)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"no picture at all", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture_is_refused(tmp_path, raw):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(DataError, match=rf"{len(raw)} bytes"):
        read_picture(tmp_path / "a")


def test_a_picture_too_large_to_decode_is_refused(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2**20, 2**20, 8, 2, 0, 0, 0)
    raw = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(raw)
    with pytest.raises(DataError, match=r"cannot be decoded"):
        read_picture(tmp_path / "bomb.png")


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.png: the picture cannot be read: No such file"):
        read_picture(tmp_path / "gone.png")
