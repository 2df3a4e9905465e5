"""CK+ trees written by hand in the official layout, with its documented quirks planted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.audit.split_file import freeze
from fer_bench.data.index import stack_au
from fer_bench.data.protocols import assign_roles, find_protocol, in_label_set, target_rows
from fer_bench.datasets.ckplus import CARD, CKPlus
from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import DataError

IMAGES = "cohn-kanade-images"


def add_frames(root: Path, subject: str, session: str, numbers, images: str = IMAGES) -> str:
    """Write empty frames and return the stem of the last one."""
    folder = root / images / subject / session
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{subject}_{session}_{number:08d}.png").touch()
    return f"{subject}_{session}_{max(numbers, default=0):08d}"


def add_text(root: Path, kind: str, stem: str, text: str) -> Path:
    subject, session, _ = stem.split("_")
    folder = root / kind / subject / session
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stem}_{kind.casefold()}.txt"
    file.write_text(text)
    return file


def add_labelled(root: Path, subject: str, session: str, code: int, frames: int = 6) -> str:
    stem = add_frames(root, subject, session, range(1, frames + 1))
    add_text(root, "Emotion", stem, f"   {code:.7e}\n")
    return stem


def points(shift: float = 0.0) -> str:
    return "".join(f"   {i + shift:.7e}   {2 * i:.7e}\n" for i in range(68))


def by_id(dataset: CKPlus):
    return dataset.index.set_index("sample_id")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_labelled(tmp_path, "S005", "001", 3, frames=11)
    return tmp_path


def test_a_labelled_sequence_gives_its_last_three_frames_and_a_neutral_first(root):
    rows = by_id(CKPlus(root))
    assert list(rows.index) == ["S005/001/001", "S005/001/009", "S005/001/010", "S005/001/011"]
    assert list(rows["label"]) == ["neutral", "disgust", "disgust", "disgust"]
    assert rows["native_label"].tolist()[1:] == ["3"] * 3
    assert rows["native_label"].isna().tolist() == [True, False, False, False]
    assert rows["is_neutral_frame"].tolist() == [True, False, False, False]
    assert set(rows["reference_id"]) == {"S005/001/001"}
    assert rows["path"].iloc[3] == "cohn-kanade-images/S005/001/S005_001_00000011.png"
    assert set(rows["subject"]) == set(rows["group"]) == {"S005"}
    assert set(rows["sequence"]) == {"S005/001"}


@pytest.mark.parametrize("code", range(8))
def test_every_code_maps_to_the_emotion_of_the_readme(tmp_path, code):
    names = ["neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
    add_labelled(tmp_path, "S010", "002", code)
    rows = by_id(CKPlus(tmp_path))
    assert rows.loc["S010/002/006", "label"] == names[code]
    assert rows.loc["S010/002/006", "native_label"] == str(code)


def test_frames_are_ordered_by_number_and_gaps_are_no_obstacle(tmp_path):
    stem = add_frames(tmp_path, "S011", "001", [12, 3, 7, 20, 5])
    add_text(tmp_path, "Emotion", stem, "5.0")
    assert list(by_id(CKPlus(tmp_path)).index) == [
        "S011/001/003",
        "S011/001/007",
        "S011/001/012",
        "S011/001/020",
    ]


def test_absent_and_empty_emotion_folders_both_mean_unlabelled(root):
    add_frames(root, "S005", "002", range(1, 6))
    add_frames(root, "S006", "001", range(1, 6))
    (root / "Emotion" / "S006" / "001").mkdir(parents=True)
    assert set(by_id(CKPlus(root))["sequence"]) == {"S005/001"}


def test_stray_files_are_ignored(root):
    folder = root / IMAGES / "S005" / "001"
    for name in (
        ".DS_Store",
        "Thumbs.db",
        "S005_001_11.png",
        "S006_001_00000012.png",
        "._S005_001_00000012.png",
    ):
        (folder / name).touch()
    (root / IMAGES / ".DS_Store").touch()
    (root / "Emotion" / "S005" / "001" / ".DS_Store").touch()
    assert len(CKPlus(root).index) == 4


@pytest.mark.parametrize(
    "images", ["extended-cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images"]
)
def test_the_newer_picture_folder_and_folders_named_after_archives_are_read(tmp_path, images):
    stem = add_frames(tmp_path, "S005", "001", range(1, 6), images)
    add_text(tmp_path / "Emotion_labels", "Emotion", stem, "1.0")
    rows = by_id(CKPlus(tmp_path))
    assert rows.loc["S005/001/005", "label"] == "anger"
    assert rows.loc["S005/001/005", "path"].startswith(f"{images}/S005")


def test_facs_units_stand_on_the_last_frame_whatever_their_intensity(root):
    stem = "S005_001_00000011"
    add_text(root, "FACS", stem, "   9.0e+00   4.0e+00\n   1.2000000e+01   0.0000000e+00\n4.0 1.0\n")
    index = CKPlus(root).index
    units = dict(zip(index["sample_id"], stack_au(index), strict=True))
    present = {u for u, value in zip(ACTION_UNITS, units["S005/001/011"], strict=True) if value == 1}
    assert present == {4, 12}
    assert set(units["S005/001/011"]) == {0, 1}
    assert (units["S005/001/010"] == -1).all()
    assert (units["S005/001/001"] == -1).all()


def test_an_empty_facs_file_means_coded_without_any_unit(root):
    add_text(root, "FACS", "S005_001_00000011", "")
    assert (by_id(CKPlus(root)).loc["S005/001/011", "au"] == 0).all()


def test_a_sequence_with_units_but_no_emotion_gives_its_last_frame_and_an_unlabelled_first(root):
    stem = add_frames(root, "S007", "003", range(1, 8))
    add_text(root, "FACS", stem, "1.0 2.0\n")
    rows = by_id(CKPlus(root)).query("subject == 'S007'")
    assert list(rows.index) == ["S007/003/001", "S007/003/007"]
    assert rows["label"].isna().all()
    assert rows["native_label"].isna().all()
    assert rows["is_neutral_frame"].tolist() == [True, False]
    assert rows.loc["S007/003/007", "au"][0] == 1
    assert rows.loc["S007/003/007", "reference_id"] == "S007/003/001"


def test_landmarks_are_read_where_a_frame_has_them(root):
    add_text(root, "Landmarks", "S005_001_00000011", points(0.5))
    dataset = CKPlus(root)
    rows = by_id(dataset)
    found = rows.loc["S005/001/011", "landmarks"]
    assert found.dtype == np.float32
    assert found.shape == (68, 2)
    assert found[3].tolist() == [3.5, 6.0]
    assert rows.loc["S005/001/010", "landmarks"] is None
    assert dataset.crop == "landmarks"


@pytest.mark.parametrize(("frames", "ids"), [(3, ["001", "002", "003"]), (2, ["001", "002"]), (1, ["001"])])
def test_short_sequences_use_no_frame_twice_and_are_noted(tmp_path, frames, ids):
    add_labelled(tmp_path, "S005", "001", 7, frames=frames)
    dataset = CKPlus(tmp_path)
    rows = by_id(dataset)
    assert [i.rsplit("/")[-1] for i in rows.index] == ids
    assert rows["label"].iloc[-1] == "surprise"
    assert any("1 sequences shorter than 4 frames: S005/001" in note for note in dataset.notes)
    if frames == 1:
        assert rows["reference_id"].isna().all()


def test_what_is_missing_is_noted(root):
    (root / IMAGES / "S008" / "001").mkdir(parents=True)
    add_text(root, "Emotion", "S009_001_00000004", "1.0")
    stem = add_frames(root, "S010", "001", range(1, 6))
    add_text(root, "Emotion", stem.replace("5", "6"), "1.0")
    dataset = CKPlus(root)
    assert len(dataset.index) == 8
    notes = "\n".join(dataset.notes)
    assert "1 sequences without a frame: S008/001" in notes
    assert "1 labelled sequences without pictures: S009/001" in notes
    assert "names another last frame: S010/001" in notes
    assert "the Landmarks folder is missing" in notes


@pytest.mark.parametrize("text", ["8.0", "-1", "3.5", "happy", "nan", "inf", "1.0 2.0"])
def test_a_bad_emotion_code_names_file_line_and_value(root, text):
    file = add_text(root, "Emotion", "S005_001_00000011", f"  {text}\n")
    with pytest.raises(DataError, match="whole number from 0 to 7") as caught:
        _ = CKPlus(root).index
    error = caught.value
    assert (error.file, error.line, error.value) == (file, 1, text)
    assert str(error.hint).endswith("fer-bench data verify --dataset ckplus")


def test_an_empty_emotion_file_and_a_second_line_are_refused(root):
    file = add_text(root, "Emotion", "S005_001_00000011", "")
    with pytest.raises(DataError, match="empty") as caught:
        _ = CKPlus(root).index
    assert caught.value.file == file
    file.write_text("3.0\n4.0\n")
    with pytest.raises(DataError, match="line 2"):
        _ = CKPlus(root).index


def test_two_emotion_files_of_one_sequence_are_refused(root):
    add_text(root, "Emotion", "S005_001_00000010", "1.0")
    with pytest.raises(DataError, match="more than one emotion file"):
        _ = CKPlus(root).index


@pytest.mark.parametrize(
    "text", ["1.0 2.0\n4.0\n", "1.0 2.0\nAU4 b\n", "1.0 2.0\n1.5 1.0\n", "1.0 2.0\n0 1\n"]
)
def test_a_bad_facs_line_names_file_line_and_value(root, text):
    file = add_text(root, "FACS", "S005_001_00000011", text)
    with pytest.raises(DataError, match="FACS line") as caught:
        _ = CKPlus(root).index
    assert (caught.value.file, caught.value.line) == (file, 2)
    assert caught.value.value == text.splitlines()[1]


@pytest.mark.parametrize(("text", "problem"), [("1.0 x\n", "line 1"), ("1.0 2.0\n" * 67, "found 67")])
def test_a_bad_landmark_file_is_refused(root, text, problem):
    add_text(root, "Landmarks", "S005_001_00000011", text)
    with pytest.raises(DataError, match=problem):
        _ = CKPlus(root).index


def test_a_link_out_of_the_root_is_refused_and_one_inside_is_not(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    add_labelled(root, "S005", "001", 3)
    add_labelled(outside, "S006", "001", 3)
    (root / IMAGES / "S006").symlink_to(outside / IMAGES / "S006")
    with pytest.raises(DataError, match="the path leaves the dataset root"):
        _ = CKPlus(root).index
    (root / IMAGES / "S006").unlink()
    frame = root / IMAGES / "S005" / "001" / "S005_001_00000006.png"
    frame.rename(frame.with_name("kept.png"))
    frame.symlink_to(frame.with_name("kept.png"))
    assert len(CKPlus(root).index) == 4


def test_pictures_without_the_emotion_folder_say_what_is_missing(tmp_path):
    add_frames(tmp_path, "S005", "001", range(1, 6))
    with pytest.raises(DataError, match=r"no Emotion folder.*\n.*Emotion_labels\.zip"):
        _ = CKPlus(tmp_path).index


def test_it_is_found_as_a_root_of_its_own_below_a_shared_one_and_nowhere_else(tmp_path):
    add_labelled(tmp_path / "shared" / "CK+", "S005", "001", 3)
    assert CKPlus(tmp_path / "shared").base == tmp_path / "shared" / "CK+"
    assert CKPlus(tmp_path / "shared" / "CK+").base == tmp_path / "shared" / "CK+"
    (tmp_path / "empty" / IMAGES).mkdir(parents=True)
    with pytest.raises(DataError, match="official layout"):
        CKPlus(tmp_path / "empty")


def test_grey_frames_are_decoded_to_three_channels(root):
    file = root / IMAGES / "S005" / "001" / "S005_001_00000011.png"
    cv2.imwrite(str(file), np.full((49, 64), 77, np.uint8))
    picture = CKPlus(root).load(file.relative_to(root).as_posix(), [-1])[0]
    assert picture.shape == (49, 64, 3)
    assert (picture == 77).all()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for position in range(23):
        add_labelled(tmp_path, f"S{10 + 3 * position:03d}", "001", 1 + position % 7)
    return tmp_path


def test_folds_are_dealt_over_labelled_subjects_only(many):
    protocol = find_protocol(CARD, None)
    before = CKPlus(many).index
    for subject in ("S001", "S012", "S050"):
        add_text(many, "FACS", add_frames(many, subject, "001", range(1, 6)), "1.0 1.0\n")
    after = CKPlus(many).index
    assert len(after) == len(before) + 6
    for fold in (1, 4, 10):
        old = dict(zip(before["sample_id"], assign_roles(before, CARD, protocol, fold), strict=True))
        new = dict(zip(after["sample_id"], assign_roles(after, CARD, protocol, fold), strict=True))
        assert {key: new[key] for key in old} == old
        assert {new[key] for key in new.keys() - old.keys()} == {""}
    ids = sorted(before["subject"].unique())
    tested = before["subject"][assign_roles(before, CARD, protocol, 4) == "test"]
    assert sorted(set(tested)) == ids[3::10]


@pytest.mark.parametrize("name", ["7-10fold", "7n-10fold", "7-4fold", "8-10fold-train9"])
def test_no_subject_crosses_and_neutral_frames_follow_the_label_set(many, name):
    index, protocol = CKPlus(many).index, find_protocol(CARD, name)
    roles = assign_roles(index, CARD, protocol, 2)
    used = index.assign(role=roles).query("role != ''")
    assert (used.groupby("subject")["role"].nunique() == 1).all()
    assert used["is_neutral_frame"].any() == ("neutral" in protocol.label_set)
    assert ("contempt" in set(used["label"])) == ("contempt" in protocol.label_set)


def test_as_a_target_labelled_rows_count_with_neutral_frames_but_those_of_contempt(many):
    add_text(many, "FACS", add_frames(many, "S001", "001", range(1, 6)), "1.0 1.0\n")
    index = CKPlus(many).index
    rows = index[target_rows(index, CARD, find_protocol(CARD, None))]
    contempt = index.loc[index["label"] == "contempt", "sequence"].nunique()
    assert contempt > 0
    assert rows["is_neutral_frame"].sum() == 23 - contempt
    assert (~rows["is_neutral_frame"]).sum() == 23 * 3
    assert len(index) == 23 * 4 + 2


def test_the_card_agrees_with_itself():
    per_class = [c.n for c in CARD.counts if c.unit == "sequences" and c.code is not None]
    total = next(c.n for c in CARD.counts if c.unit == "sequences" and c.code is None)
    assert sum(per_class) == sum(CARD.fold_sizes) == total
    assert len(CARD.fold_sizes) == 10


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The 327 labelled sequences of the facts: sequences of 118 subjects, 18 of them contempt."""
    sequences = (45, 18, 59, 25, 69, 28, 83)
    codes = [code for code, number in enumerate(sequences, start=1) for _ in range(number)]
    for at, code in enumerate(codes):
        add_labelled(tmp_path, f"S{at % 118:03d}", f"{at // 118 + 1:03d}", code)
    return tmp_path


