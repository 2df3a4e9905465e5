from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, target_rows
from fer_bench.datasets.affwild2 import AffWild2
from fer_bench.errors import DataError

HEADER = "image,valence,arousal,expression,aus"
AUS = "0,1,0,1,0,0,0,0,0,0,1,-1"
NO_AUS = ",".join(["-1"] * 12)
TRAIN = (
    f"v1/00001.jpg,0.25,-0.5,4,{AUS}",
    f"v1/00003.jpg,-5,0.5,0,{NO_AUS}",
    f"v1/00004.jpg,-5.0,-5.0,-1.0,{AUS}",
    f"v1/00005.jpg,-5,-5,-1,{NO_AUS}",
    f"v2_left/00001.jpg,0.1,0.2,-1,{NO_AUS}",
    f"v2_right/00001.jpg,0.1,0.2,7,{AUS}",
    f"v2_right/00002.jpg,0.1,0.2,7,{AUS}",
)
VAL = (f"v3/00010.jpg,1,-1,6,{AUS}", f"v3/00011.jpg,0,0,2,{AUS}")


def write_tree(
    root: Path,
    train: tuple[str, ...] = TRAIN,
    val: tuple[str, ...] = VAL,
    *,
    header: str | None = HEADER,
    suffix: str = "",
    without: tuple[str, ...] = (),
) -> Path:
    """Write a small Aff-Wild2 with the pictures of its lists, except those named in `without`."""
    root.mkdir(parents=True, exist_ok=True)
    for name, lines in (("training", train), ("validation", val)):
        text = "\n".join(lines if header is None else (header, *lines))
        (root / f"{name}_set_annotations{suffix}.txt").write_text(text)
    for line in train + val:
        name = line.split(",")[0]
        picture = root / "cropped_aligned" / name
        if name not in without:
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.touch()
    return root


def test_masks_groups_and_ids(tmp_path: Path) -> None:
    dataset = AffWild2(write_tree(tmp_path))
    index = dataset.index.set_index("sample_id")
    assert len(index) == 8
    full = index.loc["v1/00001"]
    assert full["path"] == "cropped_aligned/v1/00001.jpg"
    assert (full["native_label"], full["label"], full["split"]) == ("4", "happiness", "train")
    assert (full["valence"], full["arousal"]) == (0.25, -0.5)
    np.testing.assert_array_equal(full["au"], [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, -1])
    half = index.loc["v1/00003"]
    assert np.isnan(half["valence"])
    assert np.isnan(half["arousal"])
    assert half["label"] == "neutral"
    assert index.loc[["v1/00004"], ["native_label", "label"]].isna().all(axis=None)
    assert index.loc["v2_right/00001", "label"] == "other"
    assert index.loc["v2_left/00001", "sequence"] == "v2_left"
    assert index.loc["v2_left/00001", "group"] == index.loc["v2_right/00001", "group"] == "v2"
    assert index["subject"].isna().all()
    assert (index["frame"] == -1).all()
    assert index.loc["v3/00010", "split"] == "val"
    assert dataset.notes == [
        "1 frames of training_set_annotations.txt have no label at all and are left out."
    ]


def test_the_reference_is_the_nearest_neutral_frame_of_the_same_person(tmp_path: Path) -> None:
    codes = {"v1": "4054440", "v2_left": "44", "v2_right": "04"}
    train = tuple(
        f"{video}/{number:05d}.jpg,-5,-5,{code},{AUS}"
        for video, text in codes.items()
        for number, code in enumerate(text, start=1)
    )
    index = AffWild2(write_tree(tmp_path, train)).index.set_index("sample_id")
    nearest = {int(name[-5:]): index.loc[name, "reference_id"] for name in index.index if name[:2] == "v1"}
    assert nearest == {n: f"v1/{r:05d}" for n, r in zip(range(1, 8), (2, 2, 2, 2, 7, 7, 7), strict=True)}
    assert index.loc[["v2_left/00001", "v2_left/00002"], "reference_id"].isna().all()
    assert index.loc["v2_right/00002", "reference_id"] == "v2_right/00001"
    assert index.loc[["v3/00010", "v3/00011"], "reference_id"].isna().all()


