"""ABAW3 per-task lists written by hand: one file per video and task, line i for frame i."""

from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.abaw3 import ABAW3Affect, ABAW3Expression, ABAW3Units
from fer_bench.datasets.affwild2 import AffWild2
from fer_bench.errors import DataError
from fer_bench.workspace.sources import find_roots, open_source

OUTER = "3rd ABAW Annotations/Third ABAW Annotations"
FOLDERS = {
    "expr": "EXPR_Classification_Challenge",
    "va": "VA_Estimation_Challenge",
    "au": "AU_Detection_Challenge",
}
HEADERS = {
    "expr": "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
    "va": "valence,arousal",
    "au": "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",
}
UNITS = "0,1,0,0,0,0,1,0,0,0,0,-1"
NO_UNITS = ",".join(["-1"] * 12)


def add(
    root: Path, track: str, part: str, video: str, lines: list[str], *, outer: str = OUTER, end="\n"
) -> Path:
    file = root / outer / FOLDERS[track] / part / f"{video}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((end.join([HEADERS[track], *lines]) + end).encode())
    return file


def add_pictures(root: Path, video: str, numbers) -> None:
    folder = root / "cropped_aligned" / video
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:05d}.jpg").touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add(tmp_path, "expr", "Train_Set", "v1", ["0", "-1", "4", "7", "6"])
    add(tmp_path, "expr", "Validation_Set", "v2_left", ["1", "2"])
    add(tmp_path, "va", "Train_Set", "v1", ["0.5,-0.5", "-5,-5", "-5,0.1", "0.1,0.2", "0.3,0.3", "1,1"])
    add(tmp_path, "va", "Validation_Set", "v9", ["0,0"])
    add(tmp_path, "au", "Train_Set", "v1", [UNITS, UNITS, NO_UNITS])
    add(tmp_path, "au", "Validation_Set", "v8", [UNITS])
    for video, numbers in (("v1", (1, 2, 3, 5, 6)), ("v2_left", (1, 2)), ("v8", (1,)), ("v9", (1,))):
        add_pictures(tmp_path, video, numbers)
    return tmp_path


def test_line_i_is_frame_i_and_frames_without_a_picture_are_counted(root: Path) -> None:
    dataset = ABAW3Expression(root)
    index = dataset.index.set_index("sample_id")
    assert list(index.index) == ["v1/00001", "v1/00003", "v1/00005", "v2_left/00001", "v2_left/00002"]
    assert index["label"].tolist() == ["neutral", "happiness", "surprise", "anger", "disgust"]
    assert index.loc["v1/00005", "path"] == "cropped_aligned/v1/00005.jpg", "joined by number, not by order"
    assert index["split"].tolist() == ["train"] * 3 + ["val"] * 2
    assert index.loc["v2_left/00001", "group"] == "v2"
    assert "1 annotated frames have no picture and are left out: v1/00004" in dataset.notes


def test_labels_of_the_other_tracks_join_by_frame(root: Path) -> None:
    index = ABAW3Expression(root).index.set_index("sample_id")
    assert (index.loc["v1/00001", "valence"], index.loc["v1/00001", "arousal"]) == (0.5, -0.5)
    assert np.isnan(index.loc["v1/00003", "arousal"]), "both or none"
    assert index.loc["v1/00001", "au"].tolist() == [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1]
    assert (index.loc["v1/00005", "au"] == -1).all(), "the units' list is shorter"
    assert index.loc["v2_left/00001", ["valence", "arousal"]].isna().all()


def test_the_track_decides_the_frames(root: Path) -> None:
    va = ABAW3Affect(root).index.set_index("sample_id")
    assert list(va.index) == ["v1/00001", "v1/00005", "v1/00006", "v9/00001"]
    assert va.loc["v1/00005", "label"] == "surprise"
    assert va.loc[["v1/00006"], "label"].isna().all()
    assert list(ABAW3Units(root).index["sample_id"]) == ["v1/00001", "v1/00002", "v8/00001"]


def test_the_reference_is_the_nearest_frame_that_the_expression_track_calls_neutral(root: Path) -> None:
    index = ABAW3Affect(root).index.set_index("sample_id")
    assert index.loc[["v1/00001", "v1/00005", "v1/00006"], "reference_id"].tolist() == ["v1/00001"] * 3
    assert index.loc[["v9/00001"], "reference_id"].isna().all()
    (root / "cropped_aligned" / "v1" / "00001.jpg").unlink()
    assert ABAW3Affect(root).index["reference_id"].isna().all(), "a frame without a picture is no reference"


@pytest.mark.parametrize("video", ["v1", "v1_right"])
def test_training_videos_that_another_track_validates_on_are_left_out(root: Path, video: str) -> None:
    add(root, "expr", "Train_Set", "v3", ["3"])
    add_pictures(root, "v3", (1,))
    add(root, "au", "Validation_Set", video, [UNITS])
    (root / OUTER / FOLDERS["au"] / "Train_Set" / "v1.txt").unlink()
    dataset = ABAW3Expression(root)
    assert set(dataset.index["sequence"]) == {"v3", "v2_left"}
    assert any(
        note.startswith("1 training videos are validation videos of a track") and note.endswith("v1")
        for note in dataset.notes
    )


