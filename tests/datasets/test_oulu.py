"""Oulu-CASIA trees written by hand in the official layout, with its documented quirks planted."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.oulu import CARD, OuluCASIA
from fer_bench.errors import DataError

EMOTIONS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
CANONICAL = dict(zip(EMOTIONS, ("anger", "disgust", "fear", "happiness", "sadness", "surprise"), strict=True))


def add_sequence(place: Path, subject: str, emotion: str, frames: int = 5, ending: str = "jpeg") -> Path:
    folder = place / subject / emotion
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        (folder / f"{number:03d}.{ending}").touch()
    return folder


def by_id(dataset: OuluCASIA):
    return dataset.index.set_index("sample_id")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for emotion in EMOTIONS:
        add_sequence(tmp_path / "OriginalImg" / "VL" / "Strong", "P001", emotion, frames=11)
    return tmp_path


def test_every_sequence_gives_its_last_three_frames_and_a_neutral_first(root):
    rows = by_id(OuluCASIA(root))
    assert len(rows) == 6 * 4
    assert rows["is_neutral_frame"].sum() == 6
    for emotion in EMOTIONS:
        sequence = f"VL/Strong/P001/{emotion}"
        mine = rows[rows["sequence"] == sequence]
        assert list(mine.index) == [f"{sequence}/{n:03d}" for n in (0, 8, 9, 10)]
        assert list(mine["label"]) == ["neutral", *[CANONICAL[emotion]] * 3]
        assert mine["native_label"].tolist()[1:] == [emotion] * 3
        assert mine["native_label"].isna().iloc[0]
        assert set(mine["reference_id"]) == {f"{sequence}/000"}
    assert set(rows["subject"]) == set(rows["group"]) == {"P001"}
    assert rows.loc["VL/Strong/P001/Fear/010", "path"] == "OriginalImg/VL/Strong/P001/Fear/010.jpeg"


@pytest.mark.parametrize("nesting", ["", "B_OriginalImg", "B_OriginalImg/B_OriginalImg"])
def test_all_nestings_of_the_original_tree_are_read(tmp_path, nesting):
    add_sequence(tmp_path / nesting / "OriginalImg" / "NI" / "Dark", "P002", "Fear")
    dataset = OuluCASIA(tmp_path)
    assert dataset.index["variant"].unique().tolist() == ["NI/Dark"]
    assert dataset.crop == "detect"


@pytest.mark.parametrize(
    "spelling",
    ["PreProcess Img", "PreProcess_Img", "PreProcessImg", "PreProcess", "Pre_Process_Img", "preprocess img"],
)
def test_all_spellings_of_the_cropped_tree_are_read_before_the_original(root, spelling):
    add_sequence(root / spelling / "VL_Acropped" / "Strong", "P003", "Anger")
    (root / spelling / "change_log.txt").touch()
    dataset = OuluCASIA(root)
    assert set(dataset.index["subject"]) == {"P003"}
    assert dataset.index["sample_id"].iloc[0] == "VL/Strong/P003/Anger/000"
    assert any("cropped" in note and "not read" in note for note in dataset.notes)
    assert dataset.crop == "whole"


def test_ids_do_not_depend_on_which_tree_is_read(root):
    original = OuluCASIA(root).index["sample_id"].tolist()
    shutil.move(root / "OriginalImg" / "VL", root / "PreProcess" / "VL_Acropped")
    assert OuluCASIA(root).index["sample_id"].tolist() == original


def test_cameras_and_illuminations_are_variants_and_the_protocol_takes_visible_strong(tmp_path):
    for modality in ("NI", "VL"):
        for light in ("Strong", "Weak", "Dark"):
            for subject in range(1, 11):
                add_sequence(tmp_path / "OriginalImg" / modality / light, f"P{subject:03d}", "Happiness")
    index = OuluCASIA(tmp_path).index
    assert index["variant"].nunique() == 6
    roles = assign_roles(index, CARD, find_protocol(CARD, None), 3)
    assert set(index["variant"][roles != ""]) == {"VL/Strong"}


def test_the_other_ending_is_accepted_and_a_frame_is_never_counted_twice(tmp_path):
    place = tmp_path / "OriginalImg" / "VL" / "Strong"
    add_sequence(place, "P001", "Anger", frames=5, ending="jpg")
    add_sequence(place, "P001", "Anger", frames=2)
    folder = add_sequence(place, "P001", "Fear", frames=5)
    for stray in ("Thumbs.db", "5.jpeg", "0005.jpeg", ".005.jpeg", "005.png"):
        (folder / stray).touch()
    rows = by_id(OuluCASIA(tmp_path))
    assert len(rows) == 8
    assert rows.loc["VL/Strong/P001/Anger/000", "path"].endswith("000.jpeg")
    assert rows.loc["VL/Strong/P001/Anger/004", "path"].endswith("004.jpg")


def test_missing_empty_and_short_sequences_are_noted(root):
    place = root / "OriginalImg" / "VL" / "Strong"
    shutil.rmtree(place / "P001" / "Fear")
    (place / "P002" / "Fear").mkdir(parents=True)
    add_sequence(place, "P003", "Sadness", frames=2)
    add_sequence(place, "P004", "Sadness", frames=1)
    dataset = OuluCASIA(root)
    rows = by_id(dataset)
    assert rows.query("subject == 'P003'")["label"].tolist() == ["neutral", "sadness"]
    assert rows.query("subject == 'P004'")["label"].tolist() == ["sadness"]
    notes = "\n".join(dataset.notes)
    assert "VL/Strong: 8 of 480 sequences are there; missing: P001/Fear, P002/Anger" in notes
    assert "1 emotion folders without a frame: VL/Strong/P002/Fear" in notes
    assert "2 sequences shorter than 4 frames: VL/Strong/P003/Sadness, VL/Strong/P004/Sadness" in notes


def test_an_unknown_emotion_folder_names_near_ones(root):
    add_sequence(root / "OriginalImg" / "VL" / "Strong", "P001", "Suprise")
    with pytest.raises(DataError, match="did you mean Surprise") as caught:
        _ = OuluCASIA(root).index
    assert caught.value.value == "Suprise"
    assert caught.value.file == root / "OriginalImg" / "VL" / "Strong" / "P001" / "Suprise"


def test_a_link_out_of_the_root_is_refused(tmp_path):
    inside = add_sequence(tmp_path / "root" / "OriginalImg" / "VL" / "Strong", "P001", "Anger")
    outside = add_sequence(tmp_path / "outside", "P001", "Fear")
    (inside / "009.jpeg").symlink_to(outside / "000.jpeg")
    with pytest.raises(DataError, match="the path leaves the dataset root"):
        _ = OuluCASIA(tmp_path / "root").index


def test_it_is_found_below_a_shared_root_and_not_where_there_is_none(root, tmp_path):
    shared = tmp_path / "shared"
    add_sequence(shared / "oulu" / "OriginalImg" / "VL" / "Strong", "P001", "Anger")
    assert OuluCASIA(shared).base == shared / "oulu"
    (tmp_path / "bare" / "OriginalImg").mkdir(parents=True)
    with pytest.raises(DataError, match="official layout"):
        OuluCASIA(tmp_path / "bare")


def test_near_infrared_pictures_come_as_three_channels(tmp_path):
    folder = add_sequence(tmp_path / "OriginalImg" / "NI" / "Strong", "P001", "Anger")
    cv2.imwrite(str(folder / "004.jpeg"), np.full((24, 32), 90, np.uint8))
    dataset = OuluCASIA(tmp_path)
    picture = dataset.load(by_id(dataset).loc["NI/Strong/P001/Anger/004", "path"], [-1])[0]
    assert picture.shape == (24, 32, 3)


@pytest.mark.parametrize("name", ["6-10fold", "6-contiguous", "7n-10fold"])
def test_both_fold_rules_keep_subjects_whole(tmp_path, name):
    for subject in range(1, 31):
        add_sequence(tmp_path / "OriginalImg" / "VL" / "Strong", f"P{subject:03d}", EMOTIONS[subject % 6])
    index, protocol = OuluCASIA(tmp_path).index, find_protocol(CARD, name)
    used = index.assign(role=assign_roles(index, CARD, protocol, 2)).query("role != ''")
    assert (used.groupby("subject")["role"].nunique() == 1).all()
    tested = sorted(used.query("role == 'test'")["subject"].unique())
    assert tested == (["P004", "P005", "P006"] if name == "6-contiguous" else ["P002", "P012", "P022"])
    assert used["is_neutral_frame"].any() == ("neutral" in protocol.label_set)


def test_every_camera_and_light_has_its_ten_folds_by_name(tmp_path):
    for modality in ("NI", "VL"):
        for light in ("Strong", "Weak", "Dark"):
            for subject in range(1, 11):
                add_sequence(tmp_path / "OriginalImg" / modality / light, f"P{subject:03d}", "Fear")
    index = OuluCASIA(tmp_path).index
    for modality in ("NI", "VL"):
        for light in ("Strong", "Weak", "Dark"):
            for label_set in ("6", "7n"):
                protocol = find_protocol(CARD, f"oulu/{label_set}-10fold-{modality}-{light}".lower())
                used = index["variant"][assign_roles(index, CARD, protocol, 2) != ""]
                assert set(used) == {f"{modality}/{light}"}
    assert find_protocol(CARD, "6-10fold-vl-strong").name == "6-10fold"
    assert find_protocol(CARD, "oulu/6-contiguous").name == "6-contiguous"


def test_a_root_with_near_infrared_only_says_so_under_the_default_protocol(tmp_path):
    for subject in range(1, 11):
        add_sequence(tmp_path / "OriginalImg" / "NI" / "Dark", f"P{subject:03d}", "Fear")
    index = OuluCASIA(tmp_path).index
    with pytest.raises(DataError, match="at least 10 labelled subjects"):
        assign_roles(index, CARD, find_protocol(CARD, None))
    assert (assign_roles(index, CARD, find_protocol(CARD, "6-10fold-ni-dark")) == "test").sum() == 3
