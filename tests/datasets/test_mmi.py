"""MMI downloads written by hand in the official layout, with its documented quirks planted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.index import stack_au
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.mmi import CARD, MMI
from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import DataError

DOWNLOAD = "mmi-facial-expression-database_download_2018-12-29_13_28_54"
FRONTAL, PROFILE, DUAL = "0", "1", "2"


def write_clip(file: Path, frames: int, width: int, height: int) -> None:
    """Write a clip whose frame n is 10 n bright, with a white patch in the stored top-left corner."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 24, (width, height))
    for number in range(frames):
        picture = np.full((height, width, 3), 10 * number, np.uint8)
        picture[: height // 4, : width // 4] = 255
        writer.write(picture)
    writer.release()


def add_session(
    root: Path,
    number: int,
    stem: str = "S035-004",
    *,
    view: str | None = FRONTAL,
    emotion: str | None = "3",
    frames: int = 9,
    size: tuple[int, int] = (64, 48),
    download: str = DOWNLOAD,
) -> Path:
    folder = root / download / "Sessions" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    if view is not None:
        text = f'<?xml version="1.0"?>\n<session sessionId="{number}">\n  <track type="Audio"/>\n'
        (folder / "session.xml").write_text(f'{text}  <track type="Video" view="{view}"/>\n</session>\n')
    write_clip(folder / f"{stem}.avi", frames, *size)
    tags = '  <Metatag Name="Comment" Value="2"/>\n'
    if emotion is not None:
        tags += f'  <Metatag Name="Emotion" Value="{emotion}"/>\n'
    (folder / f"{stem}.xml").write_text(f"<clip>\n{tags}</clip>\n")
    return folder


def add_coding(folder: Path, units: dict[str, list[tuple[int, int]]], stem: str = "S035-004") -> Path:
    lines = ["<clip>"]
    for unit, markers in units.items():
        lines.append(f'<ActionUnit Number="{unit}">')
        lines += [f'<Marker Frame="{frame}" Type="{kind}"/>' for frame, kind in markers]
        lines.append("</ActionUnit>")
    file = folder / f"{stem}-oao_aucs.xml"
    file.write_text("\n".join([*lines, "</clip>"]))
    return file


def by_id(dataset: MMI):
    return dataset.index.set_index("sample_id")


def frames_of(dataset: MMI) -> list[int]:
    return sorted(dataset.index["frame"][~dataset.index["is_neutral_frame"]])


def test_a_clip_gives_three_frames_around_its_middle_and_a_neutral_first(tmp_path):
    add_session(tmp_path, 1841)
    rows = by_id(MMI(tmp_path))
    clip = "1841/S035-004"
    assert list(rows.index) == [f"{clip}/000", f"{clip}/003", f"{clip}/004", f"{clip}/005"]
    assert list(rows["frame"]) == [0, 3, 4, 5]
    assert list(rows["label"]) == ["neutral", "fear", "fear", "fear"]
    assert rows["native_label"].isna().tolist() == [True, False, False, False]
    assert set(rows["native_label"].dropna()) == {"3"}
    assert set(rows["reference_id"]) == {f"{clip}/000"}
    assert set(rows["subject"]) == set(rows["group"]) == {"S035"}
    assert set(rows["sequence"]) == {clip}
    assert set(rows["variant"]) == {"frontal"}
    assert set(rows["path"]) == {f"{DOWNLOAD}/Sessions/1841/S035-004.avi"}
    assert (stack_au(MMI(tmp_path).index) == -1).all()


@pytest.mark.parametrize("code", range(1, 7))
def test_every_code_maps_to_its_emotion(tmp_path, code):
    names = ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]
    add_session(tmp_path, 7, emotion=str(code))
    assert set(MMI(tmp_path).index["label"]) == {"neutral", names[code - 1]}


def test_the_emotion_is_found_by_name_wherever_it_stands(tmp_path):
    folder = add_session(tmp_path, 7)
    text = '<clip><a><Metatag Name="Emotion" Value="05"/></a><Metatag Name="Other" Value="1"/></clip>'
    (folder / "S035-004.xml").write_text(text)
    assert set(MMI(tmp_path).index["native_label"].dropna()) == {"5"}