def test_7n_leaves_out_the_neutral_frames_of_contempt_sequences_and_8_keeps_them(whole):
    dataset = CKPlus(whole)
    for name, total in (("7n-10fold", 309 * 4), ("8-10fold", 327 * 4), ("7-10fold", 327 * 3)):
        protocol = find_protocol(CARD, name)
        assert in_label_set(dataset.index, protocol).sum() == total
        tested = sum((dataset.roles(protocol, fold) == "test").sum() for fold in range(1, 11))
        assert tested == total
    assert target_rows(dataset.index, CARD, find_protocol(CARD, None)).sum() == 309 * 4 + 18 * 3


def test_split_hash_and_counts_do_not_depend_on_the_facs_archive(whole):
    without = freeze(CKPlus(whole))
    for session in ("007", "008"):  # sequences with action units and no emotion
        add_text(whole, "FACS", add_frames(whole, "S001", session, range(1, 6)), "9.0 4.0\n")
    with_units = freeze(CKPlus(whole))
    assert with_units.unlabelled == 2
    assert without.unlabelled == 0
    assert with_units.counts == without.counts
    assert with_units.hash == without.hash


def test_frames_of_a_converted_copy_and_a_nested_emotion_folder_are_read(root):
    before = CKPlus(root).index
    for frame in (root / IMAGES / "S005" / "001").iterdir():
        frame.rename(frame.with_suffix(".jpg"))
    (root / "Emotion").rename(root / "inner")
    (root / "Emotion").mkdir()
    (root / "inner").rename(root / "Emotion" / "Emotion")
    after = CKPlus(root).index
    assert after["sample_id"].tolist() == before["sample_id"].tolist()
    assert after["path"].str.endswith(".jpg").all()


def test_an_emotion_folder_without_sessions_is_told(tmp_path):
    add_frames(tmp_path, "S005", "001", range(1, 5))
    (tmp_path / "Emotion" / "labels").mkdir(parents=True)
    with pytest.raises(DataError, match="Emotion holds no folder such as S005/001"):
        _ = CKPlus(tmp_path).index


def test_without_a_usable_row_the_readers_own_notes_are_told(tmp_path):
    add_frames(tmp_path, "S005", "001", [])
    (tmp_path / "Emotion").mkdir()
    with pytest.raises(DataError, match=r"(?s)no usable row:.*without a frame: S005/001") as caught:
        _ = CKPlus(tmp_path).index
    assert "data verify" in str(caught.value)
