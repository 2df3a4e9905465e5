"""The choice of a detector, and the cascade, which says in one error that it cannot work."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from fer_bench.data.crops import detectors
from fer_bench.data.crops.detectors import find_with_cascade
from fer_bench.data.crops.faces import DetectorError


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
            *("--faces", "detect", "--detector", "cascade", "--set", "method.width=0.03", "--max-epochs", 1),
        )
        assert code == 2
        assert "this OpenCV came without its cascade" in err
        assert "--detector mtcnn" in err
        assert "--write-exclude" not in err
        assert "cv2.error" not in out + err

    @pytest.mark.usefixtures("_without")
    def test_a_dataset_with_boxes_does_not_need_it(self, tiny_root, run_cli):
        assert run_cli("data", "sheet", "-d", "rafdb", "--data-root", tiny_root, "--out", "x")[0] == 0

    def test_an_opencv_without_the_class_is_told_the_same(self, monkeypatch):
        monkeypatch.setattr(detectors, "_local", threading.local())
        monkeypatch.delattr(cv2, "CascadeClassifier")  # gone in OpenCV 5
        with pytest.raises(DetectorError, match=r"opencv-python-headless[\d.,<>=]*>=4\.12"):
            find_with_cascade(np.zeros((100, 100, 3), np.uint8))
