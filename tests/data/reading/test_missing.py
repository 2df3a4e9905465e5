from __future__ import annotations

from pathlib import Path

import pytest

from fer_bench.data.reading.missing import any_excused, excusing, refuse_dangling, refuse_missing
from fer_bench.data.reading.problems import collecting
from fer_bench.errors import DataError


def test_missing_pictures_are_counted_and_the_first_is_named() -> None:
    refuse_missing([], file=Path("list.txt"), folder=Path("pictures"), dataset="x")
    with pytest.raises(
        DataError, match=r"2 listed pictures are missing from pictures, first 'b\.jpg'"
    ) as caught:
        refuse_missing(
            [(4, "b.jpg"), (9, "c.jpg")], file=Path("list.txt"), folder=Path("pictures"), dataset="x"
        )
    assert caught.value.line == 4


def test_a_missing_picture_is_left_out_by_name_and_the_others_are_refused(tmp_path: Path) -> None:
    where = {"file": tmp_path / "list.txt", "folder": tmp_path / "pictures", "dataset": "x"}
    with excusing(["pictures/b.jpg", "pictures/there.jpg"], tmp_path) as absent:
        refuse_missing([(4, "b.jpg")], **where)
        assert any_excused()
        with pytest.raises(DataError, match=r"1 listed picture is missing .* 'c\.jpg'") as caught:
            refuse_missing([(4, "b.jpg"), (9, "c.jpg")], **where)
    assert absent == {"pictures/b.jpg"}
    assert not any_excused()
    assert "--write-exclude FILE" in str(caught.value)


def test_links_to_nothing_are_named_with_their_targets(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "annex" / "key")
    with pytest.raises(DataError, match=f"1 link leads to nothing, first a.jpg -> {tmp_path}/annex/key"):
        refuse_dangling(tmp_path, ["a.jpg"])
    with collecting() as problems:
        refuse_missing([(1, "a.jpg")], file=tmp_path / "list.txt", folder=tmp_path, dataset="x")
    assert "are links to nothing, first a.jpg -> " in problems[0].error.message
    assert "git annex get" in str(problems[0].error)