def test_clips_without_a_basic_emotion_give_no_row_and_are_counted(tmp_path):
    add_session(tmp_path, 1)
    add_session(tmp_path, 2, emotion="9")
    add_session(tmp_path, 3, emotion=None)
    (add_session(tmp_path, 4) / "S035-004.xml").unlink()
    dataset = MMI(tmp_path)
    assert set(dataset.index["sequence"]) == {"1/S035-004"}
    notes = "\n".join(dataset.notes)
    assert "1 clips without a basic emotion: 2/S035-004" in notes
    assert "2 clips without any emotion: 3/S035-004, 4/S035-004" in notes


def test_the_number_of_labelled_frontal_clips_is_reported_beside_the_papers(tmp_path):
    add_session(tmp_path, 1)
    add_session(tmp_path, 2, "S035-005")
    add_session(tmp_path, 3, "S036-001")
    add_session(tmp_path, 4, "S037-001", view=PROFILE)
    dataset = MMI(tmp_path)
    assert len(dataset.index) == 16
    assert dataset.notes[0].startswith("3 labelled frontal clips of 2 subjects (papers report 205 or 208")


def test_the_middle_of_the_coded_apex_is_taken(tmp_path):
    folder = add_session(tmp_path, 1, frames=20)
    add_coding(folder, {"12": [(1, 0), (4, 1), (11, 2), (16, 3), (19, 0)]})
    assert frames_of(MMI(tmp_path)) == [11, 12, 13]  # apex 11..15 counted from 1, its middle 13 is frame 12


def test_where_units_differ_the_apex_that_most_share_is_taken(tmp_path):
    folder = add_session(tmp_path, 1, frames=20)
    add_coding(folder, {"6": [(4, 2), (14, 3)], "12": [(10, 2), (13, 3)], "R14": [(2, 2), (4, 0)]})
    assert frames_of(MMI(tmp_path)) == [9, 10, 11]  # both at apex in 10..12 counted from 1


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ([(3, 2), (6, 3), (10, 2), (15, 3)], [10, 11, 12]),
        ([(3, 2), (8, 3), (10, 2), (13, 3)], [3, 4, 5]),
        ([(3, 2), (6, 3), (10, 2), (13, 3)], [2, 3, 4]),
    ],
)
def test_of_several_apexes_the_longest_is_taken_and_the_first_of_equals(tmp_path, markers, expected):
    add_coding(add_session(tmp_path, 1, frames=20), {"12": markers})
    assert frames_of(MMI(tmp_path)) == expected


def test_a_coded_apex_at_the_end_keeps_its_frames_inside_the_clip(tmp_path):
    folder = add_session(tmp_path, 1, frames=9)
    add_coding(folder, {"12": [(2, 1), (9, 2)]})
    assert frames_of(MMI(tmp_path)) == [6, 7, 8]


def test_a_coding_without_an_apex_in_the_clip_falls_back_and_says_so(tmp_path):
    folder = add_session(tmp_path, 1, frames=9)
    add_coding(folder, {"12": [(2, 1), (90, 2)]})
    dataset = MMI(tmp_path)
    assert frames_of(dataset) == [3, 4, 5]
    assert any("have no apex" in note and "1/S035-004" in note for note in dataset.notes)


def test_units_are_one_at_apex_zero_at_rest_or_unlisted_and_unknown_between(tmp_path):
    folder = add_session(tmp_path, 1, frames=9)
    units = {"12": [(2, 1), (4, 2), (7, 3)], "6": [(2, 1), (5, 2), (6, 3)], "4": [(9, 1)], "L1": [(1, 2)]}
    add_coding(folder, units)
    dataset = MMI(tmp_path)
    rows = by_id(dataset)
    assert frames_of(dataset) == [3, 4, 5]
    place = {unit: ACTION_UNITS.index(unit) for unit in (1, 4, 6, 12, 25)}
    seen = {unit: [int(rows["au"].iloc[r][at]) for r in range(4)] for unit, at in place.items()}
    assert seen == {
        12: [-1, 1, 1, 1],
        6: [-1, -1, 1, -1],
        4: [-1, 0, 0, 0],
        1: [-1, 0, 0, 0],
        25: [-1, 0, 0, 0],
    }


def test_a_clip_with_units_but_no_emotion_keeps_unlabelled_rows(tmp_path):
    add_coding(add_session(tmp_path, 1, emotion=None), {"12": [(3, 2), (6, 3)]})
    rows = by_id(MMI(tmp_path))
    assert len(rows) == 4
    assert rows["label"].isna().all()
    assert rows["native_label"].isna().all()
    assert rows["au"].iloc[2][ACTION_UNITS.index(12)] == 1


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(1, [(0, False)]), (2, [(0, True), (1, False)]), (3, [(0, True), (1, False), (2, False)])],
)
def test_short_clips_use_no_frame_twice(tmp_path, frames, expected):
    add_session(tmp_path, 1, frames=frames)
    index = MMI(tmp_path).index
    assert list(zip(index["frame"], index["is_neutral_frame"], strict=True)) == expected
    assert set(index["label"][~index["is_neutral_frame"]]) == {"fear"}


