from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, target_rows
from fer_bench.datasets.affectnet import AffectNet7
from fer_bench.errors import DataError

POINTS = np.arange(136, dtype=float).reshape(68, 2) + 0.25


def save(folder: Path, name: str, value: Any) -> None:
    np.save(folder / "annotations" / name, np.array(value))


def write_face(
    folder: Path, number: int, expression: Any, valence: Any = "0.5", arousal: Any = "-0.25", lnd: Any = None
) -> None:
    """Write one crop with its four annotations as 0-d string arrays."""
    (folder / "images" / f"{number}.jpg").touch()
    save(folder, f"{number}_exp.npy", str(expression))
    save(folder, f"{number}_val.npy", valence)
    save(folder, f"{number}_aro.npy", arousal)
    save(folder, f"{number}_lnd.npy", ";".join(map(str, POINTS.ravel())) if lnd is None else lnd)


def write_tree(root: Path, *, per_class: tuple[int, int] = (3, 1), val_name: str = "val_set") -> Path:
    """Write a small AffectNet of eight classes; numbers have gaps and repeat across the two sets."""
    for name, n in (("train_set", per_class[0]), (val_name, per_class[1])):
        folder = root / name
        (folder / "images").mkdir(parents=True)
        (folder / "annotations").mkdir()
        for i in range(8 * n):
            write_face(folder, 3 * i, i % 8)
    return root


@pytest.mark.parametrize("val_name", ["val_set", "valid_set"])
def test_rows_of_both_sets(tmp_path: Path, val_name: str) -> None:
    index = AffectNet7(write_tree(tmp_path, val_name=val_name)).index.set_index("sample_id")
    assert len(index) == 32
    row = index.loc["train/15"]
    assert (row["native_label"], row["label"], row["split"]) == ("5", "disgust", "train")
    assert row["path"] == row["group"] == "train_set/images/15.jpg"
    assert (row["valence"], row["arousal"]) == (0.5, -0.25)
    np.testing.assert_allclose(row["landmarks"], POINTS)
    assert index.loc["val/21", "label"] == "contempt"
    assert index.loc["val/21", "path"] == f"{val_name}/images/21.jpg"
    assert index["box"].isna().all()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("-2", np.nan), ("-2.0", np.nan), (-2.0, np.nan), ("-1", -1.0), (0.125, 0.125), (np.float32(1), 1.0)],
)
def test_affect_is_cast_and_masked(tmp_path: Path, value: Any, expected: float) -> None:
    root = write_tree(tmp_path)
    save(root / "train_set", "0_val.npy", value)
    row = AffectNet7(root).index.set_index("sample_id").loc["train/0"]
    assert row["valence"] == pytest.approx(expected, nan_ok=True)
    assert row["arousal"] == -0.25


@pytest.mark.parametrize(
    "lnd",
    [
        POINTS,
        POINTS.ravel(),
        " ".join(map(str, POINTS.ravel())),
        POINTS.astype(np.float32),
        POINTS.astype(str),
    ],
    ids=["2-d", "flat", "blanks", "float32", "strings"],
)
def test_landmarks_in_every_storage(tmp_path: Path, lnd: Any) -> None:
    root = write_tree(tmp_path)
    save(root / "train_set", "0_lnd.npy", lnd)
    np.testing.assert_allclose(
        AffectNet7(root).index.set_index("sample_id").loc["train/0", "landmarks"], POINTS
    )


