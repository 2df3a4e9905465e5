from pathlib import Path

import pytest

from fer_bench.datasets.folder import Folder
from fer_bench.datasets.folder_classes import class_names
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError
from fer_bench.workspace.sources import find_roots, open_source
from tests.datasets.test_folder import fill


def write_german(root: Path) -> Path:
    for name, n in (("glücklich", 5), ("Traurig", 4), ("0", 3), ("unbekannt", 7)):
        fill(root / name, n)
    return root


MAP = "glücklich: happiness\ntraurig: sad\n0: anger\nunbekannt: drop\n"


def test_a_map_names_classes_in_other_languages_numbers_and_what_to_drop(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(MAP)
    folder = write_german(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"--classes map\.yaml"):
        Folder(folder)
    roots = find_roots(None).with_folder(folder).with_classes(file)
    dataset = open_source("folder", roots).dataset
    assert dataset.index["label"].value_counts().to_dict() == {"happiness": 5, "sadness": 4, "anger": 3}
    assert dataset.warnings == ["The folder unbekannt is dropped as asked: 7 pictures."]
    assert [(c.code, c.emotion) for c in dataset.card.classes] == [
        ("glücklich", Emotion.HAPPINESS),
        ("Traurig", Emotion.SADNESS),
        ("0", Emotion.ANGER),
    ]


def test_a_map_may_say_otherwise_than_an_alias(tmp_path: Path) -> None:
    for name in ("happy", "sad", "unknown"):
        fill(tmp_path / name, 3)
    dataset = Folder.named(class_names({"happy": "neutral"}, ["unknown"]))(tmp_path)
    assert dataset.index["label"].value_counts().to_dict() == {"neutral": 3, "sadness": 3}


def test_dropped_folders_beside_splits_and_below_classes_are_left_out(tmp_path: Path) -> None:
    for place in ("train/happy", "train/sad", "test/happy", "test/sad", "bad/happy", "train/sad/bad"):
        fill(tmp_path / place, 2)
    dataset = Folder.named(class_names(None, ["bad"]))(tmp_path)
    assert len(dataset.index) == 8
    assert dataset.warnings == ["The folder bad is dropped as asked: 4 pictures."]


def test_names_that_no_folder_has_are_refused(tmp_path: Path) -> None:
    for name in ("happy", "sad"):
        fill(tmp_path / name, 3)
    with pytest.raises(DataError, match="no folder has this class name") as caught:
        Folder.named(class_names({"happi": "happiness"}))(tmp_path)
    assert caught.value.value == "happi"
    assert "happy, sad" in str(caught.value)


def test_folders_that_merge_are_said(tmp_path: Path) -> None:
    for name in ("angry", "anger", "3_Happy", "happy"):
        fill(tmp_path / name, 3)
    assert Folder(tmp_path).notes == ["The folders anger, angry are one class: anger."]


@pytest.mark.parametrize(
    ("text", "line", "value"),
    [
        ("glad: happiness\nodd: bored\n", 2, "bored"),
        ("glad: happy\nGlad: sad\n", 2, "Glad"),
        ("- happy\n", None, None),
        ("a: [", None, None),
        ("", None, None),
    ],
)
def test_a_faulty_map_is_an_error_with_line_and_value(
    tmp_path: Path, text: str, line: int | None, value: str | None
) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        class_names(file)
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, line, value)