def test_dual_clips_give_both_halves_as_rows_of_their_own(tmp_path):
    add_session(tmp_path, 5, view=DUAL, size=(72, 58))
    index = MMI(tmp_path).index
    assert index.groupby("variant").size().to_dict() == {"dual-left": 4, "dual-right": 4}
    boxes = {v: set(b) for v, b in index.groupby("variant")["box"]}
    assert boxes == {"dual-left": {(0.0, 0.0, 36.0, 58.0)}, "dual-right": {(36.0, 0.0, 72.0, 58.0)}}
    right = index[index["variant"] == "dual-right"]
    assert right["sample_id"].tolist()[0] == "5/S035-004/000-right"
    assert set(right["reference_id"]) == {"5/S035-004/000-right"}


@pytest.mark.parametrize(
    ("view", "size", "shape", "corner"),
    [
        (FRONTAL, (64, 480), (480, 64), "top left"),
        (FRONTAL, (96, 64), (96, 64), "top right"),
        (PROFILE, (96, 64), (96, 64), "bottom left"),
        (PROFILE, (64, 480), (64, 480), "bottom left"),
        (DUAL, (96, 64), (64, 96), "top left"),
    ],
)
def test_frames_are_decoded_upright(tmp_path, view, size, shape, corner):
    add_session(tmp_path, 1, view=view, size=size)
    dataset = MMI(tmp_path)
    picture = dataset.load(dataset.index["path"].iloc[0], [2])[0]
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.uint8
    assert picture.flags["C_CONTIGUOUS"]
    corners = {
        "top left": picture[2, 2],
        "top right": picture[2, -3],
        "bottom left": picture[-3, 2],
        "bottom right": picture[-3, -3],
    }
    assert [name for name, value in corners.items() if value.mean() > 200] == [corner]


def test_wanted_frames_come_in_the_wanted_order(tmp_path):
    add_session(tmp_path, 1, frames=9)
    dataset = MMI(tmp_path)
    pictures = dataset.load(dataset.index["path"].iloc[0], [5, 0, 8, 5])
    assert [round(float(np.median(p)) / 10) for p in pictures] == [5, 0, 8, 5]


