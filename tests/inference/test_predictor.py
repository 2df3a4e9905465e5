"""Arrays, paths and frames become rows; bad input becomes a row with a reason, or is refused."""

import threading

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_bench.data.crops import mtcnn_networks
from fer_bench.data.crops.faces import DetectorError
from fer_bench.data.crops.recipe import CropRecipe, crop_face
from fer_bench.errors import DataError, UsageError
from fer_bench.inference import faces as finding
from fer_bench.inference.inputs import Item, find_inputs
from fer_bench.inference.predictor import Predictor
from fer_bench.inference.table import shares_of
from tests.inference.models import CLASSES, Colours

RED, GREEN = (200, 0, 0), (0, 200, 0)


@pytest.fixture
def whole():
    return Predictor(Colours(), faces="whole")


@pytest.fixture
def scene(workspace, tmp_path):
    """A drawn face on a larger picture."""
    dataset = workspace.source("oulu").dataset
    face = dataset.load(dataset.index["path"].iloc[0], [-1])[0]
    picture = np.full((200, 260, 3), 90, np.uint8)
    picture[30 : 30 + face.shape[0], 60 : 60 + face.shape[1]] = face
    return picture


def logits_of(image, size=32):
    crop = crop_face(image, None, None, CropRecipe(kind="whole", size=size))[0]
    return Colours().answer(crop[None]).logits[0]


class TestKindsOfInput:
    def test_arrays(self, whole):
        pictures = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
        found = whole.predict(pictures)
        wanted = whole.card.probabilities(np.stack([logits_of(one) for one in pictures]))
        np.testing.assert_allclose(shares_of(found, CLASSES), wanted, atol=1e-6)
        assert found["file"].tolist() == ["picture 0", "picture 1", "picture 2"]
        pd.testing.assert_frame_equal(whole.predict(pictures[0]), found.iloc[:1])

    def test_paths(self, whole, colour, tmp_path):
        one, two = colour(tmp_path / "a.png", RED), colour(tmp_path / "b.jpg", GREEN)
        assert whole.predict(tmp_path)["predicted"].tolist() == ["anger", "happiness"]
        assert whole.predict(str(one))["file"].tolist() == [str(one)]
        assert whole.predict([two, one])["predicted"].tolist() == ["happiness", "anger"]

    def test_frames(self, whole):
        pictures = [np.full((20, 20, 3), rgb, np.uint8) for rgb in (RED, GREEN)]
        found = whole.predict(iter(pictures))
        assert found["frame"].tolist() == [0, 1]
        assert found["time"].isna().all()
        timed = whole.predict((0.5 * number, one) for number, one in enumerate(pictures))
        assert timed["time"].tolist() == [0, 0.5]
        assert timed["predicted"].tolist() == found["predicted"].tolist() == ["anger", "happiness"]

    def test_videos(self, clip, tmp_path):
        path = clip(tmp_path / "a.avi")
        found = Predictor(Colours(), faces="whole", every="0.5s").predict(path)
        assert found["frame"].tolist() == [0, 5, 10, 15]
        np.testing.assert_allclose(found["time"], [0, 0.5, 1, 1.5])

    @pytest.mark.parametrize(
        "what",
        [
            3,
            None,
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 3)),
            np.zeros((0, 4, 3), np.uint8),
            ["a", 1],
            [[1]],
        ],
        ids=lambda what: type(what).__name__,
    )
    def test_anything_else_is_refused(self, whole, what):
        with pytest.raises(UsageError, match="picture"):
            whole.predict(what)

    def test_options_out_of_range_are_refused(self):
        for options in ({"abstain_below": 1.5}, {"least_score": -1}, {"batch_size": 0}):
            with pytest.raises(UsageError, match="from 0 to 1"):
                Predictor(Colours(), **options)


