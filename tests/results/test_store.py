import json

import pytest

from fer_bench.errors import StoreError
from fer_bench.results.store import Store


def test_records_come_in_a_stable_order(tmp_path, record):
    store = Store(tmp_path)
    for key, method, seed in (("c" * 16, "gcn", 1), ("a" * 16, "gcn", 0), ("b" * 16, "cafe", 0)):
        store.run_dir(method, "oulu", key).write_record(record(key=key, method=method, seed=seed))
    assert [(r.method, r.seed) for r in store.records()] == [("cafe", 0), ("gcn", 0), ("gcn", 1)]


def test_find_needs_one_match(tmp_path, record):
    store = Store(tmp_path)
    for key in ("abc1", "abc2"):
        store.run_dir("gcn", "oulu", key).write_record(record(key=key))
    assert store.find("abc2").path.name == "abc2"
    with pytest.raises(StoreError, match="2 runs"):
        store.find("abc")
    with pytest.raises(StoreError, match="no run"):
        store.find("zzz")


def test_a_file_in_the_way_is_said(tmp_path):
    blocked = tmp_path / "runs"
    blocked.write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(blocked).check_writable()


def test_record_is_plain_json(tmp_path, record):
    run = Store(tmp_path).run_dir("gcn", "oulu", "k")
    run.write_record(record())
    raw = json.loads(run.record_file.read_text())
    assert raw["schema_version"] == 2
    assert raw["classes"] == ["happiness", "anger"]
