import cv2
import numpy as np
import pytest
import torch

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import DataError, UsageError
from fer_bench.inference.enrolment import (
    CALMEST,
    Enrolment,
    Reference,
    calmness,
    compare,
    draw_references,
    enrol,
    reference_feature,
)
from fer_bench.inference.faces import FaceFinder
from tests.inference.models import saved
from tests.inference.pictures import picture

FINDER = FaceFinder(CropRecipe(kind="similarity", size=64))


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path)


@pytest.mark.parametrize("variant", ["S1R1", "S0R1"])
def test_the_generated_face_as_reference_gives_the_models_own_answer(tmp_path, crops, variant):
    model = saved(tmp_path, variant=variant)
    images = model.images(crops[:1])
    with torch.inference_mode():
        drawn = model.method(images).extras["reference"]
    found = compare(model, crops[:1], reference_feature(model, drawn))
    assert np.allclose(found, model.answer(crops[:1]).logits, atol=1e-4)


def test_each_face_is_compared_with_that_of_its_person(model, crops):
    anna, bert = Reference("anna", crops[:1], ""), Reference("bert", crops[1:2], "")
    enrolment = Enrolment(model, [anna, bert])
    files = ["in/anna-1.jpg", "bert/x.jpg", "in/annabelle.jpg", "in/ANNA.png", "other.jpg"]
    assert [enrolment.owner(file) for file in files] == [0, 1, -1, 0, -1]
    found = enrolment.answer(crops, files).logits
    own = model.answer(crops).logits
    assert np.allclose(found[[2, 4]], own[[2, 4]], atol=1e-5)
    alone = Enrolment(model, [Reference("", crops[:1], "")]).answer(crops, files).logits
    assert np.allclose(found[[0, 3]], alone[[0, 3]], atol=1e-5)
    assert np.abs(found[1] - alone[1]).max() > 1e-4


def test_the_longest_name_counts_and_names_are_checked(model, crops):
    enrolment = Enrolment(model, [Reference("", crops[:1], ""), Reference("anna", crops[1:2], "")])
    assert [enrolment.owner(file) for file in ("anna.jpg", "x.jpg")] == [1, 0]
    enrolment.check(["anna.jpg"])
    with pytest.raises(UsageError, match="no picture shows this person"):
        enrolment.check(["x.jpg"])
    with pytest.raises(UsageError, match="two neutral pictures"):
        Enrolment(model, [Reference("Anna", crops[:1], ""), Reference("anna", crops[1:2], "")])


def test_a_photo_is_enrolled_as_it_is_cropped(model, photo):
    (one,) = enrol([f"anna={photo}"], model, FINDER).references
    assert (one.person, one.text) == ("anna", "anna.png")
    faces, _ = FINDER.find(picture({}))
    assert np.array_equal(one.crops[0], faces[0].crop)
    assert enrol([str(photo)], model, FINDER).references[0].person == ""


def test_of_a_clip_the_calmest_frames_are_taken_and_named(model, tmp_path):
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 160))
    for step in range(8):
        writer.write(picture({12: step / 7, 6: step / 7, 25: step / 7})[:, :, ::-1])
    writer.release()
    (one,) = enrol([f"anna={file}"], model, FINDER).references
    assert len(one.crops) == CALMEST
    assert one.text.startswith("clip.avi, calmest of 8 frames: ")
    assert "probability of neutral" in one.text
    draw_references([one], tmp_path / "neutral.png")
    assert (tmp_path / "neutral.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="PNG or JPEG"):
        draw_references([one], tmp_path / "neutral.gif")


def test_calmness_is_the_probability_of_neutral_or_the_likeness_to_the_reference(model, tmp_path, crops):
    calm, word = calmness(model, crops)
    assert word == "probability of neutral"
    assert np.allclose(calm, model.card.probabilities(model.answer(crops).logits)[:, 0])
    calm, word = calmness(saved(tmp_path, ("happiness", "anger")), crops)
    assert word == "likeness to the generated reference"
    assert (np.abs(calm) <= 1 + 1e-5).all()


def test_what_cannot_be_enrolled_is_refused(model, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        enrol(["anna=missing.jpg"], model, FINDER)
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(DataError, match="shows no face"):
        enrol([f"anna={tmp_path / 'wall.png'}"], model, FINDER)
    for other in (saved(tmp_path, generator="none"), saved(tmp_path, method="ssmfar")):
        with pytest.raises(UsageError, match="only gcn with its generator"):
            enrol([], other, FINDER)
