"""Detectors: only the known model reaches the cache, and one that cannot work says so in one error."""

from __future__ import annotations

import hashlib
import threading

import cv2
import numpy as np
import pytest

from fer_bench.data.crops import detectors
from fer_bench.data.crops.detectors import YUNET_NAME, DetectorError, find_with_cascade, find_with_yunet
from fer_bench.errors import DataError


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A file behind an address, known by its hash, and an empty cache."""
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "served.onnx"
    file.write_bytes(b"a model")
    monkeypatch.setattr(detectors, "YUNET_SHA256", hashlib.sha256(b"a model").hexdigest())
    return file


def test_the_known_file_is_where_it_is_looked_for(served, tmp_path):
    file = detectors.fetch_yunet(served.as_uri())
    assert file == tmp_path / "cache" / "models" / YUNET_NAME
    assert file.read_bytes() == b"a model"


def test_another_file_is_refused_and_the_cache_stays_as_it_was(served):
    kept = detectors.fetch_yunet(served.as_uri())
    served.write_bytes(b"another model")
    with pytest.raises(DataError, match="not the known YuNet model"):
        detectors.fetch_yunet(served.as_uri())
    assert kept.read_bytes() == b"a model"


@pytest.mark.parametrize("address", ["{}/absent.onnx", "http://127.0.0.1:9/model", "no address"])
def test_what_cannot_be_reached_is_told_with_the_way_by_hand(served, tmp_path, address):
    with pytest.raises(DataError, match="could not be fetched") as caught:
        detectors.fetch_yunet(address.format(tmp_path.as_uri()))
    assert "FER_BENCH_YUNET=FILE" in str(caught.value)
    assert not (tmp_path / "cache").exists()


class TestWithoutCascade:
    """OpenCV as some distributions build it: `cv2/data` is empty, or the file in it is damaged."""

    @pytest.fixture(params=[None, b"", b"<?xml version='1.0'?><opencv_storage>"])
    def _without(self, request, tmp_path, monkeypatch):
        (tmp_path / "cv2" / "data").mkdir(parents=True)
        if request.param is not None:
            (tmp_path / "cv2" / "data" / detectors.CASCADE_NAME).write_bytes(request.param)
        monkeypatch.setattr(cv2, "__file__", str(tmp_path / "cv2" / "__init__.py"))
        monkeypatch.setattr(detectors, "_local", threading.local())

    @pytest.mark.usefixtures("_without")
    def test_searching_a_face_is_one_error_with_two_ways_out(self):
        with pytest.raises(DetectorError, match=r"cascade_frontalface_default.xml: this OpenCV came without"):
            find_with_cascade(np.zeros((100, 100, 3), np.uint8))

    @pytest.mark.usefixtures("_without")
    def test_a_dataset_that_needs_it_names_the_cause_and_not_its_pictures(self, tmp_path, run_cli):
        for label in ("happy", "sad"):
            (tmp_path / "mine" / label).mkdir(parents=True)
            for number in range(10):
                picture = np.random.default_rng(number).integers(0, 255, (90, 90, 3), np.uint8)
                cv2.imwrite(str(tmp_path / "mine" / label / f"{number}.png"), picture)
        code, out, err = run_cli(
            *("run", "-m", "resemotenet", "-d", f"folder:{tmp_path / 'mine'}", "--profile", "quick"),
            *("--faces", "detect", "--set", "method.width=0.03", "--max-epochs", 1),
        )
        assert code == 2
        assert "this OpenCV came without its cascade" in err
        assert "fer-bench data fetch-detector" in err
        assert "--write-exclude" not in err
        assert "cv2.error" not in out + err

    @pytest.mark.usefixtures("_without")
    def test_a_dataset_with_boxes_does_not_need_it(self, tiny_root, run_cli):
        assert run_cli("data", "sheet", "-d", "rafdb", "--data-root", tiny_root, "--out", "x")[0] == 0

    def test_an_opencv_without_the_class_is_told_the_same(self, monkeypatch):
        monkeypatch.setattr(detectors, "_local", threading.local())
        monkeypatch.delattr(cv2, "CascadeClassifier")  # gone in OpenCV 5
        with pytest.raises(DetectorError, match=r"opencv-python-headless>=4\.10,<5"):
            find_with_cascade(np.zeros((100, 100, 3), np.uint8))


def test_a_model_that_opencv_cannot_run_is_one_error(served, monkeypatch):
    detectors.fetch_yunet(served.as_uri())  # a file of the right hash that is no network
    monkeypatch.setattr(detectors, "_local", threading.local())
    with pytest.raises(DetectorError, match="this OpenCV cannot run YuNet"):
        find_with_yunet(np.zeros((100, 100, 3), np.uint8))
