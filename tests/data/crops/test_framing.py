"""The framing of crops is found again, whatever it is, and not guessed from too few faces."""

import numpy as np
import pytest

from fer_bench.data.crops import framing as module
from fer_bench.data.crops.faces import Face
from fer_bench.data.crops.framing import Framing, measure_framing
from fer_bench.data.crops.recipe import TEMPLATE, CropRecipe, similarity, warp
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

CROPS = np.zeros((40, 64, 64, 3), np.uint8)


@pytest.fixture
def framed(monkeypatch):
    """Let the detector find faces that lie as a framing says, some of them a little elsewhere, or none."""

    def let(scale, x, y, found=1.0):
        rng, seen = np.random.default_rng(0), []

        def find(image):
            seen.append(1)
            if len(seen) > found * module.LOOKED_AT:
                return []
            points = ((TEMPLATE - 0.5) * scale + 0.5 + [x, y] + rng.normal(0, 0.01, (5, 2))) * len(image)
            return [Face((0, 0, 64, 64), points, 0.9)]

        monkeypatch.setattr(module, "find_faces", find)

    return let


@pytest.mark.parametrize(("scale", "x", "y"), [(1.0, 0, 0), (1.15, 0.02, -0.11), (0.8, -0.05, 0.1)])
def test_is_found_again(framed, scale, x, y):
    framed(scale, x, y)
    found = measure_framing(CROPS)
    np.testing.assert_allclose([found.scale, found.x, found.y], [scale, x, y], atol=0.02)


def test_needs_some_faces(framed):
    framed(1, 0, 0, found=0.3)
    assert measure_framing(CROPS) is None
    assert measure_framing(CROPS[:3]) is None
    assert measure_framing(CROPS[:0]) is None
    framed(1, 0, 0, found=0.5)
    assert measure_framing(CROPS) is not None


def test_faces_without_a_template_are_none(framed):
    framed(9, 0, 0)
    assert measure_framing(CROPS) is None


def test_crops_framed_alike_look_alike():
    """A face that is cut as a set of crops shows it is where it is in those crops."""
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    points = TEMPLATE * 90 + [40, 50]
    recipe, framing = CropRecipe(kind="similarity", size=64, margin=0.0), Framing(scale=1.1, x=0.03, y=-0.08)
    matrix = framing.applied(similarity(points, recipe), 64)
    placed = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(placed / 64, (TEMPLATE - 0.5) * 1.1 + 0.5 + [0.03, -0.08], atol=1e-9)
    assert warp(image, matrix, 64).shape == (64, 64, 3)
    same = Framing(scale=1.0).applied(similarity(points, recipe), 64)
    np.testing.assert_allclose(same, similarity(points, recipe))


def test_real_crops_have_a_framing(tiny_root):
    """Those of the tiny stand-in of RAF-DB: closer than the template."""
    workspace = Workspace(find_roots(str(tiny_root)))
    found = measure_framing(workspace.pack("rafdb", 64).pixels)
    assert 1.0 < found.scale < 1.3
    assert abs(found.x) < 0.05