@pytest.mark.parametrize("suffix", ["", "_22"])
@pytest.mark.parametrize("header", [HEADER, None, "image,valence,arousal,expression,AU1,AU2,AU4"])
def test_names_and_headers_of_the_releases(tmp_path: Path, suffix: str, header: str | None) -> None:
    dataset = AffWild2(write_tree(tmp_path, header=header, suffix=suffix))
    assert len(dataset.index) == 8
    assert any("no header" in note for note in dataset.notes) == (header is None)


def test_single_frames_without_pictures_are_left_out_counted_and_named(tmp_path: Path) -> None:
    dataset = AffWild2(write_tree(tmp_path, without=("v1/00003.jpg", "v2_right/00001.jpg", "v3/00011.jpg")))
    assert dataset.index["sample_id"].tolist() == [
        "v1/00001",
        "v1/00004",
        "v2_left/00001",
        "v2_right/00002",
        "v3/00010",
    ]
    lost = "labelled frames of {}_set_annotations.txt have no picture and are left out: {}"
    assert f"2 {lost.format('training', 'v1/00003, v2_right/00001')}" in dataset.notes
    assert f"1 {lost.format('validation', 'v3/00011')}" in dataset.notes


@pytest.mark.parametrize("place", ["cropped_aligned_new_50_vids", "batch2/cropped_aligned_new_50_vids"])
def test_the_second_archive_of_crops_is_read_and_named_where_it_is_absent(tmp_path: Path, place: str) -> None:
    before = AffWild2(write_tree(tmp_path)).index
    away = tmp_path / "away"
    (tmp_path / "cropped_aligned" / "v2_left").rename(away)
    problem = r"1 of 3 listed videos have no picture, so 1 of 6 labelled frames \(17%\) are lost: v2_left"
    with pytest.raises(DataError, match=problem) as caught:
        _ = AffWild2(tmp_path).index
    assert "unpack cropped_aligned_new_50_vids too" in str(caught.value)
    (tmp_path / place).mkdir(parents=True)
    away.rename(tmp_path / place / "v2_left")
    index = AffWild2(tmp_path).index
    assert index["sample_id"].tolist() == before["sample_id"].tolist()
    assert f"{place}/v2_left/00001.jpg" in set(index["path"])


@pytest.mark.parametrize("ending", ["JPG", "jpeg", "png", "PNG"])
def test_frames_are_found_whatever_their_ending(tmp_path: Path, ending: str) -> None:
    before = AffWild2(write_tree(tmp_path)).index
    for frame in (tmp_path / "cropped_aligned" / "v2_right").iterdir():
        frame.rename(frame.with_suffix(f".{ending}"))
    index = AffWild2(tmp_path).index
    assert index["sample_id"].tolist() == before["sample_id"].tolist()
    assert f"cropped_aligned/v2_right/00001.{ending}" in set(index["path"])


def test_no_picture_at_all_is_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path, without=tuple(line.split(",")[0] for line in VAL))
    with pytest.raises(DataError, match="none of the 2 labelled frames has a picture") as caught:
        _ = AffWild2(root).index
    assert caught.value.file == root / "validation_set_annotations.txt"


