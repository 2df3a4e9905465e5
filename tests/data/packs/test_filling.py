"""Pictures that decode only in part: packed as decoders fill them in, and counted."""

import cv2
import numpy as np
import pytest

from fer_bench.data.packs.filling import lost_pixels
from fer_bench.data.packs.pack import open_pack
from tests.data.reading.test_decoder_messages import JPEG, half, zeroed
from tests.data.toy import toy_rows


@pytest.fixture
def toy(make_toy):
    """A dataset whose pictures are JPEG files, whatever their names end with."""
    dataset = make_toy(toy_rows(2))
    for path in dataset.index["path"].drop_duplicates():
        (dataset.base / path).write_bytes(JPEG)
    return dataset


@pytest.mark.parametrize("harm", [half, zeroed])
def test_rows_of_damaged_pictures_are_counted_and_packed(toy, tmp_path, capfd, harm):
    whole = open_pack(toy, 20, cache=tmp_path / "whole")
    assert not whole.damaged.any()
    path = toy.index["path"][7]
    (toy.base / path).write_bytes(harm(JPEG))
    for _ in range(2):  # built, then opened
        pack = open_pack(toy, 20, cache=tmp_path / "cache")
        assert pack.damaged.tolist() == (toy.index["path"] == path).tolist()
        assert pack.pixels.shape == whole.pixels.shape
    assert capfd.readouterr().err == ""
    assert lost_pixels(toy, path, [-1])
    assert lost_pixels(toy, toy.index["path"][0], [-1]) is None


def test_a_harmless_message_is_no_damage(toy, tmp_path):
    path = toy.index["path"][0]
    (toy.base / path).write_bytes(JPEG[:-2] + bytes(30) + b"\xff\xd9")  # padding, as some cameras write it
    assert not open_pack(toy, 20, cache=tmp_path).damaged.any()


def test_pictures_are_rgb(toy, tmp_path):
    red = np.zeros((40, 40, 3), np.uint8)
    red[:, :, 2] = 200
    (toy.base / toy.index["path"][0]).write_bytes(cv2.imencode(".png", red)[1].tobytes())
    assert open_pack(toy, 20, cache=tmp_path).pixels[0, 10, 10].tolist() == [200, 0, 0]
