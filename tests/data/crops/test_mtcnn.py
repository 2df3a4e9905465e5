"""MTCNN's cascade on drawn faces: who is found, how well, and that nothing depends on where it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from fer_bench.data.crops import mtcnn
from fer_bench.data.crops.faces import choose_faces
from fer_bench.data.crops.mtcnn import PIXELS, find_with_mtcnn
from fer_bench.data.crops.recipe import CropRecipe, crop_face
from tests.data.crops.scenes import crowd, five, scene

SCENES = 12
SIZES = {"mmi": (240, 320), "oulu": (240, 320), "ckplus": (245, 320), "expw": (200, 200)}


@pytest.mark.parametrize("dataset", list(SIZES))
def test_faces_and_their_landmarks_are_found(dataset):
    errors = []
    for number in range(SCENES):
        shot = scene(dataset, number, SIZES[dataset])
        for face in choose_faces(find_with_mtcnn(shot.picture), "largest"):
            true = five(shot)
            between_eyes = np.hypot(*(true[1] - true[0]))
            errors.append(np.hypot(*(face.landmarks - true).T).mean() / between_eyes)
            assert 0.7 <= face.score <= 1
    assert len(errors) >= SCENES - 2
    assert np.median(errors) < 0.15
    assert sum(error < 0.4 for error in errors) >= SCENES - 2


def test_points_are_eyes_nose_and_corners_of_the_mouth_from_left_to_right():
    (face,) = find_with_mtcnn(scene("oulu", 0).picture)
    left, right, nose, corner, other = face.landmarks
    assert left[0] < nose[0] < right[0]
    assert corner[0] < nose[0] < other[0]
    assert max(left[1], right[1]) < nose[1] < min(corner[1], other[1])


@pytest.mark.parametrize("degrees", [-25, 25])
def test_a_turned_face_comes_upright_into_the_crop(degrees):
    shot = scene("oulu", 1)
    height, width = shot.picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
    turned = cv2.warpAffine(shot.picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    how = CropRecipe(kind="detect", size=96)
    upright, way, _ = crop_face(shot.picture, None, None, how)
    again, way_again, _ = crop_face(turned, None, None, how)
    assert (way, way_again) == ("detected", "detected")
    askew = CropRecipe(kind="box", size=96)
    plain = [crop_face(picture, None, None, askew)[0].astype(float) for picture in (shot.picture, turned)]
    assert np.abs(upright.astype(float) - again).mean() < 0.5 * np.abs(plain[0] - plain[1]).mean()


def test_forty_faces_are_all_found():
    picture, true = crowd(8, 5)
    faces = find_with_mtcnn(picture)
    middles = np.array([np.mean(face.landmarks, axis=0) for face in faces])
    apart = np.hypot(*(true.mean(axis=1)[:, None] - middles[None]).transpose(2, 0, 1))
    assert (apart.min(axis=1) < 12).sum() >= 38
    assert len(faces) <= 42
    areas = [face.area for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_the_face_nearest_to_a_box_is_the_one_that_is_cropped():
    picture, true = crowd(3, 1)
    how = CropRecipe(kind="detect", size=48)
    crops = []
    for points in true:
        (x0, y0), (x1, y1) = points.min(axis=0) - 15, points.max(axis=0) + 15
        crop, way, _ = crop_face(picture, (x0, y0, x1, y1), None, how)
        assert way == "detected"
        crops.append(crop)
        ideal, *_ = crop_face(picture, None, points, CropRecipe(kind="similarity", size=48))
        assert np.abs(crop.astype(float) - ideal).mean() < 20
    assert not np.array_equal(crops[0], crops[1])


def test_faces_in_the_dark_and_in_fog_are_found_by_a_second_search():
    shots = [scene("mmi", number) for number in range(8)]
    dark = [np.rint(0.1 * shot.picture).astype(np.uint8) for shot in shots]
    pale = [np.rint(200 + 0.1 * shot.picture).astype(np.uint8) for shot in shots]
    assert sum(bool(mtcnn._search(picture)) for picture in dark) <= 6
    for pictures in (dark, pale):
        found = [choose_faces(find_with_mtcnn(picture), "largest") for picture in pictures]
        assert sum(map(len, found)) >= 7
        for shot, faces in zip(shots, found, strict=True):
            true = five(shot)
            for face in faces:
                assert np.hypot(*(face.landmarks - true).T).mean() < 0.4 * np.hypot(*(true[1] - true[0]))


def test_a_face_that_fills_its_picture_is_found_where_it_is():
    alone, again = 0, 0
    for number in range(8):
        shot = scene("fer2013", number, (96, 96))
        (x0, y0), (x1, y1) = five(shot).min(axis=0) - 14, five(shot).max(axis=0) + 14
        left, top = max(0, int(x0)), max(0, int(y0))
        tight = shot.picture[top : int(y1), left : int(x1)]
        alone += bool(mtcnn._search(tight))
        for face in choose_faces(find_with_mtcnn(tight), "largest"):
            true = five(shot) - np.array([left, top])
            again += np.hypot(*(face.landmarks - true).T).mean() < 0.4 * np.hypot(*(true[1] - true[0]))
    assert again > alone


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (12, 12), (19, 19), (3, 40), (40, 40), (120, 120)])
def test_there_is_no_face_where_none_can_be(shape):
    for picture in (np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 200, np.uint8)):
        assert find_with_mtcnn(picture) == []
    assert find_with_mtcnn(np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)) == []


def test_a_wide_panorama_is_searched_scaled_down_and_answered_in_its_own_pixels():
    panorama = np.full((1000, 20_000, 3), 90, np.uint8)
    shot = scene("mmi", 3, (900, 1000))
    panorama[50:950, 12_000:13_000] = shot.picture
    assert panorama.shape[0] * panorama.shape[1] > PIXELS
    (face,) = find_with_mtcnn(panorama)
    true = five(shot) + np.array([12_000, 50])
    assert np.hypot(*(face.landmarks - true).T).max() < 0.4 * np.hypot(*(true[1] - true[0]))


def test_noise_of_a_full_picture_is_searched_in_bounded_time_and_memory():
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    faces = find_with_mtcnn(cv2.resize(noise, (800, 600), interpolation=cv2.INTER_CUBIC))
    assert len(faces) < 10


def test_a_picture_that_is_a_part_of_another_in_memory_gives_the_same():
    shot = scene("oulu", 1)
    wide = np.pad(shot.picture, ((9, 9), (7, 7), (0, 0)))
    inside = wide[9:-9, 7:-7]
    assert not inside.flags.c_contiguous
    (one,), (other,) = find_with_mtcnn(shot.picture), find_with_mtcnn(inside)
    assert one.box == other.box


def test_threads_find_the_same_as_one():
    pictures = [scene("expw", number, (200, 200)).picture for number in range(6)] * 2
    alone = [[(face.box, face.score) for face in find_with_mtcnn(picture)] for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(find_with_mtcnn, pictures))
    assert [[(face.box, face.score) for face in faces] for faces in together] == alone


_SCRIPT = """
import json
from fer_bench.data.crops.mtcnn import find_with_mtcnn
from tests.data.crops.scenes import crowd, scene

pictures = [crowd(4, 2)[0], *(scene(name, n).picture for name in ("mmi", "expw") for n in range(5))]
pictures += [picture // 9 for picture in pictures[1:]]
faces = [[(face.box, face.landmarks.tolist(), face.score) for face in find_with_mtcnn(p)] for p in pictures]
print(json.dumps(faces))
"""
SWITCHES = {
    "all": {},
    "AVX2 only": {"OPENCV_CPU_DISABLE": "AVX512-SKX", "OPENCV_IPP": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    "hardly any": {
        "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,AVX2,AVX512-SKX",
        "OPENCV_IPP": "disabled",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "one thread": {"OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"},
}


@pytest.mark.long
def test_faces_are_the_same_bits_whatever_code_libraries_take():
    found = {}
    for name, switches in SWITCHES.items():
        command = [sys.executable, "-W", "ignore", "-c", _SCRIPT]
        ended = subprocess.run(command, env={**os.environ, **switches}, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        found[name] = json.loads(ended.stdout)
    assert sum(map(len, found["all"])) >= 25
    assert [name for name in found if found[name] != found["all"]] == []
