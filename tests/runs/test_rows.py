"""What `--rows` and sweep files say about subsets."""

import pytest

from fer_bench.errors import UsageError
from fer_bench.runs.rows import parse_rows, subsets_for_runs


def test_texts_are_names_and_files():
    assert parse_rows(["occlusion=a=b.txt", "rafdb:pose = p.txt"]) == {
        "occlusion": "a=b.txt",
        "rafdb:pose": "p.txt",
    }
    for wrong in (["occlusion"], ["=a.txt"], ["occlusion="], ["a=b", "a=c"]):
        with pytest.raises(UsageError, match="a subset is"):
            parse_rows(wrong)


def test_without_a_dataset_the_single_source_is_meant(workspace, tmp_path):
    index = workspace.source("oulu").dataset.index
    file = tmp_path / "rows.txt"
    file.write_text("\n".join(index["sample_id"][:3]))
    (found,) = subsets_for_runs({"few": str(file)}, ["oulu"], ["rafdb"], workspace)
    assert (found.dataset, found.file, set(found.rows)) == ("oulu", "rows.txt", set(index["sample_id"][:3]))
    with pytest.raises(UsageError, match="say which dataset"):
        subsets_for_runs({"few": str(file)}, ["ckplus+oulu"], [], workspace)
    (member,) = subsets_for_runs({"oulu:few": str(file)}, ["ckplus+oulu"], [], workspace)
    assert member.rows == found.rows
