from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.reading.decoder_messages import captured_messages, damage
from fer_bench.data.reading.jpeg import start_of_scan
from fer_bench.data.reading.pictures import read_picture

NOISE = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
JPEG = cv2.imencode(".jpg", cv2.GaussianBlur(NOISE, (0, 0), 2))[1].tobytes()


def half(jpeg: bytes) -> bytes:
    """Lose the lower half of the pixels but not the end marker."""
    start = start_of_scan(jpeg)
    return jpeg[: start + (len(jpeg) - start) // 2] + b"\xff\xd9"


def zeroed(jpeg: bytes) -> bytes:
    start = start_of_scan(jpeg)
    place = start + (len(jpeg) - start) // 2
    return jpeg[:place] + bytes(400) + jpeg[place + 400 :]


def zeroed_end(jpeg: bytes) -> bytes:
    return jpeg[:-800] + bytes(798) + b"\xff\xd9"


def judged(raw: bytes, folder: Path) -> str | None:
    (folder / "a.jpg").write_bytes(raw)
    with captured_messages() as lines:
        read_picture(folder / "a.jpg")
    return damage(lines, folder / "a.jpg")


@pytest.mark.parametrize("harm", [half, zeroed_end])
def test_damage_inside_a_jpeg_is_told_from_what_the_decoder_says(tmp_path, capfd, harm):
    assert judged(harm(JPEG), tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("raw", [JPEG, JPEG[:-2] + bytes(30) + b"\xff\xd9", JPEG + bytes(500)])
def test_a_whole_jpeg_and_one_with_padding_are_not_damaged(tmp_path, raw):
    assert judged(raw, tmp_path) is None


def test_damage_in_a_compressed_tiff_is_told(tmp_path, capfd):
    raw = bytearray(cv2.imencode(".tif", NOISE)[1].tobytes())
    raw[len(raw) // 2 : len(raw) // 2 + 400] = bytes(400)
    assert "LZWDecode" in str(judged(bytes(raw), tmp_path))
    assert capfd.readouterr().err == ""


def test_what_others_write_appears_after_the_block(tmp_path, capfd):
    (tmp_path / "a.jpg").write_bytes(half(JPEG))
    with captured_messages() as lines:
        os.write(2, b"from outside\n")
        read_picture(tmp_path / "a.jpg")
        os.write(2, b"progress ...")
    assert capfd.readouterr().err == "from outside\nprogress ..."
    assert lines == ["Corrupt JPEG data: premature end of data segment"]


def test_a_process_without_standard_error_decodes_all_the_same(tmp_path):
    (tmp_path / "a.jpg").write_bytes(half(JPEG))
    code = (
        "import sys, os; from pathlib import Path\n"
        "from fer_bench.data.reading.decoder_messages import captured_messages\n"
        "from fer_bench.data.reading.pictures import read_picture\n"
        "os.close(2)\n"
        "with captured_messages() as lines: print(read_picture(Path(sys.argv[1])).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.jpg"], capture_output=True, check=True)
    assert done.stdout.strip() == b"(100, 100, 3)"