def test_a_track_works_alone_and_says_what_is_missing(tmp_path: Path) -> None:
    add(tmp_path, "expr", "Train_Set", "v1", ["0"], outer="")
    add(tmp_path, "expr", "Validation_Set", "v2", ["1"], outer="")
    add_pictures(tmp_path, "v1", (1,))
    add_pictures(tmp_path, "v2", (1,))
    dataset = ABAW3Expression(tmp_path)
    assert len(dataset.index) == 2
    assert any("VA_Estimation_Challenge, AU_Detection_Challenge" in note for note in dataset.notes)
    with pytest.raises(DataError, match="looks like abaw3expr instead"):
        open_source("abaw3va", find_roots(str(tmp_path)))


def test_a_listed_video_without_any_frame_is_an_error_unless_it_is_left_out_by_name(root: Path) -> None:
    moved = root / "cropped_aligned_new_50_vids" / "v2_left"
    moved.parent.mkdir()
    (root / "cropped_aligned" / "v2_left").rename(moved)
    assert ABAW3Expression(root).index["path"].tolist()[-1] == "cropped_aligned_new_50_vids/v2_left/00002.jpg"
    add(root, "expr", "Train_Set", "v3", ["0", "1"])
    with pytest.raises(DataError, match=r"1 of 3 listed videos have no picture, so 2 of 8") as caught:
        _ = ABAW3Expression(root).index
    assert "cropped_aligned_new_50_vids" in str(caught.value)
    dataset = ABAW3Expression(root)
    assert dataset.leave_out(["cropped_aligned/v3"]) == 0
    assert len(dataset.index) == 5
    assert dataset.notes[-1] == "1 absent file(s) or folder(s) left out by name"


def test_windows_line_ends_change_nothing(root: Path) -> None:
    before = ABAW3Expression(root).index
    add(root, "expr", "Train_Set", "v1", ["0", "-1", "4", "7", "6"], end="\r\n")
    assert ABAW3Expression(root).index["label"].tolist() == before["label"].tolist()


@pytest.mark.parametrize(
    ("track", "reader", "text", "message"),
    [
        ("expr", ABAW3Expression, "8", "one expression from 0 to 7"),
        ("expr", ABAW3Expression, "1.5", "one expression from 0 to 7"),
        ("expr", ABAW3Expression, "0,1", "one expression from 0 to 7"),
        ("expr", ABAW3Expression, "happy", "not a number"),
        ("va", ABAW3Affect, "0.5", "valence and arousal"),
        ("va", ABAW3Affect, "1.5,0", "valence and arousal"),
        ("va", ABAW3Affect, "nan,0", "valence and arousal"),
        ("au", ABAW3Units, UNITS.replace("1", "2", 1), "12 action units"),
        ("au", ABAW3Units, "0,1", "12 action units"),
    ],
)
def test_malformed_lines_are_named(root: Path, track: str, reader, text: str, message: str) -> None:
    file = root / OUTER / FOLDERS[track] / "Train_Set" / "v1.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], text]))
    with pytest.raises(DataError, match=message) as caught:
        _ = reader(root).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, 3, text)


def test_the_header_of_another_track_is_refused(root: Path) -> None:
    file = root / OUTER / FOLDERS["expr"] / "Train_Set" / "v1.txt"
    file.write_text("valence,arousal\n0.1,0.2\n")
    with pytest.raises(DataError, match="header is not that of expression") as caught:
        _ = ABAW3Expression(root).index
    assert (caught.value.file, caught.value.line) == (file, 1)


def test_a_video_in_both_parts_of_a_track_is_refused(root: Path) -> None:
    add(root, "expr", "Validation_Set", "v1", ["0"])
    with pytest.raises(DataError, match="training part too"):
        _ = ABAW3Expression(root).index


def test_the_protocol_carves_whole_videos(tmp_path: Path) -> None:
    for video in range(12):
        for side in ("_left", "_right"):
            add(tmp_path, "expr", "Train_Set", f"w{video}{side}", [str(i % 8) for i in range(16)])
            add_pictures(tmp_path, f"w{video}{side}", range(1, 17))
    add(tmp_path, "expr", "Validation_Set", "x", ["0", "1"])
    add_pictures(tmp_path, "x", (1, 2))
    dataset = ABAW3Expression(tmp_path)
    roles = assign_roles(dataset.index, dataset.card, find_protocol(dataset.card, None))
    index = dataset.index.assign(role=roles)
    assert (index.groupby("group")["role"].nunique() == 1).all()
    assert index["role"].value_counts()["test"] == 2
    assert index["role"].value_counts()["val"] >= 32


def test_the_multi_task_lists_of_abaw3_are_read_as_affwild2(tmp_path: Path) -> None:
    place = tmp_path / OUTER / "MTL_Challenge"
    place.mkdir(parents=True)
    header = "image,valence,arousal,expression,aus"
    (place / "train_set.txt").write_text(f"{header}\nv1/00001.jpg,0.1,0.2,4,{UNITS}\n")
    (place / "validation_set.txt").write_text(f"{header}\nv2/00001.jpg,0.1,0.2,0,{UNITS}\n")
    add_pictures(tmp_path, "v1", (1,))
    add_pictures(tmp_path, "v2", (1,))
    index = AffWild2(tmp_path).index
    assert index[["label", "split"]].values.tolist() == [["happiness", "train"], ["neutral", "val"]]
