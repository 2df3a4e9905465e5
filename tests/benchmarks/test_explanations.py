"""The evidence on explanation maps: drawn twins, and numbers of a run."""

import numpy as np
import pytest

from fer_bench.inference.opening import open_face_model
from tests.inference.models import saved


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("explanations")


@pytest.fixture(scope="module")
def faces(script):
    return [script.draw("rafdb", number) for number in range(6)]


def test_twins_differ_where_the_expression_is_and_nowhere_else(script, faces):
    crops, changed = script.cropped(faces, 64)
    assert crops.shape == (6, 64, 64, 3)
    shares = changed.mean(axis=(1, 2))
    assert (shares < 0.35).all()
    assert (shares > 0.005).sum() >= 5
    assert changed[:, :4].mean() < 0.05  # hair and forehead above the brows stay
    again = script.draw("rafdb", 2)
    assert np.array_equal(again.picture[0], faces[2].picture[0])


def test_true_pixels_have_all_their_share_and_random_maps_that_of_the_area(script, faces, tmp_path):
    model = saved(tmp_path, ("happiness", "sadness", "surprise", "fear", "disgust", "anger"))
    answered = {face.emotion for face in faces}
    found = script.measure(open_face_model(model.path, "cpu", recipe=model.card.recipe), faces * 2)
    assert set(found) == set(script.KINDS)
    assert answered == set(model.card.classes)
    true, random = found["true pixels"], found["random"]
    assert len(true.faces) >= 1
    assert np.nanmin(true.true_shares) == pytest.approx(1)
    assert np.allclose(random.true_shares, random.true_areas, atol=0.1)
    mean, low, high = script.summed_up([true, true], "areas")
    assert low <= mean <= high