def test_colours_are_rgb(tmp_path):
    folder = add_session(tmp_path, 1, view=DUAL)
    writer = cv2.VideoWriter(str(folder / "S035-004.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 24, (64, 48))
    for _ in range(4):
        writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    dataset = MMI(tmp_path)
    red, green, blue = dataset.load(dataset.index["path"].iloc[0], [1])[0][20, 30]
    assert red > 200
    assert max(green, blue) < 60


def test_a_frame_beyond_the_clip_and_a_missing_clip_are_refused(tmp_path):
    add_session(tmp_path, 1, frames=4)
    dataset = MMI(tmp_path)
    path = dataset.index["path"].iloc[0]
    with pytest.raises(DataError, match=r"S035-004\.avi.*cannot be decoded up to this frame \(found 40\)"):
        dataset.load(path, [1, 40])
    (dataset.base / path).unlink()
    with pytest.raises(DataError, match="the clip is missing"):
        dataset.load(path, [1])


def test_a_clip_that_does_not_open_is_named_and_skipped(tmp_path):
    add_session(tmp_path, 1)
    (add_session(tmp_path, 2) / "S035-004.avi").write_bytes(b"RIFF nothing")
    dataset = MMI(tmp_path)
    assert set(dataset.index["sequence"]) == {"1/S035-004"}
    assert "1 clips do not open and are skipped: 2/S035-004" in dataset.notes


def test_a_labelled_still_picture_gives_one_row(tmp_path):
    folder = add_session(tmp_path, 8)
    (folder / "S035-004.avi").unlink()
    cv2.imwrite(str(folder / "S035-004.jpg"), np.full((48, 64, 3), 50, np.uint8))
    dataset = MMI(tmp_path)
    assert len(dataset.index) == 1
    row = dataset.index.iloc[0]
    assert (row["sample_id"], row["frame"], row["label"]) == ("8/S035-004", -1, "fear")
    assert not row["is_neutral_frame"]
    assert dataset.load(row["path"], [-1])[0].shape == (48, 64, 3)


def test_sessions_without_a_single_view_are_noted_and_skipped(tmp_path):
    add_session(tmp_path, 1)
    add_session(tmp_path, 2, view=None)
    folder = add_session(tmp_path, 3)
    (folder / "session.xml").write_text('<s><track view="0"/><track view="1"/></s>')
    dataset = MMI(tmp_path)
    assert set(dataset.index["sequence"]) == {"1/S035-004"}
    assert any(note.startswith("2 sessions skipped") and note.endswith(": 2, 3") for note in dataset.notes)


def test_malformed_xml_names_file_and_line(tmp_path):
    folder = add_session(tmp_path, 1)
    (folder / "session.xml").write_text('<session>\n<track view="0">\n</session>\n')
    with pytest.raises(DataError, match="malformed XML: mismatched tag") as caught:
        _ = MMI(tmp_path).index
    assert (caught.value.file, caught.value.line) == (folder / "session.xml", 3)
    (folder / "session.xml").write_text("")
    with pytest.raises(DataError, match="malformed XML"):
        _ = MMI(tmp_path).index


def test_unknown_values_name_file_line_and_value(tmp_path):
    folder = add_session(tmp_path, 1, emotion="joy")
    with pytest.raises(DataError, match="Emotion value") as caught:
        _ = MMI(tmp_path).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (folder / "S035-004.xml", 3, "joy")
    folder = add_session(tmp_path, 1, view="4")
    with pytest.raises(DataError, match="a view is 0, 1 or 2") as caught:
        _ = MMI(tmp_path).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (folder / "session.xml", 4, "4")
    folder = add_session(tmp_path, 1)
    file = add_coding(folder, {"12": [(3, 2), (5, 4)]})
    with pytest.raises(DataError, match="Type is 0 to 3") as caught:
        _ = MMI(tmp_path).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, 4, 4)
    add_coding(folder, {"12": [(0, 2)]})
    with pytest.raises(DataError, match="marker's Frame"):
        _ = MMI(tmp_path).index


@pytest.mark.parametrize("place", ["", DOWNLOAD, f"{DOWNLOAD}/Sessions"])
def test_the_sessions_folder_is_found_at_any_of_its_depths(tmp_path, place):
    add_session(tmp_path / "mmi", 1)
    assert len(MMI(tmp_path / "mmi" / place).index) == 4
    assert len(MMI(tmp_path).index) == 4


def test_several_downloads_are_read_and_a_session_in_two_of_them_once(tmp_path):
    add_session(tmp_path, 1, download="mmi-facial-expression-database_subject1")
    add_session(tmp_path, 2, download="mmi-facial-expression-database_subject1")
    add_session(tmp_path, 2, download="mmi-facial-expression-database_subject2")
    dataset = MMI(tmp_path)
    assert sorted(set(dataset.index["sequence"])) == ["1/S035-004", "2/S035-004"]
    assert any("more than one download" in note and note.endswith(": 2") for note in dataset.notes)


def test_a_folder_named_sessions_with_anything_else_is_not_mmi(tmp_path):
    (tmp_path / "Sessions" / "monday").mkdir(parents=True)
    with pytest.raises(DataError, match="official layout"):
        MMI(tmp_path)


def test_a_link_out_of_the_root_is_refused(tmp_path):
    root = tmp_path / "root"
    add_session(root, 1)
    outside = add_session(tmp_path / "outside", 2)
    (root / DOWNLOAD / "Sessions" / "2").symlink_to(outside)
    with pytest.raises(DataError, match="the path leaves the dataset root"):
        _ = MMI(root).index


def test_the_protocol_takes_frontal_clips_and_keeps_subjects_whole(tmp_path):
    for number in range(1, 13):
        add_session(
            tmp_path, number, f"S{number:03d}-001", emotion=str(1 + number % 6), frames=5, size=(16, 16)
        )
        add_session(tmp_path, 100 + number, f"S{number:03d}-002", view=DUAL, frames=5, size=(16, 16))
    index, protocol = MMI(tmp_path).index, find_protocol(CARD, None)
    used = index.assign(role=assign_roles(index, CARD, protocol, 2)).query("role != ''")
    assert set(used["variant"]) == {"frontal"}
    assert not used["is_neutral_frame"].any()
    assert (used.groupby("subject")["role"].nunique() == 1).all()
    assert sorted(used.query("role == 'test'")["subject"].unique()) == ["S002", "S012"]
