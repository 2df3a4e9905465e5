from pathlib import Path

import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, target_rows
from fer_bench.datasets.folder import CARD, Folder
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError


def fill(folder: Path, n: int, suffix: str = ".jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        (folder / f"face_{i:03d}{suffix}").touch()


def write_splits(root: Path, splits: tuple[str, ...], n: int = 20) -> Path:
    for split in splits:
        for name in ("Happy", "sad", "3_ANGER"):
            fill(root / split / name, n)
    return root


def roles_of(dataset: Folder) -> dict[str, set[str]]:
    """Return the official splits of the rows in each role."""
    index = dataset.index
    role = assign_roles(index, dataset.card, find_protocol(dataset.card, None))
    return {name: set(index.loc[role == name, "split"]) for name in set(role)}


def test_class_names_are_matched_and_the_card_is_as_found(tmp_path: Path) -> None:
    for name, suffix in (("Joy", ".JPG"), ("03-neutral", ".png"), ("SURPRISED", ".webp"), ("fear", ".tiff")):
        fill(tmp_path / name, 10, suffix)
    dataset = Folder(tmp_path)
    assert dataset.index["label"].value_counts().to_dict() == {
        "happiness": 10,
        "neutral": 10,
        "surprise": 10,
        "fear": 10,
    }
    protocol = find_protocol(dataset.card, None)
    assert protocol.name == "found"
    assert protocol.label_set == (Emotion.NEUTRAL, Emotion.HAPPINESS, Emotion.SURPRISE, Emotion.FEAR)
    assert [c.code for c in dataset.card.classes] == ["03-neutral", "Joy", "SURPRISED", "fear"]
    row = dataset.index.set_index("sample_id").loc["Joy/face_000.JPG"]
    assert (row["path"], row["native_label"], row["split"]) == ("Joy/face_000.JPG", "Joy", "none")
    assert Folder.card is CARD, "the class keeps the general card"


def test_two_names_of_one_emotion_are_one_class(tmp_path: Path) -> None:
    for name in ("happy", "joy", "sad"):
        fill(tmp_path / name, 5)
    dataset = Folder(tmp_path)
    assert find_protocol(dataset.card, None).label_set == (Emotion.HAPPINESS, Emotion.SADNESS)
    assert (dataset.index["label"] == "happiness").sum() == 10


def test_without_splits_every_class_is_dealt_in_the_same_shares(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 100)
    fill(tmp_path / "sad", 20)
    dataset = Folder(tmp_path)
    index = dataset.index.assign(
        role=assign_roles(dataset.index, dataset.card, find_protocol(dataset.card, None))
    )
    counts = index.groupby(["label", "role"]).size().to_dict()
    assert counts == {
        ("happiness", "train"): 70,
        ("happiness", "val"): 15,
        ("happiness", "test"): 15,
        ("sadness", "train"): 14,
        ("sadness", "val"): 3,
        ("sadness", "test"): 3,
    }


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (("train", "val", "test"), {"train": {"train"}, "val": {"val"}, "test": {"test"}}),
        (("Training", "VALID", "Testing"), {"train": {"train"}, "val": {"val"}, "test": {"test"}}),
        (("train", "test"), {"train": {"train"}, "val": {"train"}, "test": {"test"}}),
        (("train", "validation"), {"train": {"train"}, "val": {"train"}, "test": {"val"}}),
        (("train",), {"train": {"train"}, "val": {"train"}, "test": {"train"}}),
    ],
)
def test_own_splits_are_kept(tmp_path: Path, splits: tuple[str, ...], expected: dict[str, set[str]]) -> None:
    assert roles_of(Folder(write_splits(tmp_path, splits))) == expected


def test_a_tenth_of_every_class_is_carved(tmp_path: Path) -> None:
    dataset = Folder(write_splits(tmp_path, ("train", "test")))
    role = assign_roles(dataset.index, dataset.card, find_protocol(dataset.card, None))
    assert dataset.index["label"][role == "val"].value_counts().tolist() == [2, 2, 2]


