"""Lists of rows in the forms in which they are public."""

import pytest

from fer_bench.data.reading.row_list import read_row_list
from fer_bench.errors import DataError

HASH = "3c028208c27c0be5fbe6a52738bebcbfb6c64f3220f523a84b267203"
ROWS = {
    "test_0003": "Image/aligned/test_0003_aligned.jpg",
    "test_0004": "Image/aligned/test_0004_aligned.jpg",
    "fer0034234": "fer2013.csv",
    f"val/123/{HASH}.jpg": f"Manually_Annotated/123/{HASH}.jpg",
    "val/8": "val_set/images/8.jpg",
    "P001/Anger/008": "NI/Strong/P001/Anger/008.jpeg",
    "P002/Anger/008": "NI/Strong/P002/Anger/008.jpeg",
    "a face.png": "happy/a face.png",
    "photo.jpg#0": "image/photo.jpg",
    "photo.jpg#1": "image/photo.jpg",
    "12345": "fer2013.csv",
}
IDS, PATHS = list(ROWS), list(ROWS.values())


def read(tmp_path, *lines):
    file = tmp_path / "rows.txt"
    file.write_text("\n".join(lines))
    return read_row_list(file, "rafdb", IDS, PATHS)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("test_0003", "test_0003"),
        ("test_0003.jpg", "test_0003"),
        ("test_0003_aligned 3 4", "test_0003"),  # occlusion list of RAF-DB: label, kind
        ("3/test_0004_aligned.jpg", "test_0004"),  # pose list of RAF-DB: class folder
        ("Image\\aligned\\test_0004_aligned.jpg,3", "test_0004"),
        ("3_fer0034234.png 8 0", "fer0034234"),  # occlusion list of FERPlus
        ("3/fer0034234.jpg", "fer0034234"),  # pose list of FERPlus
        (f"7/{HASH}/8.jpg", f"val/123/{HASH}.jpg"),  # pose list of AffectNet, not picture 8
        (f"val/0/{HASH}/", f"val/123/{HASH}.jpg"),  # occlusion list of AffectNet
        ("8.jpg", "val/8"),
        ("images/8.jpg\t7", "val/8"),
        ("P002/Anger/008.jpeg", "P002/Anger/008"),
        ("a face.png", "a face.png"),
        ("a face.png;happy", "a face.png"),
        ("photo.jpg#1", "photo.jpg#1"),
        ("12345", "12345"),
    ],
)
def test_names_as_lists_have_them(tmp_path, line, row):
    assert read(tmp_path, "# a comment", line).rows == (row,)


def test_rows_are_sorted_and_repeated_lines_counted(tmp_path):
    found = read(tmp_path, "test_0004_aligned 6 2", "test_0003_aligned 6 2", "test_0004_aligned 6 2", "")
    assert found.rows == ("test_0003", "test_0004")
    assert found.repeated == 1


@pytest.mark.parametrize("line", ["test_9999", "7/8.jpg", "0/12345.png", "0", "558 7", "other/place/008.png"])
def test_what_names_no_row_is_refused_with_its_line(tmp_path, line):
    with pytest.raises(DataError, match="1 of 2 lines name no row of rafdb") as caught:
        read(tmp_path, "test_0003", line)
    assert (caught.value.line, caught.value.value) == (2, line)


@pytest.mark.parametrize(("line", "count"), [("008.jpeg", 2), ("Anger/008.jpeg", 2), ("image/photo.jpg", 2)])
def test_what_names_several_rows_is_refused_with_their_ids(tmp_path, line, count):
    with pytest.raises(DataError, match=f"that of {count} rows") as caught:
        read(tmp_path, line)
    assert caught.value.hint.count(",") == count - 1


def test_a_list_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path, "# nothing", "")
    with pytest.raises(DataError, match="does not exist"):
        read_row_list(tmp_path / "no.txt", "rafdb", IDS, PATHS)
