from pathlib import Path

import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, folds_of
from fer_bench.datasets.folder import Folder
from fer_bench.datasets.folder_people import people_of, splits_of


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def ck48(people: int = 10) -> list[str]:
    """Return the names of CK+48: three frames of a sequence per person and class."""
    return [
        f"{code}/S{person:03d}_{sequence:03d}_{frame:08d}.png"
        for person in range(10, 10 + people)
        for sequence, code in enumerate(("anger", "happy"), start=1)
        for frame in (15, 16, 17)
    ]


def test_ckplus_as_class_folders_is_dealt_by_person(tmp_path: Path) -> None:
    dataset = Folder(touch(tmp_path, *ck48()))
    index = dataset.index.assign(role=dataset.roles())
    row = index.set_index("path").loc["anger/S010_001_00000017.png"]
    assert (row["subject"], row["sequence"], row["group"]) == ("S010", "S010/001", "S010")
    assert (index.groupby("subject")["role"].nunique() == 1).all()
    assert index.groupby("role")["subject"].nunique().to_dict() == {"train": 6, "val": 2, "test": 2}
    assert dataset.notes == [
        "10 people were found in the file names (CK+), and parts that are made here have none in common."
    ]
    assert dataset.card.unit == "subject"


@pytest.mark.parametrize(
    ("scheme", "stems", "subject"),
    [
        ("KDEF", ["AF01ANS", "BM02HAS", "AF03SUFL"], "F01"),
        ("JAFFE", ["KA.AN1.39", "KL.HA2.40", "YM.SU3.41"], "KA"),
        ("MMI", ["S001-002", "S002-001", "S003-004"], "S001"),
        ("numbered people", ["subject_1_a", "Subject_2_b", "subject_3_c"], "SUBJECT_1"),
        ("numbered people", ["P01-happy-1", "p02-happy-1", "P03-sad-2"], "P01"),
    ],
)
def test_names_of_public_datasets_carry_people(scheme: str, stems: list[str], subject: str) -> None:
    people = people_of([()] * len(stems), stems)
    assert people is not None
    assert people.origin == f"the file names ({scheme})"
    assert people.subjects[0] == subject
    assert len(set(people.subjects)) == 3


@pytest.mark.parametrize(
    "stems", [["img_001", "img_002", "img_003"], ["S1_a", "S2_a"], ["happy1", "S1_a", "S2_a", "S3_a"]]
)
def test_other_names_carry_none(stems: list[str]) -> None:
    assert people_of([()] * len(stems), stems) is None


def test_a_picture_without_a_person_is_one_of_its_own(tmp_path: Path) -> None:
    dataset = Folder(touch(tmp_path, *ck48(), "happy/extra.png"))
    row = dataset.index.set_index("path").loc["happy/extra.png"]
    assert row["group"] == "happy/extra.png"
    assert dataset.notes[0].endswith("; 1 pictures name none and count as people of their own.")
    assert dataset.card.unit == "image"


def test_people_in_two_of_the_parts_found_are_a_warning(tmp_path: Path) -> None:
    paths = [f"{'test' if '_00000017' in path else 'train'}/{path}" for path in ck48()]
    dataset = Folder(touch(tmp_path, *paths))
    assert dataset.index["group"].equals(dataset.index["sequence"])
    (warning,) = dataset.warnings
    assert warning.startswith("10 people are in more than one of the parts found, first S010")


def test_a_validation_part_is_carved_by_person(tmp_path: Path) -> None:
    paths = [f"{'test' if path.split('/')[1] >= 'S017' else 'train'}/{path}" for path in ck48()]
    dataset = Folder(touch(tmp_path, *paths))
    index = dataset.index.assign(role=dataset.roles())
    assert find_protocol(dataset.card, None).split.model_dump()["carve"] == "group"
    assert (index.groupby("subject")["role"].nunique() == 1).all()


def test_names_of_rafdb_carry_the_parts(tmp_path: Path) -> None:
    stems = [f"{split}_{number:05d}_aligned" for split in ("train", "test") for number in range(1, 9)]
    dataset = Folder(touch(tmp_path, *(f"{code}/{stem}.jpg" for stem in stems for code in ("happy", "sad"))))
    assert dataset.index["split"].value_counts().to_dict() == {"train": 16, "test": 16}
    assert "names (train_ and test_, as in RAF-DB)" in dataset.notes[0]
    assert splits_of([*stems, "other"]) is None


def test_with_five_people_every_one_of_them_can_be_tested(tmp_path: Path) -> None:
    paths = [f"{code}/{person}/{n}.png" for code in ("happy", "sad") for person in "abcdef" for n in (1, 2)]
    dataset = Folder(touch(tmp_path, *paths))
    protocol = find_protocol(dataset.card, "5fold")
    tested: set[str] = set()
    for fold in folds_of(protocol):
        roles = assign_roles(dataset.index, dataset.card, protocol, fold)
        people = {role: set(dataset.index["subject"][roles == role]) for role in ("train", "val", "test")}
        assert not (people["train"] | people["val"]) & people["test"]
        tested |= people["test"]
    assert tested == set(dataset.index["subject"])
    four = Folder(touch(tmp_path / "four", *(path for path in paths if path[-7] in "abcd")))
    assert [protocol.name for protocol in four.card.protocols] == ["found"]