@pytest.mark.parametrize(
    ("line", "value", "message"),
    [
        ("v1/00002.jpg,0,0,1," + ",".join("0" * 11), "15 fields", "16 fields"),
        (f"v1/00002.jpg,0,0,1,{AUS},", "17 fields", "16 fields"),
        (f"v1/00002.jpg,0,0,1.5,{AUS}", 1.5, "expression"),
        (f"v1/00002.jpg,0,0,8,{AUS}", 8.0, "expression"),
        (f"v1/00002.jpg,0,0,-5,{AUS}", -5.0, "expression"),
        (f"v1/00002.jpg,0,1.5,1,{AUS}", "1.5", "valence and arousal"),
        (f"v1/00002.jpg,0,x,1,{AUS}", "x", "not a number"),
        ("v1/00002.jpg,0,0,1,2" + ",0" * 11, 2.0, "action unit"),
        (f"v1/a.jpg,0,0,1,{AUS}", "v1/a.jpg", "<video>/<number>"),
        (f"00001.jpg,0,0,1,{AUS}", "00001.jpg", "<video>/<number>"),
        (f"../v1/00002.jpg,0,0,1,{AUS}", "../v1/00002.jpg", "leaves the dataset root"),
        (f"../00001.jpg,0,0,1,{AUS}", "../00001.jpg", "leaves the dataset root"),
        (f"/v1/00002.jpg,0,0,1,{AUS}", "/v1/00002.jpg", "leaves the dataset root"),
        (TRAIN[0], "v1/00001.jpg", "line 2 already"),
        ("", "", "<video>/<number>"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, line: str, value: object, message: str) -> None:
    root = write_tree(tmp_path)
    file = root / "training_set_annotations.txt"
    file.write_text("\n".join([HEADER, TRAIN[0], line, TRAIN[1]]))
    with pytest.raises(DataError, match=message) as caught:
        _ = AffWild2(root).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, 3, value)


def test_a_video_in_both_lists_is_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path, val=(*VAL, f"v1/00009.jpg,0,0,1,{AUS}"))
    with pytest.raises(DataError, match="training list too") as caught:
        _ = AffWild2(root).index
    assert (caught.value.line, caught.value.value) == (4, "v1")


def test_two_people_of_one_video_in_different_lists_are_noted(tmp_path: Path) -> None:
    dataset = AffWild2(write_tree(tmp_path, val=(*VAL, f"v1_left/00009.jpg,0,0,1,{AUS}")))
    assert len(dataset.index) == 9
    assert any("first v1." in note for note in dataset.notes)


def test_a_video_folder_that_links_out_is_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root")
    (root / "cropped_aligned" / "v3").rename(tmp_path / "v3")
    (root / "cropped_aligned" / "v3").symlink_to(tmp_path / "v3")
    with pytest.raises(DataError, match="leaves the dataset root") as caught:
        _ = AffWild2(root).index
    assert (caught.value.line, caught.value.value) == (2, "v3")


def test_two_lists_of_one_split_are_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / "training_set_annotations_22.txt").write_text(HEADER)
    with pytest.raises(DataError, match="more than one annotation list"):
        _ = AffWild2(root).index


def test_protocol_carves_whole_videos(tmp_path: Path) -> None:
    train = tuple(
        f"w{video}{side}/{frame:05d}.jpg,0.1,0.1,{(video + frame) % 8 if frame % 5 else -1},{AUS}"
        for video in range(30)
        for side in ("_left", "_right")
        for frame in range(1, 21)
    )
    dataset = AffWild2(write_tree(tmp_path, train))
    index, card = dataset.index, dataset.card
    index = index.assign(role=assign_roles(index, card, find_protocol(card, None)))
    assert (index.groupby("group")["role"].nunique() == 1).all()
    counts = index["role"].value_counts()
    assert counts["val"] == 3 * 40
    assert counts["test"] == 2
    assert index[index["role"] == "val"]["label"].nunique() == 8
    assert index[index["role"] == "train"]["label"].isna().any(), "rows with affect only keep training"
    assert target_rows(index, card, find_protocol(card, None)).sum() == 2


def test_card_counts_are_no_more_than_their_totals() -> None:
    counts = {(c.split, c.code): c.n for c in AffWild2.card.counts}
    assert sum(counts["train", str(code)] for code in range(8)) == 90645
    assert sum(counts["val", str(code)] for code in range(8)) == 15440
    assert counts["train", None] > 90645
