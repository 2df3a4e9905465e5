"""KDEF trees written by hand with the official names, wrong names and black frames planted."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.kdef import CARD, KDEF
from fer_bench.errors import DataError

CODES = ("AF", "AN", "DI", "HA", "NE", "SA", "SU")
ANGLES = ("FL", "HL", "S", "HR", "FR")


def write_tree(place: Path, numbers: range = range(1, 12), angles: tuple[str, ...] = ANGLES) -> Path:
    for session in "AB":
        for sex in "FM":
            for number in numbers:
                folder = place / f"{session}{sex}{number:02d}"
                folder.mkdir(parents=True)
                for code in CODES:
                    for angle in angles:
                        (folder / f"{folder.name}{code}{angle}.JPG").touch()
    return place


def draw(file: Path, shape: tuple[int, int] = (762, 562), *, black: bool = False) -> None:
    rng = np.random.default_rng(0)
    cv2.imwrite(str(file), rng.integers(0, 4 if black else 256, (*shape, 3)).astype(np.uint8))


def test_names_say_everything_and_sessions_are_one_person(tmp_path: Path) -> None:
    index = KDEF(write_tree(tmp_path / "KDEF", range(1, 4))).index.set_index("sample_id")
    row = index.loc["BF02DIHL"]
    assert row[["native_label", "label", "subject", "group", "variant", "gender"]].tolist() == [
        "DI",
        "disgust",
        "F02",
        "F02",
        "HL",
        "female",
    ]
    assert index.loc["AF02DIS", "variant"] == "S"
    assert index["subject"].nunique() == 6


@pytest.mark.parametrize("inner", ["", "KDEF", "KDEF_and_AKDEF/KDEF"])
def test_found_at_every_depth_without_the_averaged_faces(tmp_path: Path, inner: str) -> None:
    place = write_tree(tmp_path / inner, range(1, 2))
    (place.parent / "AKDEF").mkdir(exist_ok=True)
    (place.parent / "AKDEF" / "AFANF.JPG").touch()
    assert KDEF(tmp_path).base == place


def test_wrong_names_are_ignored_and_noted(tmp_path: Path) -> None:
    write_tree(tmp_path, range(31, 32))
    (tmp_path / "AF31" / "AF31V.JPG").touch()
    (tmp_path / "AM31" / "AM31H.JPG").touch()
    dataset = KDEF(tmp_path)
    assert len(dataset.index) == 4 * 35
    assert dataset.notes == ["2 pictures with wrong names are ignored: AF31V.JPG, AM31H.JPG"]


def test_known_suspects_are_looked_at_before_they_are_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path, range(1, 11))
    draw(tmp_path / "AF01" / "AF01SUFR.JPG", black=True)
    draw(tmp_path / "AF10" / "AF10AFFR.JPG")  # a copy in which it is no longer black
    draw(tmp_path / "AM05" / "AM05ANFR.JPG", (633, 970))
    draw(tmp_path / "BM10" / "BM10ANFR.JPG")
    dataset = KDEF(tmp_path)
    ids = set(dataset.index["sample_id"])
    assert ids.isdisjoint({"AF01SUFR", "AM05ANFR"})
    assert {"AF10AFFR", "BM10ANFR"} <= ids
    assert dataset.notes == [
        "1 pictures that are black are left out: AF01SUFR.JPG",
        "1 pictures of another size are left out: AM05ANFR.JPG",
    ]


def test_a_picture_in_another_persons_folder_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, range(1, 3))
    (tmp_path / "AF01" / "AF02ANS.JPG").touch()
    (tmp_path / "AF02" / "AF02ANS.JPG").unlink()
    with pytest.raises(DataError, match="a picture of AF02 is in the folder of AF01") as caught:
        _ = KDEF(tmp_path).index
    assert caught.value.file == tmp_path / "AF01" / "AF02ANS.JPG"


@pytest.mark.parametrize(
    ("name", "angles"),
    [(None, {"S"}), ("7-10fold-hr", {"HR"}), ("7-10fold-fl", {"FL"}), ("7-10fold-all", set(ANGLES))],
)
def test_protocols_take_their_angles_and_keep_people_whole(tmp_path: Path, name, angles) -> None:
    index = KDEF(write_tree(tmp_path, range(11, 18))).index
    index = index.assign(role=assign_roles(index, CARD, find_protocol(CARD, name), 3)).query("role != ''")
    assert set(index["variant"]) == angles
    assert (index.groupby("subject")["role"].nunique() == 1).all()
    both = index["sample_id"].str[0].groupby(index["subject"]).nunique()
    assert (both == 2).all(), "sessions A and B stay together"


@pytest.mark.parametrize("place", ["", "KDEF", "anger"])
def test_a_flat_copy_is_read_as_repackaged(tmp_path: Path, place: str) -> None:
    for person in ("AF01", "BF01", "AM02"):
        for expression in ("AN", "HA"):
            file = tmp_path / place / f"{person}{expression}S.JPG"
            file.parent.mkdir(exist_ok=True)
            file.touch()
    dataset = KDEF(tmp_path)
    assert set(dataset.index["group"]) == {"F01", "M02"}
    assert len(dataset.index) == 6
    assert dataset.notes[0].startswith("repackaged: ")
