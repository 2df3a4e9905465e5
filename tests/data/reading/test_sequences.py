from __future__ import annotations

import pytest

from fer_bench.data.reading.sequences import matching, nearest_frames, neutral_and_peak, subfolders
from fer_bench.errors import DataError


@pytest.mark.parametrize(
    ("numbers", "first", "last"),
    [
        ([1, 2, 3, 4, 5], 1, [3, 4, 5]),
        ([4, 9, 12, 20], 4, [9, 12, 20]),
        ([1, 2, 3], 1, [2, 3]),
        ([1, 2], 1, [2]),
        ([7], None, [7]),
    ],
)
def test_first_and_last_frames_never_overlap(numbers, first, last):
    assert neutral_and_peak(numbers) == (first, last)


def test_whole_names_are_matched_sorted_and_of_the_asked_kind(tmp_path):
    for name in ("b1", "a1", "xa1", ".a1"):
        (tmp_path / name).touch()
    (tmp_path / "c1").mkdir()
    assert [m.string for m in matching(tmp_path, tmp_path, "[a-z]1")] == ["a1", "b1"]
    assert [m.string for m in matching(tmp_path, tmp_path, "[a-z]1", folders=True)] == ["c1"]
    assert matching(tmp_path / "none", tmp_path, ".*") == []


def test_only_a_wanted_link_that_leaves_is_refused(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (tmp_path / "secret.png").touch()
    (base / "note.txt").symlink_to(tmp_path / "secret.png")
    assert matching(base, base, r".*\.png") == []
    (base / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="the path leaves the dataset root") as caught:
        matching(base, base, r".*\.png")
    assert caught.value.file == base / "a.png"


def test_a_base_that_is_itself_a_link_is_read(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(matching(tmp_path / "link", tmp_path / "link", r"a\.png")) == 1


def test_subfolders_of_anything_are_listed_without_failing(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "file").touch()
    assert subfolders(tmp_path) == [tmp_path / "b"]
    assert subfolders(tmp_path / "file") == subfolders(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("references", "expected"),
    [([4], [4, 4, 4, 4]), ([2, 6], [2, 2, 2, 6]), ([1, 3, 9], [1, 3, 3, 9]), ([0, 100], [0, 0, 0, 0])],
)
def test_the_nearest_frame_is_the_earlier_one_on_ties(references, expected):
    assert nearest_frames([1, 3, 4, 8], references) == expected
    by_hand = [min(references, key=lambda r: (abs(r - f), r)) for f in (1, 3, 4, 8)]
    assert expected == by_hand
