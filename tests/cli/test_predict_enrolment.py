"""`predict --neutral` and `--explain`: what is said, and that predictions follow."""

import cv2
import numpy as np
import pytest

from fer_bench.inference.table import read_table
from tests.inference.conftest import trained, trained_store
from tests.inference.models import saved
from tests.inference.pictures import picture

__all__ = ["trained", "trained_store"]


@pytest.fixture
def visits(tmp_path):
    folder = tmp_path / "visits"
    for person, number in (("anna", 3), ("bert", 5)):
        (folder / person).mkdir(parents=True)
        cv2.imwrite(str(folder / person / "a.png"), picture({12: 0.9, 25: 0.6}, number)[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "anna.png"), picture({}, 3)[:, :, ::-1])
    return folder


@pytest.fixture
def gcn(tmp_path):
    return saved(tmp_path).path


def call(run_cli, gcn, visits, *more):
    return run_cli("predict", gcn, visits, "--crop", "similarity", *more)


def test_faces_of_an_enrolled_person_are_compared_with_her_neutral_picture(run_cli, gcn, visits, tmp_path):
    code, _, err = call(run_cli, gcn, visits, "--out", "plain.csv")
    assert code == 0, err
    arguments = ("--neutral", "anna=anna.png", "--show-neutral", "seen.png", "--out", "with.csv")
    code, _, err = call(run_cli, gcn, visits, *arguments)
    assert code == 0, err
    assert "neutral face of anna: anna.png" in err
    assert "1 file shows nobody enrolled: a generated reference" in err
    assert (tmp_path / "seen.png").is_file()
    plain, enrolled = (read_table(tmp_path / name) for name in ("plain.csv", "with.csv"))
    names = [name for name in plain.columns if name.startswith("p_")]
    differs = np.abs(plain[names].to_numpy() - enrolled[names].to_numpy()).max(axis=1)
    assert [file.split("/")[-2] for file in plain["file"]] == ["anna", "bert"]
    assert differs[0] > 1e-4
    assert differs[1] < 1e-6


def test_another_neutral_picture_is_another_call(run_cli, gcn, visits):
    assert call(run_cli, gcn, visits, "--out", "a.csv")[0] == 0
    code, _, err = call(run_cli, gcn, visits, "--neutral", "anna.png", "--out", "a.csv")
    assert code == 2
    assert "neutral" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--neutral", "carl=anna.png"), "no picture shows this person"),
        (("--neutral", "anna=gone.png"), "the neutral picture does not exist"),
        (("--show-neutral", "x.png"), "there is no neutral face to show"),
        (("--explain",), "maps are shown in a gallery"),
    ],
)
def test_bad_options_are_refused(run_cli, gcn, visits, arguments, words):
    code, _, err = call(run_cli, gcn, visits, *arguments)
    assert (code, words in err) == (2, True), err


def test_only_gcn_takes_a_neutral_picture(run_cli, trained, visits):
    code, _, err = run_cli("predict", trained, visits, "--neutral", "anna.png")
    assert (code, "only gcn with its generator" in err) == (2, True)


def test_a_gallery_shows_maps_and_references(run_cli, gcn, visits, tmp_path):
    code, _, err = call(run_cli, gcn, visits, "--gallery", "g.html", "--explain")
    assert code == 0, err
    page = (tmp_path / "g.html").read_text()
    assert page.count("HiResCAM of ") >= 2
    assert "generated reference" in page
