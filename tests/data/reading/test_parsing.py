import math
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.reading.parsing import (
    csv_fields,
    finite,
    parse_affect,
    parse_line,
    parse_points,
    parsed_lines,
    split_header,
)
from fer_bench.data.reading.problems import collecting
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError

FILE = Path("list.txt")


def whole(text: str) -> int | None:
    if text == "skip":
        return None
    if not text.isdigit():
        raise DataError("not a whole number", value=text, hint="count again")
    return int(text)


def test_a_malformed_line_is_named_with_its_file() -> None:
    assert parse_line(whole, "7", file=FILE, line=3) == 7
    with pytest.raises(DataError) as caught:
        parse_line(whole, "seven", file=FILE, line=3)
    error = caught.value
    assert (error.file, error.line, error.value, error.hint) == (FILE, 3, "seven", "count again")


def test_an_error_that_names_its_file_keeps_it() -> None:
    def refuse(text: str) -> None:
        raise DataError("gone", file="picture.jpg")

    with pytest.raises(DataError) as caught:
        parse_line(refuse, "", file=FILE, line=3)
    assert (caught.value.file, caught.value.line) == ("picture.jpg", None)


def test_lines_are_parsed_and_those_that_mean_nothing_left_out() -> None:
    lines = enumerate(["1", "skip", "3"], start=5)
    assert list(parsed_lines(lines, whole, file=FILE)) == [(5, 1), (7, 3)]


def test_a_run_stops_at_the_first_bad_line_and_a_check_collects_them() -> None:
    lines = list(enumerate(["1", "one", "2", "1", "two"], start=1))
    with pytest.raises(DataError, match="line 2: not a whole number"):
        list(parsed_lines(lines, whole, file=FILE, unique=str))
    with collecting() as problems:
        assert list(parsed_lines(lines, whole, file=FILE, unique=str)) == [(1, 1), (3, 2)]
    assert [problem.error.line for problem in problems] == [2, 4, 5]
    assert "it is on line 1 already (found '1')" in str(problems[1].error)


@pytest.mark.parametrize(("header", "first"), [("name,code", 2), (None, 1)])
def test_a_header_is_split_off_where_there_is_one(tmp_path: Path, header: str | None, first: int) -> None:
    file = tmp_path / "list.csv"
    file.write_text("\n".join([*([header] if header else []), "a,1", "b,2"]))
    found, lines = split_header(file, lambda line: "code" in line)
    assert found == header
    assert list(lines) == [(first, "a,1"), (first + 1, "b,2")]
    assert [text for _, text in numbered_lines(file)][-1] == "b,2"


@pytest.mark.parametrize("line", ["a, b ,c d", '"a",b,"c d"', "a,b,c d"])
def test_csv_fields_may_be_quoted_and_padded(line: str) -> None:
    assert csv_fields(line) == ["a", "b", "c d"]


@pytest.mark.parametrize(
    ("text", "value"), [("1e2", 100.0), (" -3 ", -3.0), ("x", None), ("nan", None), ("inf", None)]
)
def test_only_finite_numbers_count(text: str, value: float | None) -> None:
    assert finite(text) == value


def test_valence_and_arousal_are_in_their_range_or_missing() -> None:
    assert parse_affect("0.25", missing=-2) == 0.25
    assert math.isnan(parse_affect("-2.0", missing=-2))
    for text, message in (
        ("x", "not a number"),
        ("1.5", r"in \[-1, 1\], or -2"),
        ("-5", "or -2"),
        ("nan", "or -2"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            parse_affect(text, missing=-2)
        assert caught.value.value == text


def test_points_are_pairs_of_finite_numbers() -> None:
    np.testing.assert_array_equal(
        parse_points(["1", "2", 3.0, 4.5], 2), np.array([[1, 2], [3, 4.5]], np.float32)
    )
    for words, message in (
        (["1", "x"], "not a number"),
        (["1", "2"], "not 4 finite"),
        (["1"] * 3 + ["inf"], "finite"),
    ):
        with pytest.raises(DataError, match=message):
            parse_points(words, 2)
