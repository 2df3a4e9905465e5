"""Stored mistakes are read back, absent or one error."""

import pytest

from fer_bench.errors import StoreError
from fer_bench.results.mistakes import Mistake, Mistakes, mistakes_file, read_mistakes, write_mistakes
from fer_bench.results.store import RunDir

FOUND = Mistakes(
    checkpoint="ab" * 32,
    fingerprint="f",
    mistakes=(Mistake(sample_id="1", truth="fear", answer="anger", probability=0.9, picture="/9j/"),),
)


def test_written_mistakes_are_read_back(tmp_path):
    file = mistakes_file(RunDir(tmp_path), "oulu")
    assert read_mistakes(file) is None
    write_mistakes(file, FOUND)
    assert read_mistakes(file) == FOUND


def test_a_damaged_file_is_one_error(tmp_path):
    file = tmp_path / "oulu.json"
    file.write_text('{"checkpoint": 1')
    with pytest.raises(StoreError, match="not readable"):
        read_mistakes(file)
