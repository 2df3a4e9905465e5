import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.crops import corruptions
from fer_bench.data.crops.corruptions import CORRUPTIONS, REFERENCE, STRENGTHS, chosen, corrupt
from fer_bench.data.crops.recipe import TEMPLATE
from fer_bench.errors import UsageError

DIGEST = "b897383ceea7edd7"
"""Of all corruptions at all strengths of a picture made of whole numbers."""


def picture(side):
    """Return a picture with edges, gradients and texture, made without floating point."""
    y, x = np.mgrid[:side, :side] * 112 // side
    waves = (x * x + 3 * y * y) % 97 + (x // 14 + y // 14) % 2 * 60
    return np.stack([waves + 20, 255 - waves, (2 * x + y) % 256], axis=-1).astype(np.uint8)


def digest():
    found = hashlib.sha256()
    for corruption in CORRUPTIONS.values():
        for side in (48, 64):
            for strength in range(1, STRENGTHS + 1):
                found.update(corrupt(picture(side), "row", corruption, strength, TEMPLATE).tobytes())
    return found.hexdigest()[:16]


def changed(name, strength, crop=None, row="row"):
    return corrupt(picture(64) if crop is None else crop, row, CORRUPTIONS[name], strength, TEMPLATE)


def test_the_bytes_are_those_of_every_processor():
    assert digest() == DIGEST


def test_the_bytes_do_not_depend_on_what_the_processor_can_do():
    limited = {
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,AVX,FP16",
        "OPENCV_IPP": "disabled",
        "JSIMD_FORCENONE": "1",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
        "OPENBLAS_CORETYPE": "Nehalem",
    }
    root = Path(__file__).parents[3]
    script = "from tests.data.crops.test_corruptions import digest; print(digest())"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=root,
        env={**os.environ, **limited, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == DIGEST


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_strength_changes_more_of_the_picture(name):
    crop = picture(64).astype(int)
    distances = [np.abs(changed(name, s) - crop).mean() for s in range(1, STRENGTHS + 1)]
    assert distances == sorted(distances)
    assert distances[0] > 0
    assert changed(name, 3).dtype == np.uint8
    assert len(CORRUPTIONS[name].constants) == STRENGTHS


def test_rows_differ_in_what_is_drawn_and_strengths_do_not():
    assert not np.array_equal(changed("noise", 2), changed("noise", 2, row="other"))
    grey = np.full((64, 64, 3), 128, np.uint8)
    weak, strong = (changed("noise", s, grey).astype(int) - 128 for s in (1, 2))
    assert np.abs(2 * weak - strong).max() <= 1


def test_noise_has_the_deviation_it_names_at_the_size_it_names():
    grey = np.full((REFERENCE, REFERENCE, 3), 128, np.uint8)
    assert changed("noise", 2, grey).astype(float).std() == pytest.approx(20, rel=0.02)
    assert changed("noise", 2, grey).astype(float).mean() == pytest.approx(128, abs=0.3)


def test_a_small_crop_gets_the_mean_of_the_noise_that_a_large_one_gets():
    large, small = (changed("noise", 1, np.full((s, s, 3), 128, np.uint8)) for s in (112, 56))
    means = large.astype(float).reshape(56, 2, 56, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1


def test_darkness_and_contrast_by_hand():
    flat = np.full((64, 64, 3), 200, np.uint8)
    assert changed("darkness", 3, flat).astype(float).mean() == pytest.approx(50, abs=0.3)
    halves = np.full((64, 64, 3), 100, np.uint8)
    halves[:, 32:] = 200
    found = changed("contrast", 2, halves)
    assert (found[0, 0, 0], found[0, -1, 0]) == (125, 175)


def test_a_low_resolution_is_the_mean_over_its_pixels():
    crop = picture(60)
    found = changed("resolution", 5, crop)  # ten pixels a side
    means = crop.astype(float).reshape(10, 6, 10, 6, 3).mean(axis=(1, 3))
    inner = (found[2::6, 2::6].astype(float) + found[3::6, 3::6]) / 2
    assert np.abs(inner - means).mean() < 4
    assert np.array_equal(changed("resolution", 1, picture(32)), picture(32))


def test_covers_are_where_the_face_has_its_points():
    flat = np.full((100, 100, 3), 10, np.uint8)
    middle = (TEMPLATE[0] + TEMPLATE[1]) / 2 * 100
    bar = np.argwhere((changed("eyes", 3, flat) == corruptions.COVER).all(axis=2))
    assert bar.mean(axis=0) == pytest.approx([middle[1] - 0.5, middle[0] - 0.5], abs=1)
    moved = corrupt(flat, "row", CORRUPTIONS["eyes"], 3, TEMPLATE - [0.0, 0.1])
    rows = np.argwhere((moved == corruptions.COVER).all(axis=2))
    assert rows.mean(axis=0)[0] == pytest.approx(bar.mean(axis=0)[0] - 10, abs=1)
    mask = (changed("mask", 4, flat) == corruptions.MASK).all(axis=2)
    mouth, eyes = (TEMPLATE[3] * 100).astype(int), (TEMPLATE[0] * 100).astype(int)
    assert mask[mouth[1], 50]
    assert not mask[eyes[1]].any()


def test_a_rotation_turns_about_the_middle_and_keeps_the_size():
    dot = np.zeros((65, 65, 3), np.uint8)
    dot[30:35, 50:55] = 255
    turned = changed("rotation", 5, dot)  # 45 degrees either way
    at = np.argwhere(turned[:, :, 0] > 128).mean(axis=0) - 32
    distance = 52 - 32
    assert np.abs(at) == pytest.approx([distance / 2**0.5] * 2, abs=0.7)
    assert turned.sum() == pytest.approx(dot.sum(), rel=0.05)


def test_names_are_checked():
    assert [one.name for one in chosen(["mask", "blur"])] == ["blur", "mask"]
    assert len(chosen(())) == len(CORRUPTIONS)
    with pytest.raises(UsageError, match="no such corruption") as refused:
        chosen(["blurr"])
    assert "blur" in str(refused.value)
