"""AffectNet's older layout written by hand: csv lists with their documented quirks, and whole pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.crops.recipe import CropRecipe, find_face
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.affectnet import CARD, AffectNet7
from fer_bench.errors import DataError

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
POINTS = ";".join(str(v / 2) for v in range(136))


def line(path: str, label: int = 1, *, box: str = "10,20,100,120", affect: str = "0.5,-0.25") -> str:
    return f"{path},{box},{POINTS},{label},{affect}"


TRAIN = (
    line("1/a.jpg", 1),
    line("1/a.jpg", 4, box="200,20,90,90"),  # two faces of one picture
    line("1/a.jpg", 1),  # the first once more
    line("2/b.PNG", 8, affect="0.1,0.2"),  # none: affect without an emotion
    line("2/c.tif", 9, affect="-2,-2"),
    line("2/d.jpg", 10, affect="-2,-2", box="NULL,NULL,NULL,NULL"),
    line("2/e.jpg", 5, box="-1,20,100,100"),
    line("2/f.jpg", 6, box="1.0,2.0,30.0,40.0", affect="-2.0,0.5"),
    line("3/v.jpg", 6),  # also in the validation list
)
VAL = (line("3/v.jpg", 0), line("3/w.jpg", 7))


def write_tree(
    root: Path,
    train: tuple[str, ...] = TRAIN,
    val: tuple[str, ...] = VAL,
    *,
    headers: tuple[bool, bool] = (True, True),
    end: str = "\n",
    mark: bytes = b"",
    pictures: str = "Manually_Annotated/Manually_Annotated_Images",
) -> Path:
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for name, lines, header in (("training", train, headers[0]), ("validation", val, headers[1])):
        text = end.join([*([HEADER] if header else []), *lines]) + end
        (lists / f"{name}.csv").write_bytes(mark + text.encode())
    for text in train + val:
        picture = root / pictures / text.split(",")[0]
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    return root


def test_rows_boxes_and_landmarks(tmp_path: Path) -> None:
    dataset = AffectNet7(write_tree(tmp_path))
    index = dataset.index.set_index("sample_id")
    assert sorted(index.index) == [
        "train/1/a.jpg",
        "train/1/a.jpg#2",
        "train/2/b.PNG",
        "train/2/f.jpg",
        "val/3/v.jpg",
        "val/3/w.jpg",
    ]
    row = index.loc["train/1/a.jpg"]
    assert row["box"] == (10, 20, 110, 140), "width and height are extents, not corners"
    assert row["path"] == "Manually_Annotated/Manually_Annotated_Images/1/a.jpg"
    assert row[["native_label", "label", "split", "group"]].tolist() == ["1", "happiness", "train", "1/a.jpg"]
    np.testing.assert_allclose(row["landmarks"][:2], [[0, 0.5], [1, 1.5]])
    assert row["landmarks"].shape == (68, 2)
    assert index.loc["train/1/a.jpg#2", ["label", "group"]].tolist() == ["fear", "1/a.jpg"]
    assert index.loc[["train/2/b.PNG"], "label"].isna().all()
    assert index.loc["train/2/b.PNG", "valence"] == 0.1
    assert np.isnan(index.loc["train/2/f.jpg", "valence"])
    assert index.loc["train/2/f.jpg", "box"] == (1, 2, 31, 42)
    assert (dataset.crop, dataset.layout) == ("box", "csv lists")


def test_everything_left_out_is_counted(tmp_path: Path) -> None:
    dataset = AffectNet7(write_tree(tmp_path))
    _ = dataset.index
    assert dataset.notes[0].startswith("The csv lists are read")
    assert set(dataset.notes[1:]) == {
        "2 lines of training.csv have neither an emotion nor valence and arousal.",
        "1 lines of training.csv have no valid face box and are left out: 2/e.jpg",
        "1 lines of training.csv repeat another one and are left out.",
        "1 lines of training.csv show pictures of the validation list and are left out.",
    }


@pytest.mark.parametrize("headers", [(True, False), (False, False), (False, True)])
def test_a_header_is_recognised_by_a_name_in_it(tmp_path: Path, headers: tuple[bool, bool]) -> None:
    with_header = AffectNet7(write_tree(tmp_path / "a")).index
    dataset = AffectNet7(write_tree(tmp_path / "b", headers=headers))
    assert dataset.index["sample_id"].tolist() == with_header["sample_id"].tolist()
    assert sum("no header" in note for note in dataset.notes) == headers.count(False)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    order = [5, 8, 0, 7, 6, 4, 3, 2, 1]
    for name in ("training", "validation"):
        file = root / "Manually_Annotated_file_lists" / f"{name}.csv"
        rows = [text.split(",") for text in file.read_text().splitlines()]
        file.write_text("\n".join(",".join(row[i] for i in order) for row in rows))
    row = AffectNet7(root).index.set_index("sample_id").loc["train/1/a.jpg"]
    assert row["box"] == (10, 20, 110, 140)
    assert (row["valence"], row["arousal"]) == (0.5, -0.25)


@pytest.mark.parametrize(("end", "mark"), [("\r\n", b""), ("\n", b"\xef\xbb\xbf"), ("\r\n", b"\xef\xbb\xbf")])
def test_line_ends_and_marks_change_nothing(tmp_path: Path, end: str, mark: bytes) -> None:
    before = AffectNet7(write_tree(tmp_path / "a")).index
    after = AffectNet7(write_tree(tmp_path / "b", end=end, mark=mark)).index
    columns = ["sample_id", "path", "label", "valence", "arousal", "group"]
    assert after[columns].equals(before[columns])


@pytest.mark.parametrize(
    "pictures", ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images"]
)
def test_picture_folders_of_the_copies(tmp_path: Path, pictures: str) -> None:
    dataset = AffectNet7(write_tree(tmp_path, pictures=pictures))
    assert dataset.index["path"].str.startswith(f"{pictures}/").all()


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        (line("1/x.jpg", 11), "11", "0 to 10"),
        (line("1/x.jpg", affect="1.5,0"), "1.5", "valence and arousal"),
        (line("1/x.jpg", affect="x,0"), "x", "not a number"),
        (line("1/x.jpg", box="a,1,2,3"), "a,1,2,3", "four numbers"),
        (line("1/x.jpg").replace(POINTS, "1;2;3"), 3, "136 finite"),
        (line("1/x.jpg").replace(POINTS, "1;x"), ["1", "x"], "not a number"),
        (line("../x.jpg"), "../x.jpg", "leaves the dataset root"),
        (line("/etc/x.jpg"), "/etc/x.jpg", "leaves the dataset root"),
        ("1/x.jpg,1,2", "3 fields", "9 fields"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, value: object, message: str) -> None:
    root = write_tree(tmp_path)
    file = root / "Manually_Annotated_file_lists" / "training.csv"
    file.write_text("\n".join([HEADER, TRAIN[0], text]))
    with pytest.raises(DataError, match=message) as caught:
        _ = AffectNet7(root).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (file, 3, value)


def test_a_header_without_a_column_is_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    file = root / "Manually_Annotated_file_lists" / "validation.csv"
    file.write_text(HEADER.replace("face_width", "face_right") + "\n" + VAL[0])
    with pytest.raises(DataError, match="lacks the columns face_width"):
        _ = AffectNet7(root).index


def test_missing_pictures_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for name in ("1/a.jpg", "2/f.jpg"):
        (root / "Manually_Annotated/Manually_Annotated_Images" / name).unlink()
    with pytest.raises(DataError, match=r"3 listed pictures are missing.*1/a\.jpg") as caught:
        _ = AffectNet7(root).index
    assert caught.value.line == 2


def test_a_half_copied_tree_is_not_found(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / "Manually_Annotated_file_lists" / "validation.csv").unlink()
    with pytest.raises(
        DataError, match="The folder contains: Manually_Annotated/, Manually_Annotated_file_lists/"
    ):
        AffectNet7(root)


def test_the_new_layout_is_read_where_both_are_there(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for name in ("train_set", "val_set"):
        (root / name / "images").mkdir(parents=True)
        (root / name / "annotations").mkdir()
    assert (AffectNet7(root).crop, AffectNet7(root).layout) == ("whole", "crops")


def test_the_crop_takes_the_listed_face(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    picture = np.zeros((300, 300, 3), np.uint8)
    cv2.imwrite(str(root / "Manually_Annotated/Manually_Annotated_Images/1/a.jpg"), picture)
    dataset = AffectNet7(root)
    row = dataset.index.set_index("sample_id").loc["train/1/a.jpg#2"]
    image = dataset.load(row["path"], [-1])[0]
    square, how = find_face(
        image, row["box"], row["landmarks"], CropRecipe(kind=dataset.crop, size=64, margin=0)
    )
    assert how == "box"
    np.testing.assert_allclose(square, (200, 20, 290, 110))


def test_validation_is_carved_by_picture_and_the_alias_names_eight_classes(tmp_path: Path) -> None:
    train = tuple(line(f"5/{i // 2}.jpg", i % 8, box=f"{i},0,50,50") for i in range(320))
    dataset = AffectNet7(write_tree(tmp_path, train, tuple(line(f"6/{i}.jpg", i) for i in range(8))))
    protocol = find_protocol(CARD, "affectnet8")
    assert protocol.name == "8-official"
    index = dataset.index.assign(role=assign_roles(dataset.index, CARD, protocol))
    assert (index.groupby("group")["role"].nunique() == 1).all()
    assert (index["role"] == "test").sum() == 8
    assert (index["role"] == "val").sum() == 32


def test_absent_pictures_are_left_out_by_name(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    pictures = "Manually_Annotated/Manually_Annotated_Images"
    lost = [f"{pictures}/{name}" for name in ("1/a.jpg", "2/f.jpg")]
    for name in lost:
        (root / name).unlink()
    with pytest.raises(DataError, match="1 listed picture is missing"):
        AffectNet7(root).leave_out(lost[:1])
    dataset = AffectNet7(root)
    assert dataset.leave_out(lost) == 0
    assert set(dataset.index["path"]) == {f"{pictures}/{name}" for name in ("2/b.PNG", "3/v.jpg", "3/w.jpg")}


def test_backslashes_are_separators_and_endings_may_differ_in_case(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    before = AffectNet7(root).index["sample_id"].tolist()
    for file in (root / "Manually_Annotated_file_lists").iterdir():
        file.write_text(file.read_text().replace("/", "\\").replace("b.PNG", "b.png"))
    after = AffectNet7(root).index
    assert after["sample_id"].str.casefold().tolist() == [name.casefold() for name in before]
