"""JAFFE folders written by hand with the official names, gaps included."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, folds_of, target_rows
from fer_bench.datasets.jaffe import CARD, JAFFE
from fer_bench.errors import DataError

PEOPLE = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
CODES = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")


def write_tree(folder: Path, people: tuple[str, ...] = PEOPLE, repeats: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    for person in people:
        for code in CODES:
            for repeat in range(1, repeats + 1):
                (folder / f"{person}.{code}{repeat}.{number}.tiff").touch()
                number += 1
    return folder


def test_everything_stands_in_the_names(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "KM.SA5.213.tiff").touch()  # exists officially, without SA4
    (tmp_path / "README_FIRST.txt").write_text("ratings")
    dataset = JAFFE(tmp_path)
    index = dataset.index.set_index("sample_id")
    assert len(index) == 141
    row = index.loc["KM.SA5.213"]
    assert row[["native_label", "label", "subject", "group"]].tolist() == ["SA", "sadness", "KM", "KM"]
    assert set(index["label"]) == {"anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"}
    assert dataset.notes == []
    assert dataset.crop == "detect"


@pytest.mark.parametrize("inner", ["", "jaffe", "jaffedbase"])
def test_found_in_its_folder_and_below(tmp_path: Path, inner: str) -> None:
    write_tree(tmp_path / inner)
    assert JAFFE(tmp_path).base == tmp_path / inner


def test_the_shorter_ending_is_read_and_other_names_are_noted(tmp_path: Path) -> None:
    write_tree(tmp_path, repeats=1)
    (tmp_path / "KA.AN1.1.tiff").rename(tmp_path / "KA.AN1.1.tif")
    (tmp_path / "KA_AN1.tiff").touch()
    dataset = JAFFE(tmp_path)
    assert dataset.index.set_index("sample_id").loc["KA.AN1.1", "path"] == "KA.AN1.1.tif"
    assert dataset.notes == ["1 pictures are not named like JAFFE's and are ignored: KA_AN1.tiff"]


def test_a_picture_under_both_endings_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, repeats=1)
    (tmp_path / "KA.AN1.1.tif").touch()
    with pytest.raises(DataError, match="there already"):
        _ = JAFFE(tmp_path).index


def test_tiff_pictures_are_decoded(tmp_path: Path) -> None:
    write_tree(tmp_path, repeats=1)
    cv2.imwrite(str(tmp_path / "KA.AN1.1.tiff"), np.arange(256 * 256).reshape(256, 256).astype(np.uint8))
    assert JAFFE(tmp_path).load("KA.AN1.1.tiff", [-1])[0].shape == (256, 256, 3)


def test_one_person_is_left_out_at_a_time(tmp_path: Path) -> None:
    index = JAFFE(write_tree(tmp_path)).index
    protocol = find_protocol(CARD, None)
    tested = []
    for fold in folds_of(protocol):
        roles = assign_roles(index, CARD, protocol, fold)
        people = {role: set(index["subject"][roles == role]) for role in ("train", "val", "test")}
        assert len(people["test"]) == len(people["val"]) == 1
        assert len(people["train"]) == 8
        tested += people["test"]
    assert tested == list(PEOPLE)
    assert target_rows(index, CARD, protocol).all()


def test_too_few_people_for_the_protocol_are_refused(tmp_path: Path) -> None:
    index = JAFFE(write_tree(tmp_path, PEOPLE[:9])).index
    with pytest.raises(DataError, match="at least 10 labelled subjects"):
        assign_roles(index, CARD, find_protocol(CARD, "7-loso"))


def test_card_counts_add_up() -> None:
    images = [c.n for c in CARD.counts if c.unit == "images"]
    assert sum(images[:-1]) == images[-1] == 213
