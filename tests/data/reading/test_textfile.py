from pathlib import Path

import pytest

from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError


@pytest.mark.parametrize(
    "raw",
    [b"a 1\nb 2\n", b"a 1\nb 2", b"\xef\xbb\xbfa 1\r\nb 2\r\n\r\n \r\n", b"a 1\r\nb 2\n\n\n"],
    ids=["plain", "no final newline", "mark, CRLF and blank end", "mixed ends"],
)
def test_copies_of_one_list_read_alike(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(raw)
    assert list(numbered_lines(file)) == [(1, "a 1"), (2, "b 2")]


def test_blank_line_inside_is_kept_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"a\n\nb\n\n")
    assert list(numbered_lines(file)) == [(1, "a"), (2, ""), (3, "b")]


@pytest.mark.parametrize(
    ("raw", "line"), [("a\nb\n".encode("utf-16"), 1), ("a\nb\n".encode("utf-16-le"), 1), (b"a\nb\xe9t\n", 2)]
)
def test_other_encodings_are_refused(tmp_path: Path, raw: bytes, line: int) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(raw)
    with pytest.raises(DataError, match="not UTF-8") as caught:
        list(numbered_lines(file))
    assert (caught.value.file, caught.value.line) == (file, line)


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"\xef\xbb\xbf\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(raw)
    with pytest.raises(DataError, match="empty"):
        list(numbered_lines(file))


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        list(numbered_lines(tmp_path / "absent.txt"))
