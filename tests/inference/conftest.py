import shutil

import cv2
import numpy as np
import pytest

from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.predictor import Predictor
from fer_bench.results.store import Store
from tests.inference.models import Camera, Colours
from tests.inference.pictures import picture
from tests.runs.conftest import plain, plan, workspace

__all__ = ["plain", "plan", "workspace"]


@pytest.fixture(scope="session")
def trained_store(plan, workspace, tmp_path_factory):
    """A store with one finished run of one epoch on tiny drawn faces."""
    from fer_bench.runs.execute import execute

    store = Store(tmp_path_factory.mktemp("trained"))
    planned = plan(targets="none", max_epochs=1)
    assert execute(planned, store, workspace).status == "done"
    return store


@pytest.fixture(scope="session")
def trained(trained_store):
    """The folder of that run; tests must not change it."""
    (run,) = trained_store.run_dirs()
    return run.path


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A copy of its checkpoint outside the store."""
    return shutil.copy(trained / "checkpoints" / "val.pt", tmp_path / "copied.pt")


@pytest.fixture(scope="session")
def crops():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.fixture
def colour():
    """Write a picture of one colour (RGB) and return its path."""

    def write(path, rgb, size=(40, 40)):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.empty((*size, 3), np.uint8)
        picture[:] = rgb[::-1]
        assert cv2.imwrite(str(path), picture)
        return path

    return write


@pytest.fixture
def clip():
    """Write a video whose frame n is a grey of 30 + n * step with noise, and return its path."""

    def write(path, frames=20, rate=10, step=10, code="MJPG", size=(64, 48)):
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, size)
        assert writer.isOpened()
        noise = np.random.default_rng(0).integers(-30, 31, (size[1], size[0], 3))
        for number in range(frames):
            writer.write((30 + number * step + noise).astype(np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture
def photo(tmp_path):
    """Write a picture of a calm person and return its path."""
    cv2.imwrite(str(tmp_path / "anna.png"), picture({})[:, :, ::-1])
    return tmp_path / "anna.png"


@pytest.fixture
def camera(monkeypatch):
    """Put a camera 0 in place of OpenCV's, and return it as what is predicted."""
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    return find_inputs(["0"]).items


@pytest.fixture
def predictor():
    """Make a predictor of whole pictures whose answers can be computed by hand."""
    return lambda **options: Predictor(Colours(), faces="whole", **options)
