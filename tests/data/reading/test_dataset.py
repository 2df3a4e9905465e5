from __future__ import annotations

import os

import pytest

from fer_bench.data.index import fingerprint
from fer_bench.data.reading import dataset as module
from fer_bench.errors import DataError
from tests.data.toy import Toy, toy_rows


@pytest.mark.parametrize("place", [".", "toy", "TOY"])
def test_a_root_is_the_datasets_own_folder_or_holds_it(tmp_path, place):
    (tmp_path / "root" / place / "pictures").mkdir(parents=True)
    assert Toy(tmp_path / "root").base == tmp_path / "root" / place


def test_a_root_without_the_dataset_shows_the_required_tree(tmp_path):
    with pytest.raises(DataError, match=r"Toy was not found here") as caught:
        Toy(tmp_path)
    assert "pictures/<id>.png" in str(caught.value)
    assert "notes.txt" not in str(caught.value)
    with pytest.raises(DataError, match=r"data root for toy does not exist\n  fer-bench data describe toy"):
        Toy(tmp_path / "nowhere")


def test_a_root_that_cannot_be_listed_holds_nothing(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Path, "iterdir", refuse)
    assert Toy.find(tmp_path) is None


def test_rows_are_left_out_by_sample_or_path(make_toy):
    toy = make_toy(toy_rows(2))
    before, n = fingerprint(toy.index), len(toy.index)
    assert toy.leave_out(["S00/0/0", "pictures/S01-2-1.png"]) == 2
    assert len(toy.index) == n - 2
    assert fingerprint(toy.index) != before
    orphans = toy.index[toy.index["sequence"] == "S00/0"]
    assert orphans["reference_id"].isna().all()
    assert toy.index["reference_id"].notna().sum() == len(toy.index) - len(orphans)
    assert toy.notes == ["2 row(s) left out by name"]
    with pytest.raises(DataError, match=r"no such sample or file to leave out .*'typo'"):
        toy.leave_out(["typo"])
    with pytest.raises(DataError, match=r"leaves nothing of toy"):
        toy.leave_out(toy.index["sample_id"])


def test_a_picture_has_no_frames(make_toy):
    toy = make_toy(toy_rows(1))
    path = toy.index["path"].iloc[0]
    assert len(toy.load(path, [-1, -1])) == 2
    with pytest.raises(DataError, match=rf"{os.path.basename(path)}: a picture has no frames .*3"):
        toy.load(path, [3])
