"""What checkpoints say about themselves follows their run, and keeps what only its data could tell."""

import shutil

from fer_bench.results.record import read_record
from fer_bench.results.store import RunDir
from fer_bench.runs.facts import describe_checkpoints, find_facts
from tests.inference.conftest import trained, trained_store

__all__ = ["trained", "trained_store"]


def test_a_new_record_is_stored_and_the_framing_is_kept(trained, tmp_path):
    run = RunDir(tmp_path / "run")
    shutil.copytree(trained, run.path)
    record = read_record(run.record_file).model_copy(update={"warnings": ("tested on more",)})
    before = find_facts(run.checkpoints / "val.pt", record.checkpoint)
    assert before.framing is not None
    describe_checkpoints(run, record)
    after = find_facts(run.checkpoints / "val.pt", record.checkpoint)
    assert after.framing == before.framing
    assert after.record.warnings == ("tested on more",)


def test_crops_of_a_detector_have_no_framing(plan, workspace, tmp_path):
    """CK+ is cut around its landmarks, so that its recipe says how faces lie."""
    from fer_bench.results.store import Store
    from fer_bench.runs.execute import execute

    planned = plan(dataset="ckplus", protocol=None, targets="none", max_epochs=1)
    record = execute(planned, Store(tmp_path), workspace)
    assert record.status == "done"
    facts = find_facts(planned.folder(Store(tmp_path)).checkpoints / "val.pt", record.checkpoint)
    assert facts.framing is None
