import pytest
import torch
from torch.nn import functional as F

from fer_bench.config import InputSpec
from fer_bench.data.loading.transforms import normalise
from fer_bench.errors import DataError, UsageError
from fer_bench.methods.distilled.teacher import open_teacher, teacher_hash, teacher_origin
from fer_bench.methods.weights import state_hash
from tests.methods.distilled.conftest import CLASSES

OWN = InputSpec(size=32)
PLAIN = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_answers_are_those_of_the_trained_method_and_features_what_its_last_layer_reads(file, taught):
    lesson = open_teacher(str(file), CLASSES, OWN).answer(normalise(PLAIN, OWN))
    with torch.no_grad():
        image = normalise(PLAIN, taught.input_spec(taught.settings))
        torch.testing.assert_close(lesson.logits, taught(image).logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(lesson.features, taught.network.backbone(image), atol=1e-3, rtol=1e-3)
    assert not lesson.logits.requires_grad


def test_classes_are_matched_by_name(file):
    image = normalise(PLAIN, OWN)
    whole = open_teacher(str(file), CLASSES, OWN).answer(image).logits
    some = open_teacher(str(file), ("disgust", "fear"), OWN).answer(image).logits
    torch.testing.assert_close(some, whole[:, [2, 0]])
    with pytest.raises(UsageError, match="does not know a class of the student") as raised:
        open_teacher(str(file), ("joy", "fear"), OWN)
    assert raised.value.value == "joy"


def test_images_of_another_size_and_normalisation_are_turned_into_the_teachers(file):
    other = InputSpec(size=48, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    large = F.interpolate(PLAIN, size=48, mode="bilinear")
    found = open_teacher(str(file), CLASSES, other).answer(normalise(large, other)).logits
    small = F.interpolate(large, size=32, mode="bilinear", antialias=True)
    wanted = open_teacher(str(file), CLASSES, OWN).answer(normalise(small, OWN)).logits
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_the_file_says_where_the_teacher_comes_from(file, taught):
    assert teacher_hash(str(file)) == state_hash(taught.state_dict())
    told = teacher_origin(str(file))
    assert told["name"].startswith("erm/")
    assert told["pretrained"] == {"tower": "ImageNet-1k"}


def test_an_absent_file_and_one_of_another_kind_are_named(tmp_path):
    with pytest.raises(DataError, match="teacher's file is absent") as raised:
        teacher_hash(str(tmp_path / "absent.ckpt"))
    assert "fer-bench distill" in raised.value.hint
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(DataError, match="not a checkpoint of a method"):
        teacher_hash(str(tmp_path / "other.ckpt"))
