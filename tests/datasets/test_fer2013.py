from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, target_rows
from fer_bench.datasets.fer2013 import FER2013
from fer_bench.errors import DataError

HEADER = "emotion,pixels,Usage"


def picture(row: int) -> np.ndarray:
    return ((np.arange(48 * 48) + 7 * row) % 256).astype(np.uint8)


def greys(row: int) -> str:
    return " ".join(map(str, picture(row)))


def lines(n: int = 21) -> list[str]:
    usages = ("Training", "PublicTest", "PrivateTest")
    return [f"{row % 7},{greys(row)},{usages[row // 7 % 3]}" for row in range(n)]


def write_csv(
    root: Path, rows: list[str] | None = None, header: str = HEADER, name: str = "fer2013.csv"
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([header, *(lines() if rows is None else rows)]) + "\n")
    return root


def test_rows_and_pixels(tmp_path: Path) -> None:
    dataset = FER2013(write_csv(tmp_path))
    index = dataset.index
    assert index["sample_id"].tolist()[:2] == ["00000", "00001"]
    assert index["frame"].tolist() == list(range(21))
    assert index["label"].tolist()[:7] == [
        "anger",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
        "neutral",
    ]
    assert index["split"].tolist() == ["train"] * 7 + ["val"] * 7 + ["test"] * 7
    images = dataset.load("fer2013.csv", [20, 3])
    for image, row in zip(images, (20, 3), strict=True):
        assert image.shape == (48, 48, 3)
        assert image.dtype == np.uint8
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], picture(row).reshape(48, 48))


def test_csv_is_read_once(tmp_path: Path) -> None:
    dataset = FER2013(write_csv(tmp_path))
    _ = dataset.index
    (tmp_path / "fer2013.csv").unlink()
    assert dataset.load("fer2013.csv", [0])[0].shape == (48, 48, 3)


def test_icml_variant_has_other_order_and_blanks(tmp_path: Path) -> None:
    rows = [f"{row % 7},{'Training' if row else 'PrivateTest'},{greys(row)}" for row in range(3)]
    dataset = FER2013(write_csv(tmp_path, rows, "emotion, Usage, pixels", "icml_face_data.csv"))
    assert dataset.index["split"].tolist() == ["test", "train", "train"]
    assert dataset.index["path"].tolist() == ["icml_face_data.csv"] * 3
    np.testing.assert_array_equal(dataset.load("icml_face_data.csv", [2])[0][..., 1].ravel(), picture(2))


def test_quoted_pixels_crlf_and_mark(tmp_path: Path) -> None:
    write_csv(tmp_path)
    plain = FER2013(tmp_path)
    before, image = plain.index, plain.load("fer2013.csv", [5])[0]
    text = "\r\n".join(
        [HEADER, *(f'{i % 7},"{greys(i)}",{line.split(",")[2]}' for i, line in enumerate(lines()))]
    )
    (tmp_path / "fer2013.csv").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    again = FER2013(tmp_path)
    assert again.index.equals(before)
    np.testing.assert_array_equal(again.load("fer2013.csv", [5])[0], image)


@pytest.mark.parametrize(
    ("row", "value", "message"),
    [
        (f"7,{greys(0)},Training", "7", "0 to 6"),
        (f",{greys(0)},Training", "", "0 to 6"),
        (f"0,{greys(0)},Test", "Test", "usage"),
        (f"0,{greys(0)} 1,Training", "2305 pixels", "2304 pixels"),
        (f"0,{greys(0).rpartition(' ')[0]},Training", "2303 pixels", "2304 pixels"),
        (f"0,{greys(0).replace('255', '256', 1)},Training", "256", "0 to 255"),
        (f"0,{greys(0).replace('255', '-1', 1)},Training", "-1", "0 to 255"),
        (f"0,{greys(0).replace('255', 'x', 1)},Training", "x", "0 to 255"),
        (f"0,{greys(0)}", "2 fields", "fields emotion, pixels, Usage"),
        ("", "1 fields", "fields emotion, pixels, Usage"),
    ],
)
def test_malformed_rows_are_named(tmp_path: Path, row: str, value: str, message: str) -> None:
    rows = lines()
    rows[4] = row
    root = write_csv(tmp_path, rows)
    with pytest.raises(DataError, match=message) as caught:
        _ = FER2013(root).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (root / "fer2013.csv", 6, value)


@pytest.mark.parametrize("header", ["emotion,pixels", "label,pixels,Usage", "0,1 2 3,Training"])
def test_a_foreign_header_is_refused(tmp_path: Path, header: str) -> None:
    root = write_csv(tmp_path, header=header)
    with pytest.raises(DataError, match="header does not name") as caught:
        _ = FER2013(root).index
    assert (caught.value.line, caught.value.value) == (1, header)


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row"):
        _ = FER2013(write_csv(tmp_path, [])).index


@pytest.mark.parametrize(("path", "frame"), [("other.csv", 0), ("fer2013.csv", 21), ("fer2013.csv", -1)])
def test_load_refuses_what_the_csv_does_not_have(tmp_path: Path, path: str, frame: int) -> None:
    dataset = FER2013(write_csv(tmp_path))
    with pytest.raises(DataError):
        dataset.load(path, [frame])


def test_a_csv_that_links_out_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "fer2013.csv").symlink_to(tmp_path / "elsewhere" / "fer2013.csv")
    with pytest.raises(DataError, match="leaves the dataset root"):
        _ = FER2013(tmp_path / "root").index


def test_missing_csv_names_the_expected_tree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fer2013\.csv"):
        FER2013(tmp_path)


