"""SFEW trees written by hand in the official layout, with the nested validation folder."""

from pathlib import Path

import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, target_rows
from fer_bench.datasets.sfew import CARD, SFEW
from fer_bench.errors import DataError

CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
TRAIN = "Train/Train_Aligned_Faces"
VAL = "Val/Val_Aligned_Faces_new/Val_Aligned_Faces"


def write_tree(root: Path, *, train: str = TRAIN, val: str = VAL, films: int = 20) -> Path:
    for place, n, offset in ((train, films, 0), (val, 2, 100)):
        for code in CLASSES:
            folder = root / place / code
            folder.mkdir(parents=True)
            for film in range(n):
                (folder / f"Film{film + offset}_000519240_{film:08d}.png").touch()
    return root


@pytest.mark.parametrize("val", [VAL, "Val/Val_Aligned_Faces", "Val_Aligned_Faces_new/Val_Aligned_Faces"])
@pytest.mark.parametrize("train", [TRAIN, "Train_Aligned_Faces"])
def test_rows_of_both_parts(tmp_path: Path, train: str, val: str) -> None:
    index = SFEW(write_tree(tmp_path, train=train, val=val)).index.set_index("sample_id")
    assert len(index) == 7 * 22
    row = index.loc["train/Happy/Film3_000519240_00000003"]
    assert row[["native_label", "label", "split", "group"]].tolist() == [
        "Happy",
        "happiness",
        "train",
        "train/Film3",
    ]
    assert row["path"] == f"{train}/Happy/Film3_000519240_00000003.png"
    assert index.loc["val/Sad/Film100_000519240_00000000", "label"] == "sadness"


def test_a_film_with_underscores_and_a_name_without_film(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / TRAIN / "Sad" / "Hangover_Two_000519240_00000001.png").touch()
    (root / TRAIN / "Sad" / "still.png").touch()
    (root / TRAIN / "Sad" / "Thumbs.db").touch()
    dataset = SFEW(root)
    index = dataset.index.set_index("sample_id")
    assert index.loc["train/Sad/Hangover_Two_000519240_00000001", "group"] == "train/Hangover_Two"
    assert index.loc["train/Sad/still", "group"] == "train/still"
    assert any("1 pictures name no film" in note for note in dataset.notes)


def test_films_in_both_parts_are_noted(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / VAL / "Sad" / "Film3_000000001_00000001.png").touch()
    dataset = SFEW(root)
    _ = dataset.index
    assert "1 films are in the official training and validation parts: Film3" in dataset.notes


def test_validation_is_carved_by_film_and_the_official_part_tests(tmp_path: Path) -> None:
    dataset = SFEW(write_tree(tmp_path))
    index = dataset.index.assign(role=assign_roles(dataset.index, CARD, find_protocol(CARD, None)))
    assert set(index.loc[index["role"] == "test", "split"]) == {"val"}
    assert (index.groupby("group")["role"].nunique() == 1).all()
    assert (index["role"] == "val").sum() == 2 * 7
    assert target_rows(dataset.index, CARD, find_protocol(CARD, None)).sum() == 14


def test_the_test_part_is_not_read(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / "Test" / "Test_Aligned_Faces").mkdir(parents=True)
    (root / "Test" / "Test_Aligned_Faces" / "1.png").touch()
    dataset = SFEW(root)
    assert set(dataset.index["split"]) == {"train", "val"}
    assert any("test pictures have no labels" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "a class folder is missing"),
        ("empty", "empty class"),
        ("unknown", "did you mean Surprise"),
    ],
)
def test_half_copied_parts_are_refused(tmp_path: Path, damage: str, message: str) -> None:
    root = write_tree(tmp_path)
    folder = root / VAL / "Fear"
    if damage == "unknown":
        (root / VAL / "Suprise").mkdir()
    else:
        for file in folder.iterdir():
            file.unlink()
    if damage == "missing":
        folder.rmdir()
    with pytest.raises(DataError, match=message) as caught:
        _ = SFEW(root).index
    assert root / VAL in Path(str(caught.value.file)).parents


def test_without_the_validation_part_it_is_not_found(tmp_path: Path) -> None:
    (tmp_path / TRAIN).mkdir(parents=True)
    with pytest.raises(DataError, match="official layout"):
        SFEW(tmp_path)


def test_card_counts_add_up() -> None:
    for split, total in (("train", 891), ("val", 431)):
        counts = [c.n for c in CARD.counts if c.split == split and c.code is not None]
        assert sum(counts) == total
        assert len(counts) == 7
