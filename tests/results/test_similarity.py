import pytest

from fer_bench.errors import StoreError
from fer_bench.results.similarity import FOLDER, Pair, Similarity, read_similarities, write_similarity

FOUND = Similarity(
    network="clip-tiny-neutral",
    weights="0" * 64,
    trained_on="drawn faces",
    faces=400,
    data={"oulu": ("f1", "crop"), "rafdb": ("f2", "crop")},
    pairs=(Pair(first="oulu", second="rafdb", told_apart=0.9, distance=None, expressions=()),),
)


def test_it_survives_a_round_trip(tmp_path):
    path = write_similarity(tmp_path, FOUND, "synthetic-clip-tiny-neutral")
    assert path.parent.name == FOLDER
    assert read_similarities(tmp_path) == [FOUND]


def test_a_store_without_any_has_none(tmp_path):
    assert read_similarities(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path):
    path = write_similarity(tmp_path, FOUND, "one")
    path.write_text(path.read_text()[:40])
    with pytest.raises(StoreError) as refused:
        read_similarities(tmp_path)
    assert refused.value.file == path
    assert "fer-bench similarity" in refused.value.hint