def test_protocol_is_the_official_split(tmp_path: Path) -> None:
    dataset = FER2013(write_csv(tmp_path))
    roles = assign_roles(dataset.index, dataset.card, find_protocol(dataset.card, None))
    assert roles.tolist() == dataset.index["split"].tolist()


def test_card_counts_add_up() -> None:
    totals = {c.split: c.n for c in FER2013.card.counts if c.code is None}
    assert totals == {"train": 28709, "val": 3589, "test": 3589}


FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def write_folders(root: Path) -> Path:
    """Write the class-folder form: PublicTest and PrivateTest merged in `test`."""
    for part, usages in (("train", ("Training",)), ("test", ("PublicTest", "PrivateTest"))):
        for code, name in enumerate(FOLDERS):
            (root / part / name).mkdir(parents=True)
            for place, usage in enumerate(usages):
                number = 100 * code + 10 * place + len(usages)
                file = root / part / name / f"{usage}_{number:08d}.jpg"
                cv2.imwrite(str(file), picture(number).reshape(48, 48))
    return root


def test_the_merged_test_folder_is_undone_by_name(tmp_path: Path) -> None:
    dataset = FER2013(write_folders(tmp_path))
    index = dataset.index.set_index("sample_id")
    assert index["split"].value_counts().to_dict() == {"train": 7, "val": 7, "test": 7}
    row = index.loc["PrivateTest_00000612"]
    assert row[["native_label", "label", "split"]].tolist() == ["6", "neutral", "test"]
    assert row["path"] == "test/neutral/PrivateTest_00000612.jpg"
    assert index.loc["PublicTest_00000302", "split"] == "val"
    assert dataset.load(row["path"], [-1])[0].shape == (48, 48, 3)


def test_the_csv_is_read_before_class_folders_beside_it(tmp_path: Path) -> None:
    dataset = FER2013(write_csv(write_folders(tmp_path)))
    assert set(dataset.index["path"]) == {"fer2013.csv"}
    assert any("not the class folders" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("train/sad", "PrivateTest_00000001.jpg"),
        ("test/sad", "Training_00000001.jpg"),
        ("train/sad", "aug_Training_1.jpg"),
    ],
)
def test_changed_and_enlarged_copies_are_refused(tmp_path: Path, place: str, name: str) -> None:
    root = write_folders(tmp_path)
    (root / place / name).touch()
    with pytest.raises(DataError, match="changed or enlarged copy") as caught:
        _ = FER2013(root).index
    assert caught.value.file == root / place / name


def test_one_picture_in_two_classes_and_a_missing_class_are_refused(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "a")
    (root / "train" / "sad" / "Training_00000001.jpg").touch()
    with pytest.raises(DataError, match="is in train/angry already"):
        _ = FER2013(root).index
    root = write_folders(tmp_path / "b")
    for file in (root / "test" / "fear").iterdir():
        file.unlink()
    (root / "test" / "fear").rmdir()
    with pytest.raises(DataError, match="class folder is missing"):
        _ = FER2013(root).index


def test_dedup_leaves_out_repeated_test_pictures_by_their_pixels(tmp_path: Path) -> None:
    rows = lines()
    rows[14] = f"3,{greys(2)},PrivateTest"  # in Training, with another label
    rows[15] = f"1,{greys(8)},PrivateTest"  # in PublicTest
    rows[9] = f"2,{greys(3)},PublicTest"  # in Training: validation rows stay as they are
    rows[17] = f"3,{greys(16)},PrivateTest"  # twice within PrivateTest
    dataset = FER2013(write_csv(tmp_path, rows))
    index, card = dataset.index, dataset.card
    official = assign_roles(index, card, find_protocol(card, None))
    dedup = assign_roles(index, card, find_protocol(card, "fer2013/dedup"))
    assert index["sample_id"][official != dedup].tolist() == ["00014", "00015"]
    assert set(dedup[[14, 15]]) == {""}
    assert any("2 PrivateTest pictures are pixel-identical" in note for note in dataset.notes)
    assert target_rows(index, card, find_protocol(card, None)).sum() == 7


def test_dedup_decodes_the_pictures_of_class_folders(tmp_path: Path) -> None:
    root = write_folders(tmp_path)
    original = cv2.imread(str(root / "train" / "sad" / "Training_00000401.jpg"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(root / "test" / "fear" / "PrivateTest_00000999.png"), original)  # other bytes
    (root / "test" / "fear" / "PrivateTest_00000998.jpg").touch()  # broken: repeats nothing
    (root / "train" / "fear" / "Training_00000998.jpg").touch()
    index = FER2013(root).index
    assert index["sample_id"][index["variant"] == "repeated"].tolist() == ["PrivateTest_00000999"]


def test_numbered_class_folders_with_official_names_are_read_as_repackaged(tmp_path: Path) -> None:
    root = write_folders(tmp_path)
    before = FER2013(root).index
    for part in ("train", "test"):
        names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
        for code, name in enumerate(names):
            (root / part / name).rename(root / part / str(code))
    dataset = FER2013(root)
    columns = ["sample_id", "label", "split"]
    assert dataset.index[columns].equals(before[columns])
    assert dataset.notes[0].startswith("repackaged: ")


@pytest.mark.parametrize("numbered", [True, False])
def test_copies_without_official_names_are_named_with_what_they_lost(tmp_path: Path, numbered: bool) -> None:
    names = "0123456" if numbered else ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    for part in ("train", "test"):
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "im0.png").touch()
    with pytest.raises(DataError, match=r"public copy with other file names \(im0\.png\).*merged in test"):
        FER2013(tmp_path)
