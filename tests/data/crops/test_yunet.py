"""YuNet: only the known model reaches the cache, and one that cannot work says so in one error."""

from __future__ import annotations

import hashlib
import threading

import cv2
import numpy as np
import pytest

from fer_bench.data.crops import yunet
from fer_bench.data.crops.faces import DetectorError
from fer_bench.data.crops.recipe import TEMPLATE, CropRecipe, crop_face, cut, find_face, recipe_for
from fer_bench.data.crops.yunet import YUNET_NAME, find_with_yunet
from fer_bench.errors import DataError


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A file behind an address, known by its hash, and an empty cache."""
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "served.onnx"
    file.write_bytes(b"a model")
    monkeypatch.setattr(yunet, "YUNET_SHA256", hashlib.sha256(b"a model").hexdigest())
    return file


def test_the_known_file_is_where_it_is_looked_for(served, tmp_path):
    file = yunet.fetch_yunet(served.as_uri())
    assert file == tmp_path / "cache" / "models" / YUNET_NAME
    assert file.read_bytes() == b"a model"


def test_another_file_is_refused_and_the_cache_stays_as_it_was(served):
    kept = yunet.fetch_yunet(served.as_uri())
    served.write_bytes(b"another model")
    with pytest.raises(DataError, match="not the known YuNet model"):
        yunet.fetch_yunet(served.as_uri())
    assert kept.read_bytes() == b"a model"


@pytest.mark.parametrize("address", ["{}/absent.onnx", "http://127.0.0.1:9/model", "no address"])
def test_what_cannot_be_reached_is_told_with_the_way_by_hand(served, tmp_path, address):
    with pytest.raises(DataError, match="could not be fetched") as caught:
        yunet.fetch_yunet(address.format(tmp_path.as_uri()))
    assert "FER_BENCH_YUNET=FILE" in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_model_that_opencv_cannot_run_is_one_error(served, monkeypatch):
    yunet.fetch_yunet(served.as_uri())  # a file of the right hash that is no network
    monkeypatch.setattr(yunet, "_local", threading.local())
    with pytest.raises(DetectorError, match="this OpenCV cannot run YuNet"):
        find_with_yunet(np.zeros((100, 100, 3), np.uint8))


class FakeYuNet:
    """Stands for cv2.FaceDetectorYN: gives two faces, in the coordinates of the picture it is given."""

    def setInputSize(self, size):  # noqa: N802 - OpenCV's name
        self.size = size

    def detect(self, image):
        assert image.shape[:2] == self.size[::-1]
        w, h = self.size
        small = [0, 0, w / 10, h / 10, *([1.0] * 10), 0.99]
        points = (TEMPLATE * (w / 2, h / 2) + (w / 4, h / 4)).reshape(-1)
        return 1, np.array([small, [w / 4, h / 4, w / 2, h / 2, *points, 0.9]], np.float32)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Let a file stand for the model and `FakeYuNet` for the detector."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a model")
    monkeypatch.setattr(yunet, "YUNET_SHA256", yunet.file_hash(file))
    monkeypatch.setenv("FER_BENCH_YUNET", str(file))
    monkeypatch.setattr(yunet, "_local", type("Local", (), {})())
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: FakeYuNet())
    return file


class TestYuNet:
    def test_faces_come_largest_first_in_pixels_of_the_picture(self, model):
        large, small = find_with_yunet(picture(1000, 2000))
        assert large.box == pytest.approx((500, 250, 1500, 750))
        assert large.score == pytest.approx(0.9)
        assert np.allclose(large.landmarks, TEMPLATE * (1000, 500) + (500, 250))
        assert small.box == pytest.approx((0, 0, 200, 100))

    def test_the_face_nearest_to_the_box_is_aligned_by_its_points(self, model):
        image, box = picture(100, 100), (20, 40, 60, 80)
        for kind in ("detect", "similarity"):
            how = CropRecipe(kind=kind, size=32, margin=0, detector="yunet")
            face, way = find_face(image, box, None, how)
            assert (face.box, way) == (pytest.approx(box), "detected")
            crop, way, _ = crop_face(image, box, None, how)
            aligned = CropRecipe(kind="similarity", size=32, margin=0)
            assert np.array_equal(crop, crop_face(image, None, TEMPLATE * 40 + (20, 40), aligned)[0])
            assert way == "detected"

    def test_recipes_of_version_1_cut_the_square_of_what_was_detected(self, model):
        how = CropRecipe(kind="detect", size=32, margin=0, detector="yunet", version=1)
        crop, way, _ = crop_face(picture(100, 100), None, None, how)
        assert way == "detected"
        assert np.array_equal(crop, cut(picture(100, 100), np.array([25, 25, 75, 75]), 32))
        assert how.text == "detect by YuNet +0% 32px v1"

    def test_it_is_taken_where_it_was_chosen_and_not_because_its_file_is_there(
        self, model, monkeypatch, tmp_path
    ):
        class Mine:
            crop, margin, detector = "detect", None, "mtcnn"

        assert recipe_for(Mine, 48).text == "detect and align by MTCNN +20% 48px v2"
        Mine.detector = "yunet"
        assert recipe_for(Mine, 48).text == "detect and align by YuNet +20% 48px v2"
        monkeypatch.delenv("FER_BENCH_YUNET")
        monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
        with pytest.raises(DetectorError, match=r"YuNet was chosen(.|\n)*fetch-detector"):
            recipe_for(Mine, 48)
        Mine.crop = "whole"
        assert recipe_for(Mine, 48).text == "whole 48px v1"
        Mine.crop = "detect"
        (tmp_path / "cache" / "models").mkdir(parents=True)
        model.rename(tmp_path / "cache" / "models" / yunet.YUNET_NAME)
        assert recipe_for(Mine, 48).detector == "yunet"

    def test_a_named_file_that_is_missing_or_another_is_refused(self, model, monkeypatch):
        model.write_bytes(b"something else")
        yunet._hash.cache_clear()
        with pytest.raises(DataError, match=r"not the known YuNet model(.|\n)*opencv_zoo") as caught:
            yunet.yunet_file()
        assert caught.value.file == model
        model.unlink()
        with pytest.raises(DataError, match=r"named by FER_BENCH_YUNET does not exist"):
            yunet.yunet_file()

    def test_without_the_model_it_says_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.delenv("FER_BENCH_YUNET", raising=False)
        monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path))
        with pytest.raises(DataError, match="FER_BENCH_YUNET"):
            find_with_yunet(picture())
