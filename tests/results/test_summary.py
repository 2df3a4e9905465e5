import json
import os
from pathlib import Path

import pytest

from fer_bench.errors import StoreError
from fer_bench.results import store as stores
from fer_bench.results.record import Chosen, Failure, TargetData
from fer_bench.results.store import Store

DATA = TargetData(fingerprint="f", pixels="p", recipe="whole 64px", card_version=1, protocol="6-4fold")


@pytest.fixture
def run(tmp_path):
    return Store(tmp_path).run_dir("gcn", "oulu", "0123456789abcdef")


def test_it_says_what_planning_needs(run, record):
    run.write_record(
        record(
            settings={"device": "cuda", "train": {"max_epochs": 30}},
            selection={"last": Chosen(epoch=29, val_uar=None, checkpoint="ab")},
            targets={"oulu": DATA},
            missing={"mmi": "absent"},
            timing={"train": 2.0},
            error=Failure(kind="OSError", message="first\nsecond"),
        )
    )
    found = run.read_summary()
    assert (found.method, found.dataset, found.profile) == ("gcn", "oulu", "quick")
    assert (found.device, found.max_epochs, found.timing) == ("cuda", 30, {"train": 2.0})
    assert (found.headline, found.checkpoint) == ("last", "ab")
    assert (found.targets, found.missing) == ({"oulu": DATA}, {"mmi": "absent"})
    assert (found.name, found.error) == ("gcn/oulu/6-4fold fold 1 of 4 seed 0", "first")


def test_it_is_read_instead_of_the_record(run, record, monkeypatch):
    run.write_record(record())

    def refuse(path):
        raise AssertionError

    monkeypatch.setattr(stores, "read_record", refuse)
    assert run.read_summary().status == "done"


def test_before_the_first_record_there_is_none(run):
    assert run.read_summary() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 2}'])
def test_a_damaged_summary_is_ignored(run, record, content):
    run.write_record(record())
    good = run.read_summary()
    run.summary_file.write_text(content)
    assert run.read_summary() == good
    run.summary_file.unlink()
    assert run.read_summary() == good


def test_a_summary_of_another_record_is_never_believed(run, record):
    """As after a crash between the two writes: same size, same time, another file."""
    run.write_record(record(seed=1))
    stale, state = run.summary_file.read_bytes(), run.record_file.stat()
    run.write_record(record(seed=2))
    run.summary_file.write_bytes(stale)
    os.utime(run.record_file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run.record_file.stat().st_size == state.st_size
    assert run.read_summary().name.endswith("seed 2")


def test_a_record_that_was_edited_in_place_is_read_again(run, record):
    run.write_record(record())
    text = run.record_file.read_text()
    run.record_file.write_text(text.replace('"status": "done"', '"status": "oom"'))
    assert run.read_summary().status == "oom"


def test_a_disk_that_is_full_after_the_record_loses_nothing(run, record, monkeypatch):
    def full(path, text):
        raise StoreError("cannot write: no space", file=path)

    monkeypatch.setattr(stores, "write_text", full)
    run.write_record(record())
    assert not run.summary_file.exists()
    assert run.read_summary().status == "done"


def test_a_store_gives_those_of_all_readable_records_in_their_own_folders(tmp_path, record):
    store = Store(tmp_path)
    for key in ("a" * 16, "b" * 16, "c" * 16, "d" * 16):
        store.run_dir("gcn", "oulu", key).write_record(record(key=key))
    damaged, moved = (store.run_dir("gcn", "oulu", key * 16) for key in "bc")
    damaged.record_file.write_text("{")
    moved.write_record(record(key="e" * 16))
    store.run_dir("gcn", "oulu", "d" * 16).summary_file.unlink()
    found = store.summaries()
    assert list(found) == ["a" * 16, "d" * 16]
    assert json.loads(store.run_dir("gcn", "oulu", "a" * 16).summary_file.read_text())["status"] == "done"


def test_damage_is_named(run, record):
    run.write_record(record())
    run.record_file.write_text("{")
    with pytest.raises(StoreError, match="readable JSON"):
        run.read_summary()


def test_a_record_of_schema_1_is_summarised_too(run):
    old = Path(__file__).with_name("record_schema_1.json")
    run.path.mkdir(parents=True)
    run.record_file.write_bytes(old.read_bytes())
    found = run.read_summary()
    assert (found.status, found.headline, set(found.targets)) == ("done", "val", {"oulu", "rafdb"})
    assert found.checkpoint == json.loads(old.read_text())["selection"]["val"]["checkpoint"]
