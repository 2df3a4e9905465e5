import json

import cv2
import numpy as np
import pytest

from tests.inference.conftest import plan, trained, trained_store, workspace
from tests.inference.pictures import picture

__all__ = ["plan", "trained", "trained_store", "workspace"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "smile.jpg"), picture({12: 0.9, 6: 0.8, 25: 0.7})[:, :, ::-1])
    (folder / "broken.jpg").write_text("not a picture")
    cv2.imwrite(str(folder / "empty.png"), np.full((64, 64, 3), 90, np.uint8))
    return folder


def test_a_folder_is_explained_and_nothing_dropped_silently(run_cli, trained, pictures, tmp_path):
    code, out, err = run_cli("explain", trained, pictures, "--out", "maps")
    assert code == 0, err
    assert "smile.jpg: " in out
    assert "wrote 1 picture and maps/index.html" in out
    assert "broken.jpg: the picture cannot be decoded" in err
    assert "empty.png: no face was found" in err
    assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == [
        "explanations.json",
        "index.html",
        "smile.png",
    ]
    code, out, _ = run_cli("explain", trained, pictures / "smile.jpg", "--class", "anger", "--json")
    (face,) = json.loads(out)["faces"]
    assert (code, face["predicted"], face["units"][0]) == (0, "anger", 4)
    assert 0 < face["area"] < 1


def test_what_cannot_be_explained_is_said(run_cli, trained, pictures):
    code, _, err = run_cli("explain", trained, pictures / "empty.png")
    assert (code, "no face could be explained" in err) == (2, True)
    code, _, err = run_cli("explain", "missing.pt", pictures)
    assert (code, "no such model" in err) == (2, True)
    code, _, err = run_cli("explain", trained, pictures / "smile.jpg", "--class", "boredom")
    assert (code, "does not know this class" in err) == (2, True)
