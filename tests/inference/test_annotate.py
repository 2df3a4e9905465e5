"""Videos with answers in their frames: boxes where faces are, and frames at their time."""

import numpy as np
import pytest

from fer_bench.data.crops.faces import Face
from fer_bench.errors import DataError
from fer_bench.inference import faces as finding
from fer_bench.inference.annotate import annotate_video, draw
from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.predictor import Predictor
from tests.inference.models import Colours
from tests.inference.test_video import read

POINTS = np.array([[70, 60], [90, 60], [80, 70], [72, 82], [88, 82]], float)


@pytest.fixture
def one_face(monkeypatch):
    monkeypatch.setattr(finding, "find_faces", lambda image, detector: [Face((60, 40, 100, 90), POINTS, 0.9)])


def test_boxes_landmarks_and_answers_are_drawn(one_face):
    predictor = Predictor(Colours("box"))
    image = np.full((200, 300, 3), 120, np.uint8)
    table = predictor.predict(image)
    seen = draw(image, table, predictor.card)
    changed = (seen != image).any(axis=2)
    assert changed[40, 60:100].all()
    assert changed[40:90, 100].all()
    assert changed[70, 80]
    assert changed[:40, 60:160].any()
    assert not changed[150:, 200:].any()
    assert (image == 120).all()
    at_the_corner = table.assign(box_x0=-30.0, box_y0=-30.0)
    assert draw(image, at_the_corner, predictor.card).shape == image.shape


def test_frames_keep_their_time(clip, tmp_path):
    path = clip(tmp_path / "a.avi", frames=10, size=(320, 240))
    predictor = Predictor(Colours(), faces="whole", every=3)
    table = predictor.predict(path)
    (item,) = find_inputs([path]).items
    counted = []
    annotate_video(table, item, predictor.card, tmp_path / "out" / "b.mp4", counted.append)
    frames, ending = read(tmp_path / "out" / "b.mp4")
    assert len(frames) == 10
    assert counted[-1] == 10
    assert ending.reason is None
    levels = [frame.image[150:220, 200:300].mean() for frame in frames]
    np.testing.assert_allclose(levels, 30 + np.arange(10) * 10, atol=12)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["b.mp4"]


def test_a_rate_that_varies_becomes_a_constant_one(clip, tmp_path, monkeypatch):
    """The second half comes at half the rate, so that its frames are written twice."""
    from fer_bench.inference import annotate
    from fer_bench.inference.video import Frame, frames_of

    def slower(*arguments):
        for frame in frames_of(*arguments):
            yield Frame(frame.number, frame.time if frame.number < 5 else 2 * frame.time - 0.5, frame.image)

    monkeypatch.setattr(annotate, "frames_of", slower)
    path = clip(tmp_path / "a.avi", frames=10)
    predictor = Predictor(Colours(), faces="whole")
    (item,) = find_inputs([path]).items
    annotate_video(predictor.predict(path), item, predictor.card, tmp_path / "b.mp4")
    assert len(read(tmp_path / "b.mp4")[0]) == 14


def test_what_cannot_be_read_or_written_leaves_no_file(clip, tmp_path):
    path = clip(tmp_path / "a.avi", frames=4)
    predictor = Predictor(Colours(), faces="whole")
    table = predictor.predict(path)
    (item,) = find_inputs([path]).items
    path.write_bytes(b"x" * 3000)
    with pytest.raises(DataError, match="cannot be opened"):
        annotate_video(table, item, predictor.card, tmp_path / "b.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["a.avi"]
