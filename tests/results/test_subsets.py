"""Named subsets in a store: one meaning per name, a hash of the rows alone."""

import pytest

from fer_bench.errors import StoreError, UsageError
from fer_bench.results.subsets import Subset, add_subset, check_subset_name, subsets_of


def subset(*rows, name="occlusion", file="list.txt"):
    return Subset(dataset="rafdb", name=name, rows=rows, file=file)


def test_the_hash_is_of_the_rows_alone():
    assert subset("a", "b").hash == subset("a", "b", name="pose", file="other.txt").hash
    assert subset("a", "b").hash != subset("a", "c").hash


def test_a_name_means_one_set_of_rows(tmp_path):
    assert add_subset(tmp_path, subset("a", "b"))
    assert not add_subset(tmp_path, subset("a", "b", file="again.txt"))
    assert add_subset(tmp_path, subset("a", name="pose-45"))
    with pytest.raises(UsageError, match=r"is the name of 2 other rows, of list\.txt"):
        add_subset(tmp_path, subset("a", "c"))
    assert [one.name for one in subsets_of(tmp_path, "rafdb")] == ["occlusion", "pose-45"]
    assert subsets_of(tmp_path, "expw") == ()
    (tmp_path / "subsets" / "rafdb" / "occlusion.json").write_text("{")
    with pytest.raises(StoreError, match="not a readable subset"):
        subsets_of(tmp_path, "rafdb")


@pytest.mark.parametrize("name", ["", "Pose", "../pose", ".pose", "a b"])
def test_names_are_those_of_files(name):
    with pytest.raises(UsageError, match="small letters"):
        check_subset_name(name)
