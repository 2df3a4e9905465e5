from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.reading.formats import USUAL_ENDINGS, is_picture
from fer_bench.data.reading.pictures import read_picture

FACE = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)


def write(file: Path, codec: str) -> Path:
    file.write_bytes(cv2.imencode(codec, FACE)[1].tobytes())
    return file


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.jfif", ".jpg"),
        ("a.jpe", ".jpg"),
        ("a.png_large", ".png"),
        ("a", ".png"),
        ("a.ppm", ".ppm"),
        ("a.avif", ".avif"),
        ("a.gif", ".gif"),
        ("a.JPG", ".png"),
    ],
)
def test_whatever_decodes_is_a_picture_by_its_content(tmp_path: Path, name: str, codec: str) -> None:
    file = write(tmp_path / name, codec)
    assert is_picture(file)
    assert read_picture(file).shape == FACE.shape


@pytest.mark.parametrize("content", [b"", b"two words", b"\0" * 200, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"])
@pytest.mark.parametrize("name", ["notes.txt", "face.heic", "face"])
def test_what_does_not_decode_is_no_picture(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_picture(tmp_path / name)


@pytest.mark.parametrize("ending", sorted(USUAL_ENDINGS))
def test_a_usual_ending_says_that_a_damaged_file_is_a_picture(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"broken{ending.upper()}").touch()
    assert is_picture(tmp_path / f"broken{ending.upper()}")
