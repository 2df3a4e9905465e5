from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.rafdb import RAFDB
from fer_bench.errors import DataError

POINTS = ((40.5, 50.0), (80.0, 51.0), (60.0, 70.0), (45.0, 90.0), (75.0, 91.0))
BOX = "20.5 30.0 100.0 120.0"


def write_tree(
    root: Path,
    *,
    per_class: tuple[int, int] = (4, 2),
    listed_as: str = "list_patition_label.txt",
    pictures: str = "aligned",
    manual: bool = True,
    boxes: bool = True,
) -> Path:
    """Write a small RAF-DB, `per_class` pictures per class in train and test; return its basic folder."""
    base = root / "basic"
    for folder in ("EmoLabel", f"Image/{pictures}", "Annotation/manual", "Annotation/boundingbox"):
        (base / folder).mkdir(parents=True)
    lines = []
    for split, digits, n in (("train", 5, per_class[0]), ("test", 4, per_class[1])):
        for i in range(7 * n):
            stem = f"{split}_{i + 1:0{digits}d}"
            lines.append(f"{stem}.jpg {i % 7 + 1}")
            (base / "Image" / pictures / f"{stem}{'_aligned' if pictures == 'aligned' else ''}.jpg").touch()
            if manual:
                points = "\n".join(f"{x}\t{y}" for x, y in POINTS)
                text = f"{points}\n{i % 3}\n{(i + 1) % 3}\n{i % 5}\n"
                (base / "Annotation" / "manual" / f"{stem}_manu_attri.txt").write_text(text)
            if boxes:
                (base / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt").write_text(BOX + " ")
    (base / "EmoLabel" / listed_as).write_text("\n".join(lines))
    for kind, present in (("manual", manual), ("boundingbox", boxes)):
        if not present:
            (base / "Annotation" / kind).rmdir()
    return base


def replace_line(base: Path, number: int, text: str) -> Path:
    file = base / "EmoLabel" / "list_patition_label.txt"
    lines = file.read_text().splitlines()
    lines[number - 1] = text
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize("listed_as", ["list_patition_label.txt", "list_partition_label.txt"])
@pytest.mark.parametrize("where", ["own", "parent", "data root"])
def test_found_under_every_spelling_and_nesting(tmp_path: Path, listed_as: str, where: str) -> None:
    base = write_tree(tmp_path / "RAF-DB", listed_as=listed_as)
    root = {"own": base, "parent": base.parent, "data root": tmp_path}[where]
    assert RAFDB(root).base == base


def test_aligned_rows_have_attributes_and_no_coordinates(tmp_path: Path) -> None:
    index = RAFDB(write_tree(tmp_path)).index.set_index("sample_id")
    assert len(index) == 7 * 6
    row = index.loc["train_00005"]
    assert (row["path"], row["native_label"], row["label"]) == (
        "Image/aligned/train_00005_aligned.jpg",
        "5",
        "sadness",
    )
    assert (row["split"], row["gender"], row["race"], row["age"]) == ("train", "female", "Asian", "70+")
    assert index.loc["test_0001", "split"] == "test"
    assert index["box"].isna().all()
    assert index["landmarks"].isna().all()


def test_originals_have_box_and_landmarks(tmp_path: Path) -> None:
    dataset = RAFDB(write_tree(tmp_path, pictures="original"))
    row = dataset.index.set_index("sample_id").loc["test_0003"]
    assert row["path"] == "Image/original/test_0003.jpg"
    assert row["box"] == (20.5, 30.0, 100.0, 120.0)
    np.testing.assert_allclose(row["landmarks"], POINTS)
    assert dataset.crop == "box"


def test_aligned_faces_are_preferred_and_taken_whole(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    (base / "Image" / "original").mkdir()
    dataset = RAFDB(base)
    assert dataset.index["path"].str.startswith("Image/aligned/").all()
    assert dataset.crop == "whole"


def test_annotations_are_optional(tmp_path: Path) -> None:
    dataset = RAFDB(write_tree(tmp_path, pictures="original", manual=False, boxes=False))
    assert dataset.index[["gender", "race", "age", "box", "landmarks"]].isna().all(axis=None)
    assert any("detected in the originals" in note for note in dataset.notes)


def test_unreadable_attributes_are_left_out_and_noted(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    file = base / "Annotation" / "manual" / "train_00001_manu_attri.txt"
    file.write_text("\n".join(["1 2"] * 5 + ["1", "9", "2"]))
    dataset = RAFDB(base)
    row = dataset.index.set_index("sample_id").loc["train_00001"]
    assert (row["gender"], row["age"]) == ("female", "20-39")
    assert row[["race"]].isna().all()
    assert dataset.notes == ["1 attribute files are not as documented: train_00001_manu_attri.txt"]


def test_a_missing_attribute_file_is_noted(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    (base / "Annotation" / "manual" / "test_0001_manu_attri.txt").unlink()
    dataset = RAFDB(base)
    assert len(dataset.index) == 7 * 6
    assert dataset.notes == ["1 pictures have no file in manual: test_0001_manu_attri.txt"]


def test_windows_line_ends_and_mark(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    file = base / "EmoLabel" / "list_patition_label.txt"
    before = RAFDB(base).index
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert RAFDB(base).index.equals(before)


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("train_00003.jpg", "train_00003.jpg", "a picture name and a code"),
        ("train_00003.jpg 3 4", "train_00003.jpg 3 4", "a picture name and a code"),
        ("train_00003.jpg 8", "8", "not one of 1 to 7"),
        ("train_00003.jpg 0", "0", "not one of 1 to 7"),
        ("train_00003.jpg 12", "12", "not one of 1 to 7"),
        ("valid_00003.jpg 3", "valid_00003.jpg", "train_<number>"),
        ("train_00001.jpg 3", "train_00001.jpg", "line 1 already"),
        ("../train_00003.jpg 3", "../train_00003.jpg", "leaves the dataset root"),
        ("/train_00003.jpg 3", "/train_00003.jpg", "leaves the dataset root"),
        ("", "", "a picture name and a code"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, value: str, message: str) -> None:
    base = write_tree(tmp_path)
    file = replace_line(base, 3, text)
    with pytest.raises(DataError, match=message) as caught:
        _ = RAFDB(base).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, 3, value)


def test_missing_pictures_are_counted(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    for number in (2, 7):
        (base / "Image" / "aligned" / f"train_{number:05d}_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"2 listed pictures are missing .*'train_00002_aligned\.jpg'"):
        _ = RAFDB(base).index


def test_a_picture_that_links_out_is_refused(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    outside = tmp_path / "outside.jpg"
    outside.touch()
    picture = base / "Image" / "aligned" / "train_00002_aligned.jpg"
    picture.unlink()
    picture.symlink_to(outside)
    with pytest.raises(DataError, match="leaves the dataset root") as caught:
        _ = RAFDB(base).index
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20 30 100", "four numbers"),
        ("20 30 100 x", "four numbers"),
        ("20 30 20 120", "with an area"),
        ("20 30 nan 120", "with an area"),
        ("200 300 260 360", "five manual landmarks"),
        ("51 20.5 91 100", "five manual landmarks"),
    ],
)
def test_bad_boxes_are_named(tmp_path: Path, text: str, message: str) -> None:
    base = write_tree(tmp_path, pictures="original")
    file = base / "Annotation" / "boundingbox" / "train_00004_boundingbox.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        _ = RAFDB(base).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, 1, text)


def test_a_missing_box_is_refused(tmp_path: Path) -> None:
    base = write_tree(tmp_path, pictures="original")
    (base / "Annotation" / "boundingbox" / "train_00004_boundingbox.txt").unlink()
    with pytest.raises(
        DataError, match=r"1 pictures have no file here, first 'train_00004_boundingbox\.txt'"
    ):
        _ = RAFDB(base).index


def test_a_foreign_tree_is_not_taken_for_rafdb(tmp_path: Path) -> None:
    (tmp_path / "basic" / "EmoLabel").mkdir(parents=True)
    (tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt").write_text("train_00001.jpg 1")
    with pytest.raises(DataError, match="official layout"):
        RAFDB(tmp_path)


def test_protocol_carves_a_tenth_of_every_class(tmp_path: Path) -> None:
    dataset = RAFDB(write_tree(tmp_path, per_class=(20, 3)))
    index, card = dataset.index, dataset.card
    index = index.assign(role=assign_roles(index, card, find_protocol(card, None)))
    assert (index["role"].eq("test") == index["split"].eq("test")).all()
    by_class = index.groupby(["role", "label"]).size().unstack("role")
    assert (by_class == {"train": 18, "val": 2, "test": 3}).all(axis=None)
    assert len(by_class) == 7


def test_load_decodes_the_aligned_face(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    face = np.zeros((100, 100, 3), np.uint8)
    face[..., 2] = 255  # red, as OpenCV orders channels
    cv2.imwrite(str(base / "Image" / "aligned" / "train_00001_aligned.jpg"), face)
    (image,) = RAFDB(base).load("Image/aligned/train_00001_aligned.jpg", [-1])
    assert image.shape == (100, 100, 3)
    assert image[50, 50, 0] > 240
    assert image[50, 50, 2] < 20


def test_card_counts_add_up() -> None:
    counts = {(c.split, c.code): c.n for c in RAFDB.card.counts}
    for split in ("train", "test"):
        assert sum(counts[split, str(code)] for code in range(1, 8)) == counts[split, None]


@pytest.mark.parametrize("where", ["parent", "data root"])
def test_the_compound_part_is_not_taken_for_the_basic_one(tmp_path: Path, where: str) -> None:
    compound = write_tree(tmp_path / "RAF-DB")
    compound = compound.rename(compound.with_name("compound"))
    basic = write_tree(tmp_path / "RAF-DB")
    assert RAFDB({"parent": basic.parent, "data root": tmp_path}[where]).base == basic
    with pytest.raises(DataError, match="official layout"):
        RAFDB(compound)


@pytest.mark.parametrize("pictures", ["aligned", "original"])
def test_an_absent_picture_is_left_out_by_name(tmp_path: Path, pictures: str) -> None:
    base = write_tree(tmp_path, pictures=pictures)
    suffix = "_aligned" if pictures == "aligned" else ""
    names = [f"Image/{pictures}/{stem}{suffix}.jpg" for stem in ("train_00002", "test_0003")]
    for name in names:
        (base / name).unlink()
    with pytest.raises(DataError, match="2 listed pictures are missing") as caught:
        _ = RAFDB(base).index
    assert "--write-exclude FILE" in str(caught.value)
    with pytest.raises(DataError, match="1 listed picture is missing"):
        RAFDB(base).leave_out(names[:1])
    dataset = RAFDB(base)
    assert dataset.leave_out(names) == 2
    assert len(dataset.index) == 40
    assert dataset.notes[-1] == "2 row(s) left out by name"


def test_an_original_without_a_box_is_left_out_by_name(tmp_path: Path) -> None:
    base = write_tree(tmp_path, pictures="original")
    (base / "Annotation" / "boundingbox" / "train_00002_boundingbox.txt").unlink()
    with pytest.raises(DataError, match="1 pictures have no file here"):
        _ = RAFDB(base).index
    dataset = RAFDB(base)
    assert dataset.leave_out(["Image/original/train_00002.jpg"]) == 1
    assert len(dataset.index) == 41


def test_names_with_backslashes_and_other_endings_are_found(tmp_path: Path) -> None:
    base = write_tree(tmp_path)
    replace_line(base, 2, ".\\train_00002.jpg 2")
    for file in (base / "Image" / "aligned").glob("train_0000?_aligned.jpg"):
        file.rename(file.with_suffix(".PNG"))
    index = RAFDB(base).index.set_index("sample_id")
    assert len(index) == 42
    assert index.loc["train_00002", "path"] == "Image/aligned/train_00002_aligned.PNG"
