import pytest

from fer_bench.errors import StoreError
from fer_bench.results.efficiency import (
    FOLDER,
    Efficiency,
    Predicting,
    read_efficiencies,
    write_efficiency,
)

MODEL = Predicting(
    key="0123456789abcdef",
    checkpoint="ab" * 32,
    size=48,
    parameters=1234,
    seconds={1: 0.001, 32: 0.02},
    memory={1: 10_000, 32: 20_000},
)
FOUND = Efficiency(
    device="cpu",
    processor="a CPU",
    threads=1,
    rounds={1: 30, 32: 7},
    environment={"torch": "2.15.0"},
    models=(MODEL,),
    failed={"fedc": "gcn: the checkpoint is absent"},
)


def test_each_device_has_its_last_measurement(tmp_path):
    write_efficiency(tmp_path, FOUND.model_copy(update={"threads": 2}))
    path = write_efficiency(tmp_path, FOUND)
    assert (path.parent.name, path.name) == (FOLDER, "cpu.json")
    assert read_efficiencies(tmp_path) == [FOUND]
    on_gpu = FOUND.model_copy(update={"device": "cuda", "processor": "a GPU"})
    write_efficiency(tmp_path, on_gpu)
    assert read_efficiencies(tmp_path) == [FOUND, on_gpu]


def test_a_store_without_any_has_none(tmp_path):
    assert read_efficiencies(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path):
    path = write_efficiency(tmp_path, FOUND)
    path.write_text(path.read_text()[:40])
    with pytest.raises(StoreError) as refused:
        read_efficiencies(tmp_path)
    assert refused.value.file == path
    assert "fer-bench efficiency" in refused.value.hint
