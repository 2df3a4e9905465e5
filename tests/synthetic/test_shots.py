import cv2
import numpy as np
import pytest

from fer_bench.emotions import Emotion
from fer_bench.synthetic.anatomy import texture_of
from fer_bench.synthetic.camera import CAMERAS, camera_of
from fer_bench.synthetic.expressions import Style
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import _add_noise, arrange, backdrop, face_box, shoot


def take(dataset, size=(112, 112), number=0, emotion=Emotion.HAPPINESS, name="benchmark"):
    population = Population(dataset, name)
    camera, rng = camera_of(population), population.rng("shot", number)
    person = population.person(number)
    au = person.express(rng, emotion, Style()).au
    return shoot(camera, arrange(camera, size, rng), person.identity, au, rng)


@pytest.mark.parametrize("dataset", sorted(CAMERAS))
def test_a_shot_has_its_size_and_the_face_in_it(dataset):
    shot = take(dataset, (120, 160))
    assert shot.picture.shape == (120, 160, 3)
    assert shot.picture.dtype == np.uint8
    assert shot.picture.std() > 5
    inner = shot.landmarks[17:]
    assert (inner > 0).all()
    assert (inner < (160, 120)).all()
    again = take(dataset, (120, 160))
    np.testing.assert_array_equal(shot.picture, again.picture)


def test_grey_and_colour():
    def grey(dataset, number):
        picture = take(dataset, (60, 80), number).picture
        return bool((picture[..., 0] == picture[..., 2]).all())

    assert all(grey("fer2013", i) for i in range(4))
    ckplus = [grey("ckplus", i) for i in range(20)]
    assert 10 <= sum(ckplus) < 20
    assert not any(grey("mmi", i) for i in range(6))


def test_a_scene_stays_while_the_face_moves():
    population = Population("oulu")
    camera, rng = camera_of(population), population.rng("x")
    person = population.person(1)
    scene = arrange(camera, (120, 160), rng)
    shots = [shoot(camera, scene, person.identity, person.rest, rng) for _ in range(3)]
    corner = [shot.picture[:8, :8].mean() for shot in shots]
    assert np.ptp(corner) < 2
    moved = np.abs(shots[0].landmarks - shots[1].landmarks).max()
    assert 0 < moved < 4


def test_what_is_covered_is_covered():
    population = Population("rafdb")
    camera, person = camera_of(population), population.person(0)
    seen = set()
    for number in range(250):
        scene = arrange(camera, (100, 100), population.rng("s", number))
        if scene.occlusion:
            seen.add(scene.occlusion[0])
            shoot(camera, scene, person.identity, person.rest, population.rng("n", number))
    assert seen == {"hand", "object", "sunglasses", "edge"}


def test_the_box_is_a_square_around_the_landmarks():
    landmarks = np.array([(10, 20), (50, 80)], np.float32)
    x0, y0, x1, y1 = face_box(landmarks, margin=0.0)
    assert (x0, y0, x1, y1) == (0, 20, 60, 80)


def test_a_backdrop_is_plain_in_the_lab_and_not_outside():
    lab = backdrop(CAMERAS["ckplus"], (100, 100), 3)
    wild = backdrop(CAMERAS["rafdb"], (100, 100), 3)
    assert lab.astype(float).std() < wild.astype(float).std()


def test_what_was_drawn_before_and_the_number_of_threads_change_nothing():
    threads = cv2.getNumThreads()
    first = take("rafdb", number=5).picture
    for function in (texture_of, backdrop):
        function.cache_clear()
    take("rafdb", number=6)
    try:
        cv2.setNumThreads(1)
        alone = take("rafdb", number=5).picture
        cv2.setNumThreads(4)
        together = take("rafdb", number=5).picture
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(first, together)


@pytest.mark.parametrize("grey", [True, False])
def test_noise_has_its_level_and_no_colour_in_grey_pictures(grey):
    flat = np.full((200, 240, 3), 128, np.uint8)
    noise = _add_noise(flat, 6.0, grey, np.random.default_rng(0)).astype(float) - 128
    assert abs(noise.mean()) < 0.2
    assert noise.std() == pytest.approx(6.0, rel=0.05)
    together = np.corrcoef(noise.reshape(-1, 3).T)
    np.testing.assert_allclose(together, np.ones((3, 3)) if grey else np.eye(3), atol=0.03)
