"""Runs of other code: which they are, what replaces them, and deleting them under their locks."""

import pytest

from fer_bench.results.store import Store
from fer_bench.runs.keys import code_fields
from fer_bench.runs.listing import list_runs
from fer_bench.runs.pruning import remove_runs, runs_of_other_code


@pytest.fixture
def store(record, tmp_path):
    store, today = Store(tmp_path / "runs"), code_fields("resemotenet")

    def add(key, **changes):
        fields = {"version": 2, "seed": changes.get("seed", 0), **today, **changes.pop("fields", {})}
        made = record(**{"method": "resemotenet", **changes}, key=key, key_fields=fields)
        store.run_dir(made.method, made.dataset, key).write_record(made)

    add("now")
    add("old", fields={"method_code": "0"})
    add("alone", seed=1, fields={"training_code": "0"})
    add("stopped", seed=2, status="failed")
    add("lost", seed=2, fields={"method_code": "0"})
    add("union", dataset="ckplus+oulu", fields={"union": {"code": "0", "members": {}}})
    add("foreign", method="nowhere", fields={"method_code": "0"})
    return store


def test_runs_of_other_code_and_what_replaces_them(store):
    old, unknown = runs_of_other_code(store, list_runs(store)[0])
    assert {one.listed.record.key: one.replaced_by for one in old} == {
        "old": "now",
        "alone": None,
        "lost": None,  # today's run of it failed
        "union": None,
    }
    assert [one.record.key for one in unknown] == ["foreign"]
    assert all(one.size > 0 for one in old)


def test_what_a_process_works_on_is_kept_and_empty_folders_go(store):
    chosen = [one for one in list_runs(store)[0] if one.record.key in ("old", "union", "foreign")]
    lock = next(one for one in chosen if one.record.key == "old").run.lock()
    assert lock.acquire()
    gone, kept = remove_runs(chosen)
    assert {one.record.key for one in gone} == {"union", "foreign"}
    assert [one.record.key for one in kept] == ["old"]
    assert not (store.root / "nowhere").exists()
    assert {run.path.name for run in store.run_dirs()} == {"now", "old", "alone", "stopped", "lost"}


def test_the_command_deletes_only_when_told(store, run_cli):
    code, out, err = run_cli("prune", "--replaced")
    assert (code, out.count("\n")) == (0, 3)
    assert "replaced by now" in out
    assert "would remove 1 runs of other code, " in out
    assert "1 runs of nowhere, which is not installed here" in err
    assert len(list(store.run_dirs())) == 7
    code, out, _ = run_cli("prune", "-d", "oulu", "--yes")
    assert (code, "removed 3 runs of other code" in out, "not replaced" in out) == (0, True, True)
    assert {run.path.name for run in store.run_dirs()} == {"now", "stopped", "union", "foreign"}
