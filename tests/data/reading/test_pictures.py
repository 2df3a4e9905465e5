from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from fer_bench.data.reading.pictures import BACKGROUND, read_picture
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


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_16_are_scaled_by_the_range_in_use(tmp_path, ending, bits):
    deep = PICTURE.astype(np.uint16) << (bits - 8) | (1 << (bits - 8)) - 1
    cv2.imwrite(str(tmp_path / f"colour{ending}"), deep)
    cv2.imwrite(str(tmp_path / f"grey{ending}"), deep[:, :, 0])
    assert np.array_equal(read_picture(tmp_path / f"colour{ending}"), PICTURE[:, :, ::-1])
    grey = np.repeat(PICTURE[:, :, :1], 3, axis=2)
    assert np.array_equal(read_picture(tmp_path / f"grey{ending}"), grey)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_all_16_bits_in_use_decode_as_opencv_does(tmp_path, ending):
    cv2.imwrite(str(tmp_path / f"a{ending}"), PICTURE.astype(np.uint16) * 257)
    assert np.array_equal(read_picture(tmp_path / f"a{ending}"), PICTURE[:, :, ::-1])


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparent_parts_show_the_background_not_hidden_colours(tmp_path, ending, depth):
    opacity = np.zeros(PICTURE.shape[:2], np.uint8)
    opacity[:20] = 255
    opacity[20:25] = 102
    scale = 257 if depth == np.uint16 else 1
    cv2.imwrite(str(tmp_path / f"a{ending}"), np.dstack([PICTURE, opacity]).astype(depth) * scale)
    found = read_picture(tmp_path / f"a{ending}")
    assert np.array_equal(found[:20], PICTURE[:20, :, ::-1])
    mixed = PICTURE[20:25, :, ::-1] * 0.4 + BACKGROUND * 0.6
    assert np.abs(found[20:25] - mixed).max() <= 1
    assert (found[25:] == BACKGROUND).all()


def test_transparent_palette_entries_show_the_background(tmp_path):
    raw = encoded(".png")
    key = b"".join(struct.pack(">H", int(value)) for value in PICTURE[0, 0, ::-1])
    chunk = b"tRNS" + key
    chunk = struct.pack(">I", len(key)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    place = raw.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(raw[:place] + chunk + raw[place:])
    found = read_picture(tmp_path / "a.png")
    assert (found[0, 0] == BACKGROUND).all()
    assert np.array_equal(found[1:], PICTURE[1:, :, ::-1])


def test_transparency_is_turned_with_its_picture(tmp_path):
    opacity = np.full(PICTURE.shape[:2], 255, np.uint8)
    opacity[:10] = 0
    raw = cv2.imencode(".png", np.dstack([PICTURE, opacity]))[1].tobytes()
    exif = (
        b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    )
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    (tmp_path / "a.png").write_bytes(raw[:33] + chunk + raw[33:])
    found = read_picture(tmp_path / "a.png")
    assert found.shape == (30, 40, 3)
    assert (found[:, 30:] == BACKGROUND).all()  # turned clockwise
    assert np.array_equal(found[:, :30], np.rot90(PICTURE, -1)[:, :30, ::-1])


def test_pixels_that_are_no_integers_of_16_bits_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), PICTURE.astype(np.float32))
    with pytest.raises(DataError, match=r"integers of 8 or 16 bits(.|\n)*float32"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_pictures_of_8_bits_decode_as_before(tmp_path, ending):
    (tmp_path / "a").write_bytes(encoded(ending))
    plain = cv2.imread(str(tmp_path / "a"), cv2.IMREAD_COLOR)
    assert np.array_equal(read_picture(tmp_path / "a"), plain[:, :, ::-1])
