from __future__ import annotations

import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from fer_bench.data.index import fingerprint
from fer_bench.data.reading import dataset as module
from fer_bench.data.reading.dataset import read_picture
from fer_bench.errors import DataError
from tests.data.toy import Toy, toy_rows

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


@pytest.mark.parametrize("place", [".", "toy", "TOY"])
def test_a_root_is_the_datasets_own_folder_or_holds_it(tmp_path, place):
    (tmp_path / "root" / place / "pictures").mkdir(parents=True)
    assert Toy(tmp_path / "root").base == tmp_path / "root" / place


def test_a_root_without_the_dataset_shows_the_required_tree(tmp_path):
    with pytest.raises(DataError, match=r"Toy was not found here") as caught:
        Toy(tmp_path)
    assert "pictures/<id>.png" in str(caught.value)
    assert "notes.txt" not in str(caught.value)
    with pytest.raises(DataError, match=r"data root for toy does not exist\n  fer-bench data describe toy"):
        Toy(tmp_path / "nowhere")


def test_a_root_that_cannot_be_listed_holds_nothing(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Path, "iterdir", refuse)
    assert Toy.find(tmp_path) is None


def test_rows_are_left_out_by_sample_or_path(make_toy):
    toy = make_toy(toy_rows(2))
    before, n = fingerprint(toy.index), len(toy.index)
    assert toy.leave_out(["S00/0/0", "pictures/S01-2-1.png"]) == 2
    assert len(toy.index) == n - 2
    assert fingerprint(toy.index) != before
    orphans = toy.index[toy.index["sequence"] == "S00/0"]
    assert orphans["reference_id"].isna().all()
    assert toy.index["reference_id"].notna().sum() == len(toy.index) - len(orphans)
    assert toy.notes == ["2 row(s) left out by name"]
    with pytest.raises(DataError, match=r"no such sample or file to leave out .*'typo'"):
        toy.leave_out(["typo"])
    with pytest.raises(DataError, match=r"leaves nothing of toy"):
        toy.leave_out(toy.index["sample_id"])


def test_a_picture_has_no_frames(make_toy):
    toy = make_toy(toy_rows(1))
    path = toy.index["path"].iloc[0]
    assert len(toy.load(path, [-1, -1])) == 2
    with pytest.raises(DataError, match=rf"{os.path.basename(path)}: a picture has no frames .*3"):
        toy.load(path, [3])