class TestBatches:
    def test_are_no_larger_than_asked_for_and_keep_the_order(self, colour, tmp_path):
        for number in range(25):
            colour(tmp_path / f"{number:02}.png", (10 * number, 0, 100))
        model = Colours()
        found = Predictor(model, faces="whole", batch_size=4).predict(tmp_path)
        assert max(model.calls) <= 4
        assert sum(model.calls) == 25
        assert found["file"].is_monotonic_increasing
        one_by_one = [
            shares_of(Predictor(Colours(), faces="whole").predict(f), CLASSES)[0] for f in found["file"]
        ]
        np.testing.assert_allclose(shares_of(found, CLASSES), one_by_one, atol=1e-6)

    def test_progress_and_stages_are_counted(self, whole, colour, tmp_path):
        for number in range(5):
            colour(tmp_path / f"{number}.png", RED)
        said = []
        list(whole.stream(find_inputs([tmp_path]).items, said.append))
        assert (said[-1].items, said[-1].pictures) == (5, 5)
        stages = whole.stages
        assert (stages.pictures, stages.faces) == (5, 5)
        assert min(stages.decode, stages.detect, stages.network) > 0


class TestAbstaining:
    def test_marks_what_is_below(self, whole, colour, tmp_path):
        colour(tmp_path / "a.png", RED)
        colour(tmp_path / "b.png", (90, 90, 90))
        found = Predictor(Colours(), faces="whole", abstain_below=0.5).predict(tmp_path)
        assert found["abstained"].tolist() == [False, True]
        assert found.loc[1, "predicted"] in CLASSES
        assert found.loc[1, "reason"].startswith("top probability 0.333 is below 0.5")


class TestRealFaces:
    def test_are_found_and_cropped_as_in_training(self, scene):
        model = Colours("detect")
        found = Predictor(model).predict(scene)
        (row,) = found.to_dict("records")
        assert row["detector_score"] > 0.6
        across = [row[name] for name in ("box_x0", "left_eye_x", "nose_x", "right_eye_x", "box_x1")]
        assert across == sorted(across)
        assert 50 < across[0] < across[-1] < 210
        recipe = CropRecipe(kind="detect", size=32)
        wanted = model.card.probabilities(model.answer(crop_face(scene, None, None, recipe)[0][None]).logits)
        np.testing.assert_allclose(shares_of(found, CLASSES), wanted, atol=1e-6)

    def test_a_trained_method_predicts_a_folder(self, checkpoint, scene, tmp_path):
        folder = tmp_path / "in"
        folder.mkdir()
        cv2.imwrite(str(folder / "face.png"), scene[:, :, ::-1])
        cv2.imwrite(str(folder / "wall.png"), np.full((100, 100, 3), 128, np.uint8))
        found = Predictor(checkpoint).predict(folder)
        assert found["predicted"].isna().tolist() == [False, True]
        assert found.loc[1, "reason"] == "no face was found"
        assert shares_of(found, Predictor(checkpoint).card.classes)[0].sum() == pytest.approx(1, abs=1e-5)

    def test_a_broken_detector_is_no_fault_of_the_pictures(self, scene, monkeypatch):
        def broken(*_):
            raise DetectorError("the networks are damaged")

        monkeypatch.setattr(finding, "find_faces", broken)
        with pytest.raises(DetectorError, match="networks are damaged"):
            Predictor(Colours("detect")).predict(scene)


class TestCameras:
    def test_ctrl_c_ends_one_and_keeps_what_it_saw(self, whole, camera, monkeypatch):
        from concurrent.futures import Future

        real, calls = Future.result, []

        def result(self, timeout=None):
            found = real(self, timeout)
            calls.append(threading.current_thread() is threading.main_thread())
            if sum(calls) == 2 and calls[-1]:
                raise KeyboardInterrupt
            return found

        monkeypatch.setattr(Future, "result", result)
        ((item, rows),) = whole.stream(camera)
        assert item.kind == "camera"
        assert len(rows) > 4
        assert {row["file"] for row in rows} == {"camera 0"}

    def test_one_that_is_not_there_is_an_error(self, whole, camera):
        from pathlib import Path

        with pytest.raises(DataError, match="camera cannot be opened"):
            list(whole.stream([Item("camera 7", Path("7"), "camera")]))

    def test_what_it_saw_is_never_added_to_a_file(self, whole, camera, tmp_path):
        whole.write(camera, tmp_path / "a.csv", seconds=0.2)
        with pytest.raises(UsageError, match="never added"):
            whole.write(camera, tmp_path / "a.csv", seconds=0.2)


def test_no_network_of_the_detector_is_loaded_for_whole_pictures(whole, monkeypatch):
    monkeypatch.setattr(mtcnn_networks, "files", lambda: pytest.fail("it was loaded"))
    assert len(whole.predict(np.zeros((20, 20, 3), np.uint8))) == 1
