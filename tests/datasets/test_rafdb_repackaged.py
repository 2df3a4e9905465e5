from __future__ import annotations

from pathlib import Path

import pytest

from fer_bench.datasets.rafdb import RAFDB
from fer_bench.errors import DataError


def write_copy(root: Path, *, csv: bool = True, suffix: str = "_aligned") -> Path:
    """Write a small copy in class folders, one training and one test picture per class."""
    for split, digits in (("train", 5), ("test", 4)):
        lines = ["image,label"]
        for code in range(1, 8):
            name = f"{split}_{code:0{digits}d}{suffix}.jpg"
            file = root / "DATASET" / split / str(code) / name
            file.parent.mkdir(parents=True)
            file.touch()
            lines.append(f"{name},{code}")
        if csv:
            (root / f"{split}_labels.csv").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize("csv", [True, False])
def test_a_copy_with_official_names_is_read_with_its_split_and_labels(tmp_path: Path, csv: bool) -> None:
    dataset = RAFDB(write_copy(tmp_path, csv=csv))
    index = dataset.index.set_index("sample_id")
    assert len(index) == 14
    assert index.loc["train_00004", ["label", "split"]].tolist() == ["happiness", "train"]
    assert index.loc["test_0001", "path"] == "test/1/test_0001_aligned.jpg"
    assert dataset.crop == "whole"
    assert [note[:11] for note in dataset.notes] == ["repackaged:"]


def test_a_copy_whose_csv_or_split_differs_is_refused(tmp_path: Path) -> None:
    root = write_copy(tmp_path)
    file = root / "test_labels.csv"
    file.write_text(file.read_text().replace("test_0002_aligned.jpg,2", "test_0002_aligned.jpg,3"))
    with pytest.raises(DataError, match="the list says class 3 and the picture is in test/2") as caught:
        _ = RAFDB(root).index
    assert (caught.value.file, caught.value.line) == (file, 3)
    (root / "DATASET" / "train" / "1" / "test_0001_aligned.jpg").touch()
    with pytest.raises(DataError, match="a test picture is in train"):
        _ = RAFDB(root).index


def test_a_listed_picture_that_is_absent_is_refused_and_left_out_by_name(tmp_path: Path) -> None:
    root = write_copy(tmp_path)
    (root / "DATASET" / "test" / "2" / "test_0002_aligned.jpg").unlink()
    with pytest.raises(DataError, match="1 listed picture is missing"):
        _ = RAFDB(root).index
    dataset = RAFDB(root)
    dataset.leave_out(["test/2/test_0002_aligned.jpg"])
    assert len(dataset.index) == 13


def test_an_enlarged_or_renamed_copy_is_refused(tmp_path: Path) -> None:
    root = write_copy(tmp_path / "a")
    (root / "DATASET" / "train" / "1" / "aug_train_00001_aligned.jpg").touch()
    with pytest.raises(DataError, match="changed or enlarged copy"):
        _ = RAFDB(root).index
    with pytest.raises(DataError, match="class folders with other file names: the official split"):
        RAFDB(write_copy(tmp_path / "b", suffix=""))
