"""Crops that are wished for."""

from __future__ import annotations

import numpy as np
import pytest

from fer_bench.data.crops.choice import CropChoice, crops_of_key, read_crops
from fer_bench.data.crops.recipe import recipe_for
from fer_bench.data.packs.pack import open_pack
from fer_bench.errors import UsageError
from tests.data.toy import toy_rows

NAMES = ("toy", "rafdb")
POINTS = np.array([[8, 10], [20, 10], [14, 16], [9, 22], [19, 22]], np.float32)


def rows(**more):
    return [{**row, **more} for row in toy_rows(2)]


def cropped(dataset, *texts, faces=None):
    read_crops(texts, faces, NAMES).apply(dataset)
    return recipe_for(dataset, 32)


def test_without_a_wish_a_dataset_keeps_its_own_way(make_toy):
    toy = make_toy(rows(box=(2.0, 2.0, 20.0, 20.0)))
    toy.crop = "box"
    assert cropped(toy) == recipe_for(toy, 32)
    assert CropChoice().key == {}


@pytest.mark.parametrize(
    ("text", "kind", "margin"),
    [
        ("box", "box", 0.2),
        ("box+0.35", "box", 0.35),
        ("toy=box+35%", "box", 0.35),
        ("similarity+0", "similarity", 0.0),
        ("landmarks", "landmarks", 0.2),
        ("detect", "detect", 0.2),
    ],
)
def test_a_wish_is_kind_and_margin(make_toy, text, kind, margin):
    recipe = cropped(make_toy(rows(box=(2.0, 2.0, 20.0, 20.0), landmarks=POINTS)), text)
    assert (recipe.kind, recipe.margin) == (kind, margin)


def test_the_wish_for_a_dataset_comes_before_the_one_for_all(make_toy):
    toy = make_toy(rows(box=(2.0, 2.0, 20.0, 20.0)))
    assert cropped(toy, "detect", "toy=box").kind == "box"
    assert cropped(make_toy(rows()), "detect", "rafdb=box").kind == "detect"


def test_a_wish_for_all_leaves_out_what_lacks_what_it_needs_and_one_by_name_is_refused(make_toy):
    toy = make_toy(rows())
    assert cropped(toy, "similarity").kind == "whole"
    for text, words in (
        ("toy=similarity", "no row has landmarks"),
        ("toy=box", "no row has a face box"),
        ("toy=landmarks", "no row has landmarks"),
    ):
        with pytest.raises(UsageError, match=words) as refused:
            cropped(toy, text)
        assert refused.value.hint == "--crop toy=whole|fit|detect"
    with pytest.raises(UsageError, match="neither 5 nor 68"):
        cropped(make_toy(rows(landmarks=POINTS[:3])), "toy=similarity")
    boxed = make_toy(rows(box=(2.0, 2.0, 20.0, 20.0)))
    boxed.crop = "box"
    assert cropped(boxed, "whole").kind == "box"


def test_similarity_needs_landmarks_or_boxes_in_which_the_detector_finds_them(make_toy):
    def boxed():
        return make_toy(rows(box=(2.0, 2.0, 20.0, 20.0)))

    assert cropped(boxed(), "similarity").kind == "similarity"
    with pytest.raises(UsageError, match="no row has landmarks"):
        read_crops(["toy=similarity"], None, NAMES, "cascade").apply(boxed())


@pytest.mark.parametrize(
    ("own", "faces", "kind"),
    [
        ("detect", "whole", "fit"),
        ("whole", "whole", "whole"),
        ("whole", "detect", "detect"),
        ("landmarks", "whole", "landmarks"),
        ("detect", None, "detect"),
    ],
)
def test_faces_decides_where_there_is_neither_box_nor_landmark(make_toy, own, faces, kind):
    toy = make_toy(rows())
    toy.crop = own
    assert cropped(toy, faces=faces).kind == kind


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["boks"], "unknown crop.*boks"),
        (["box+2"], "share from 0 to 1"),
        (["whole+0.1"], "whole has no margin"),
        (["box+"], "is written"),
        (["rafbd=box"], "unknown dataset"),
        (["box", "detect"], "more than one crop for all"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(texts, words):
    with pytest.raises(UsageError, match=words) as refused:
        read_crops(texts, None, NAMES)
    assert refused.value.hint


def test_the_key_holds_what_was_wished_for_whatever_the_order():
    one = read_crops(["toy=box+30%", "detect"], "whole", NAMES)
    assert one.key == read_crops(["detect", "toy=box+0.3"], "whole", NAMES).key
    assert one.key == {"all": "detect", "toy": "box+0.3", "faces": "whole"}


def test_another_crop_is_another_pack(make_toy, tmp_path):
    toy = make_toy(rows(box=(2.0, 2.0, 20.0, 20.0)))
    toy.crop = "detect"
    first = open_pack(toy, 24, cache=tmp_path / "c")
    read_crops(["box"], None, NAMES).apply(toy)
    second = open_pack(toy, 24, cache=tmp_path / "c")
    assert first.pixel_hash != second.pixel_hash
    assert second.recipe.text == "box, else MTCNN +20% 24px v2"


def test_the_detector_is_part_of_the_key_where_it_was_chosen(make_toy):
    toy = make_toy(rows())
    chosen = read_crops(["detect"], None, NAMES, "cascade")
    chosen.apply(toy)
    assert recipe_for(toy, 32).text == "detect by cascade (weak) +20% 32px v2"
    assert chosen.key == {"all": "detect", "detector": "cascade"}
    assert crops_of_key(chosen.key) == chosen
    toy = make_toy(rows())
    read_crops(["detect"], None, NAMES).apply(toy)
    assert recipe_for(toy, 32).text == "detect and align by MTCNN +20% 32px v2"