def test_another_npy_format_version_is_read(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    with (root / "train_set" / "annotations" / "0_exp.npy").open("wb") as stream:
        np.lib.format.write_array(stream, np.array("6"), version=(2, 0))
    assert AffectNet7(root).index.set_index("sample_id").loc["train/0", "label"] == "anger"


def test_classes_of_the_old_layout_are_dropped_and_their_affect_kept(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    write_face(root / "train_set", 1001, 8)
    write_face(root / "train_set", 1002, 10, "-2", "-2")
    dataset = AffectNet7(root)
    index = dataset.index.set_index("sample_id")
    assert index.loc["train/1001", "native_label"] == "8"
    assert index.loc[["train/1001"], "label"].isna().all()
    assert "train/1002" not in index.index
    assert dataset.notes == ["1 crops have neither an emotion nor valence and arousal and are left out."]


@pytest.mark.parametrize(
    ("name", "value", "shown", "message"),
    [
        ("3_exp.npy", "11", 11.0, "0 to 10"),
        ("3_exp.npy", "1.5", 1.5, "0 to 10"),
        ("3_exp.npy", "happy", "happy", "not one number"),
        ("3_exp.npy", ["1", "2"], "array of 2", "not one number"),
        ("3_val.npy", "1.01", "1.01", "valence and arousal"),
        ("3_aro.npy", "nan", None, "valence and arousal"),
        ("3_lnd.npy", "1;2;3", 3, "136 finite"),
        ("3_lnd.npy", ";".join(["1"] * 135 + ["nan"]), 136, "136 finite"),
        ("3_lnd.npy", ";".join(["x"] * 136), None, "not a number"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, name: str, value: Any, shown: Any, message: str) -> None:
    root = write_tree(tmp_path)
    save(root / "train_set", name, value)
    with pytest.raises(DataError, match=message) as caught:
        _ = AffectNet7(root).index
    assert str(caught.value.file) == str(root / "train_set" / "annotations" / name)
    assert shown is None or caught.value.value == shown


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "pickled"])
def test_files_that_are_no_plain_npy_are_refused(tmp_path: Path, kind: str) -> None:
    root = write_tree(tmp_path)
    file = root / "val_set" / "annotations" / "3_exp.npy"
    if kind == "pickled":
        np.save(file, np.array("3", dtype=object), allow_pickle=True)
    else:
        file.write_bytes({"empty": b"", "truncated": file.read_bytes()[:-2], "text": b"3\n"}[kind])
    with pytest.raises(DataError, match="not a plain npy") as caught:
        _ = AffectNet7(root).index
    assert str(caught.value.file) == str(file)


def test_a_missing_annotation_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for number in (12, 9):
        (root / "train_set" / "annotations" / f"{number}_aro.npy").unlink()
    with pytest.raises(DataError, match="2 annotation files are missing") as caught:
        _ = AffectNet7(root).index
    assert Path(str(caught.value.file)).name == "9_aro.npy"


def test_an_annotation_without_picture_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / "val_set" / "images" / "6.jpg").unlink()
    with pytest.raises(DataError, match="4 annotation files are without a picture") as caught:
        _ = AffectNet7(root).index
    assert Path(str(caught.value.file)).name.startswith("6_")


def test_foreign_files_are_noted(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for name in ("Thumbs.db", "list.txt"):  # what systems leave behind is not worth a note
        (root / "train_set" / "images" / name).touch()
    dataset = AffectNet7(root)
    assert len(dataset.index) == 32
    assert dataset.notes == ["1 files below train_set have foreign names and are ignored: list.txt"]


def test_a_picture_that_links_out_is_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root")
    (tmp_path / "outside.jpg").touch()
    picture = root / "train_set" / "images" / "3.jpg"
    picture.unlink()
    picture.symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(DataError, match="leaves the dataset root"):
        _ = AffectNet7(root).index


@pytest.mark.parametrize("folder", ["affectnet7", "AffectNet", "affectnet8"])
def test_found_below_a_data_root(tmp_path: Path, folder: str) -> None:
    assert AffectNet7(write_tree(tmp_path / folder).parent).base == tmp_path / folder


def test_the_old_layout_is_not_taken_for_the_new(tmp_path: Path) -> None:
    (tmp_path / "Manually_Annotated_Images").mkdir()
    with pytest.raises(DataError, match="official layout"):
        AffectNet7(tmp_path)


@pytest.mark.parametrize(("protocol", "n_classes"), [("7-official", 7), ("8-official", 8)])
def test_protocols(tmp_path: Path, protocol: str, n_classes: int) -> None:
    dataset = AffectNet7(write_tree(tmp_path, per_class=(25, 2)))
    index, card = dataset.index, dataset.card
    index = index.assign(role=assign_roles(index, card, find_protocol(card, protocol)))
    used = index[index["role"] != ""]
    assert used["label"].nunique() == n_classes
    assert set(used.loc[used["role"] == "test", "split"]) == {"val"}
    assert set(used.loc[used["role"] != "test", "split"]) == {"train"}
    assert (used["role"] == "val").sum() == pytest.approx(0.1 * n_classes * 25, abs=n_classes)
    assert set(used.loc[used["role"] == "val", "group"]).isdisjoint(
        used.loc[used["role"] == "train", "group"]
    )
    assert target_rows(index, card, find_protocol(card, None)).sum() == 16


def test_card_counts_add_up() -> None:
    for layout in ("crops", "csv lists"):
        counts = {(c.split, c.code): c.n for c in AffectNet7.card.counts if c.layout in ("", layout)}
        for split in ("train", "val"):
            assert sum(counts[split, str(code)] for code in range(8)) == counts[split, None]


@pytest.mark.parametrize("lost", ["images/6.jpg", "annotations/6_aro.npy"])
def test_an_absent_picture_or_annotation_is_left_out_by_name(tmp_path: Path, lost: str) -> None:
    root = write_tree(tmp_path)
    (root / "val_set" / lost).unlink()
    with pytest.raises(DataError, match="--write-exclude FILE"):
        _ = AffectNet7(root).index
    dataset = AffectNet7(root)
    assert dataset.leave_out(["val_set/images/6.jpg"]) == 0
    assert len(dataset.index) == 31
    assert dataset.notes[-1] == "1 absent file(s) or folder(s) left out by name"


def test_pictures_are_found_whatever_their_ending(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for picture in (root / "train_set" / "images").iterdir():
        picture.rename(picture.with_suffix(".PNG"))
    assert len(AffectNet7(root).index) == 32


def test_hash_names_are_told_where_no_row_is_usable(tmp_path: Path) -> None:
    for split in ("train_set", "val_set"):
        for name in ("images/737d03ca.jpg", "annotations/737d03ca_exp.npy"):
            file = tmp_path / split / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    with pytest.raises(DataError, match=r"(?s)no usable row:.*foreign names and are ignored: 737d03ca\.jpg"):
        _ = AffectNet7(tmp_path).index


def test_a_public_copy_in_class_folders_is_named_with_what_it_lost(tmp_path: Path) -> None:
    for split in ("Train", "Test"):
        (tmp_path / "archive" / split / "anger").mkdir(parents=True)
    (tmp_path / "archive" / "labels.csv").touch()
    with pytest.raises(DataError, match=r"public copy in class folders .*landmarks are lost") as caught:
        AffectNet7(tmp_path)
    assert f"--dataset folder:{tmp_path}" in str(caught.value)
