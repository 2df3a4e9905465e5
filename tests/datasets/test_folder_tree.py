from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import find_protocol
from fer_bench.data.reading.problems import collecting
from fer_bench.datasets.folder import Folder
from fer_bench.errors import DataError
from tests.datasets.test_folder import fill, roles_of, write_splits


def write(file: Path, codec: str = ".png") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(len(file.name)).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    file.write_bytes(cv2.imencode(codec, picture)[1].tobytes())


def test_pictures_are_known_by_content_and_other_files_counted_by_ending(tmp_path: Path) -> None:
    for code in ("happy", "sad"):
        fill(tmp_path / code, 2)
        for name, codec in (("a.jfif", ".jpg"), ("b.gif", ".gif"), ("c.avif", ".avif"), ("d", ".png")):
            write(tmp_path / code / name, codec)
        for number in range(3):
            (tmp_path / code / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "sad" / "read.me").write_text("two words")
    dataset = Folder(tmp_path)
    assert len(dataset.index) == 12
    (warning,) = dataset.warnings
    assert warning.startswith("7 of 19 files in class folders (36.8%) are not pictures")
    assert warning.endswith(": .heic 6, .me 1.")


def test_pictures_below_a_class_folder_are_read_at_any_depth(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 4)
    fill(tmp_path / "happy" / "more" / "deeper", 50)
    fill(tmp_path / "sad", 4)
    dataset = Folder(tmp_path)
    assert dataset.index["label"].value_counts().to_dict() == {"happiness": 54, "sadness": 4}
    assert dataset.index["subject"].isna().all()
    assert dataset.notes == ["Folders below class folders are read; they are not taken for people."]


def test_a_class_in_a_class_is_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 4)
    fill(tmp_path / "happy" / "sad", 50)
    with pytest.raises(DataError, match="a class folder is inside a class folder") as caught:
        Folder(tmp_path)
    assert (caught.value.file, caught.value.value) == (tmp_path / "happy", "sad")


def test_splits_below_classes_are_splits(tmp_path: Path) -> None:
    for code in ("happy", "sad"):
        for split in ("train", "test"):
            fill(tmp_path / code / split, 10)
    assert roles_of(Folder(tmp_path)) == {"train": {"train"}, "val": {"train"}, "test": {"test"}}


@pytest.mark.parametrize("name", ["dev", "eval", "Validation", "valid", "evaluation"])
def test_every_name_of_a_validation_part_beside_train_is_known(tmp_path: Path, name: str) -> None:
    dataset = Folder(write_splits(tmp_path, ("train", name, "test")))
    assert roles_of(dataset) == {"train": {"train"}, "val": {"val"}, "test": {"test"}}
    assert not dataset.warnings


def test_eval_is_the_test_part_beside_a_validation_part(tmp_path: Path) -> None:
    dataset = Folder(write_splits(tmp_path, ("train", "dev", "eval")))
    assert roles_of(dataset) == {"train": {"train"}, "val": {"val"}, "test": {"test"}}


def test_a_folder_of_classes_beside_splits_is_never_dropped(tmp_path: Path) -> None:
    write_splits(tmp_path, ("train", "test", "holdout"), 2)
    with pytest.raises(DataError, match="its name says no split") as caught:
        Folder(tmp_path)
    assert caught.value.value == "holdout"
    assert "--drop" in str(caught.value)


def test_pictures_in_no_class_are_counted(tmp_path: Path) -> None:
    write_splits(tmp_path, ("train", "test"), 2)
    fill(tmp_path / "unlabelled", 7)
    fill(tmp_path / "train", 3)
    assert Folder(tmp_path).warnings == [
        "3 pictures in train are in no class folder and are ignored.",
        "7 pictures in unlabelled are in no class folder and are ignored.",
    ]


def test_dangling_links_are_rows_that_a_check_names(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 2)
    fill(tmp_path / "sad", 2)
    (tmp_path / "sad" / "gone.jpg").symlink_to("annexed/1234")
    dataset = Folder(tmp_path)
    assert "sad/gone.jpg" in set(dataset.index["path"])
    (warning,) = dataset.warnings
    assert warning.startswith("1 links lead nowhere, first sad/gone.jpg -> annexed/1234")


def test_a_link_to_a_folder_that_is_read_already_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 2)
    fill(tmp_path / "sad", 2)
    (tmp_path / "joy").symlink_to("happy")
    with pytest.raises(DataError, match="read already") as caught:
        Folder(tmp_path)
    assert caught.value.file == tmp_path / "joy"


def test_what_systems_leave_behind_is_ignored_everywhere(tmp_path: Path) -> None:
    for place in ("", "train", "train/Happy", "test/sad"):
        for name in ("__MACOSX", "@eaDir", ".hidden"):
            fill(tmp_path / place / name / "happy", 1)
        for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
            (tmp_path / place / name).touch()
    write_splits(tmp_path, ("train", "test"), 2)
    dataset = Folder(tmp_path)
    assert len(dataset.index) == 12
    assert dataset.warnings == [] == dataset.notes


@pytest.mark.parametrize("layout", ["{code}/{person}", "{person}/{code}", "{split}/{person}/{code}"])
def test_folders_of_people_are_groups(tmp_path: Path, layout: str) -> None:
    people = [f"P{number:02d}" for number in range(12)]
    for number, person in enumerate(people):
        for code in ("happy", "sad"):
            split = "train" if number < 9 else "test"
            fill(tmp_path / layout.format(code=code, person=person, split=split), 3)
    dataset = Folder(tmp_path)
    index = dataset.index
    assert len(index) == 72
    assert set(index["subject"]) == set(people)
    assert index["group"].equals(index["subject"])
    assert dataset.card.unit == "subject"
    assert dataset.notes == [
        "12 people were found in the folders of people, and parts that are made here have none in common."
    ]
    roles = index.assign(role=dataset.roles()).groupby("subject")["role"].nunique()
    assert (roles == 1).all()
    assert set(dataset.roles()) == {"train", "val", "test"}


def test_a_check_collects_all_faults_of_a_tree(tmp_path: Path) -> None:
    write_splits(tmp_path, ("train", "test", "holdout"), 2)
    fill(tmp_path / "train" / "bored", 3)
    fill(tmp_path / "train" / "happy" / "sad", 1)
    (tmp_path / "test" / "fear").mkdir()
    with collecting() as problems:
        dataset = Folder(tmp_path)
    assert len(dataset.index) == 12
    assert {(problem.error.message, problem.rows) for problem in problems} == {
        ("class folders whose names match no emotion", 3),
        ("a class folder is inside a class folder", 1),
        ("a folder next to the splits holds classes, and its name says no split", 6),
        ("empty class: no picture in this folder", 1),
    }


def test_a_tree_without_parts_of_people_keeps_the_rule_of_rows(tmp_path: Path) -> None:
    for code in ("happy", "sad"):
        for batch in ("one", "two"):
            fill(tmp_path / code / batch, 10)
    dataset = Folder(tmp_path)
    rule = find_protocol(dataset.card, None).split
    assert rule.model_dump() == {"train": 0.7, "val": 0.15, "kind": "stratified", "by": "row"}