def test_a_target_without_parts_of_the_users_own_is_tested_whole(tmp_path: Path) -> None:
    whole = Folder(write_splits(tmp_path / "whole", ("",), 6))
    protocol = find_protocol(whole.card, None)
    assert target_rows(whole.index, whole.card, protocol).all()
    assert set(assign_roles(whole.index, whole.card, protocol)) == {"train", "val", "test"}  # as a source
    parts = Folder(write_splits(tmp_path / "parts", ("train", "test"), 6))
    tested = target_rows(parts.index, parts.card, find_protocol(parts.card, None))
    assert set(parts.index["split"][tested]) == {"test"}


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_test_folder_alone_is_a_target_and_trains_nothing(tmp_path: Path, split: str) -> None:
    dataset = Folder(write_splits(tmp_path, (split,), 4))
    protocol = find_protocol(dataset.card, None)
    assert target_rows(dataset.index, dataset.card, protocol).all()
    with pytest.raises(DataError, match="no labelled row to train"):
        assign_roles(dataset.index, dataset.card, protocol)


def test_class_folders_without_meaning_are_listed_with_the_known_names(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 2)
    fill(tmp_path / "bored", 2)
    fill(tmp_path / "1", 2)
    with pytest.raises(DataError, match="match no emotion") as caught:
        Folder(tmp_path)
    assert caught.value.value == ["1", "bored"]
    assert "sadness, sad, sa" in str(caught.value)


@pytest.mark.parametrize("split", ["", "train"])
def test_a_tree_without_any_emotion_lists_what_it_has(tmp_path: Path, split: str) -> None:
    fill(tmp_path / split / "class_a", 2)
    with pytest.raises(DataError, match="match no emotion") as caught:
        Folder(tmp_path)
    assert caught.value.value == [str(Path(split) / "class_a")]


def test_hidden_folders_and_files_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path / "happy", 2)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "happy" / "._face_000.jpg").touch()
    (tmp_path / "happy" / "notes.txt").touch()
    dataset = Folder(tmp_path)
    assert len(dataset.index) == 2
    assert dataset.warnings == [
        "1 of 3 files in class folders (33.3%) are not pictures that can be decoded here and are ignored: "
        ".txt 1."
    ]


@pytest.mark.parametrize("content", ["nothing", "no picture", "hidden"])
def test_an_empty_class_is_refused(tmp_path: Path, content: str) -> None:
    write_splits(tmp_path, ("train", "test"), 2)
    empty = tmp_path / "test" / "fear"
    empty.mkdir()
    if content != "nothing":
        (empty / {"no picture": "readme.md", "hidden": ".face.jpg"}[content]).touch()
    with pytest.raises(DataError, match="empty class") as caught:
        _ = Folder(tmp_path).index
    assert caught.value.file == empty


def test_a_class_that_a_split_lacks_is_noted(tmp_path: Path) -> None:
    write_splits(tmp_path, ("train", "test"), 2)
    fill(tmp_path / "train" / "fear", 2)
    assert Folder(tmp_path).notes == ["The split test has no pictures of fear."]


def test_classes_beside_splits_are_refused_and_other_folders_noted(tmp_path: Path) -> None:
    write_splits(tmp_path, ("train", "test"), 2)
    (tmp_path / "docs").mkdir()
    assert Folder(tmp_path).notes == ["Folders next to the splits are ignored: docs."]
    fill(tmp_path / "happy", 2)
    with pytest.raises(DataError, match="next to split folders"):
        Folder(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    write_splits(tmp_path, ("val", "validation", "train"), 2)
    with pytest.raises(DataError, match="two folders mean the split val"):
        Folder(tmp_path)


def test_a_split_without_class_folders_is_refused(tmp_path: Path) -> None:
    write_splits(tmp_path, ("train",), 2)
    fill(tmp_path / "test", 3)
    with pytest.raises(DataError, match="no class folders") as caught:
        Folder(tmp_path)
    assert caught.value.file == tmp_path / "test"


@pytest.mark.parametrize("what", ["picture", "class", "split"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, what: str) -> None:
    root, outside = write_splits(tmp_path / "root", ("train", "test"), 2), tmp_path / "outside"
    fill(outside / "happy", 1)
    link, target = {
        "picture": (root / "train" / "sad" / "x.jpg", outside / "happy" / "face_000.jpg"),
        "class": (root / "train" / "fear", outside / "happy"),
        "split": (root / "val", outside),
    }[what]
    link.symlink_to(target)
    with pytest.raises(DataError, match="leaves the dataset root"):
        _ = Folder(root).index


def test_a_root_of_datasets_is_no_folder_dataset(tmp_path: Path) -> None:
    for name in ("ckplus", "rafdb", "other"):
        fill(tmp_path / name, 1)
    assert Folder.find(tmp_path) is None
    write_splits(tmp_path / "folder", ("train", "test"), 2)
    assert Folder.find(tmp_path) == tmp_path / "folder"
