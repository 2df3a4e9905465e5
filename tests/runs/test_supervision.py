"""Faults from outside: signals, damaged files, unreadable data, lost processes."""

import multiprocessing
import os
import shutil
import signal

import pytest
import torch

from fer_bench.data.crops.choice import CropChoice
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.processes import Interrupted, exit_reason
from fer_bench.runs.records import first_record
from fer_bench.runs.supervision import HANG_MARK, log_to, record_lost_run
from fer_bench.workspace.workspace import Workspace

FORK = multiprocessing.get_context("fork")


def _stopped_twice(run, root, workspace):
    """Get Ctrl-C while training, and the launcher's SIGTERM while that is being put on record."""
    torch.set_num_threads(1)

    def watch(event):
        if event.phase == "train":
            os.kill(os.getpid(), signal.SIGINT)
        if event.phase == "end":
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        execute(run, Store(root), workspace, watch)
    except Interrupted:
        os._exit(7)


def test_ctrl_c_in_a_terminal_ends_as_interrupted(plan, plain, workspace, tmp_path):
    run = plan(method=plain, overrides=(), targets="none")
    process = FORK.Process(target=_stopped_twice, args=(run, tmp_path, workspace))
    process.start()
    process.join(60)
    assert process.exitcode == 7
    folder = run.folder(Store(tmp_path))
    assert folder.read_record().status == "interrupted"
    assert not (folder.path / "lock").exists()


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty"])
def test_a_damaged_state_is_not_resumed_from(plan, plain, workspace, tmp_path, damage):
    """As a disk may leave it that says it has written what it has not."""
    run, whole, broken = (
        plan(method=plain, overrides=()),
        Store(tmp_path / "whole"),
        Store(tmp_path / "broken"),
    )
    execute(run, whole, workspace)

    def stop(event):
        if event.phase == "train" and event.done == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        execute(run, broken, workspace, stop)
    state = run.folder(broken).checkpoints / "last.ckpt"
    content = bytearray(state.read_bytes())
    if damage == "a bit":
        content[len(content) // 2] ^= 1
    state.write_bytes({"cut": content[: len(content) // 2], "a bit": content, "empty": b""}[damage])
    record = execute(run, broken, workspace)
    assert record.status == "done"
    assert "the state of an earlier attempt was damaged" in record.warnings[0]
    files = [run.folder(store).predictions_file("rafdb", "val").read_bytes() for store in (whole, broken)]
    assert files[0] == files[1]


def without_data(workspace, error):
    """Return a workspace as a machine has it that does not see the data."""

    def source(name):
        raise error

    blind = Workspace(workspace.roots)
    blind.source = source
    return blind


class TestUnreadableData:
    def test_is_a_row_where_the_run_cannot_even_start(self, plan, plain, workspace, tmp_path):
        run = plan(method=plain, overrides=(), targets="none")
        blind = Workspace(workspace.roots, crops=CropChoice())
        blind.source = lambda name: (_ for _ in ()).throw(
            PermissionError(13, "Permission denied", "/data/oulu")
        )
        events, store = [], Store(tmp_path)
        record = execute(run, store, blind, events.append)
        assert record == run.folder(store).read_record()
        assert (record.status, record.error.kind) == ("failed", "PermissionError")
        assert "/data/oulu" in record.error.message
        assert (record.folds, record.classes, record.data_kind) == (4, record.classes, "synthetic")
        assert [(e.phase, e.status) for e in events] == [("end", "failed")]
        assert not (run.folder(store).path / "lock").exists()
        finished = execute(run, store, workspace)
        assert (finished.status, finished.error) == ("done", None)
        assert finished.classes == record.classes
        assert execute(run, store, blind) == finished

    def test_does_not_touch_a_finished_run(self, plan, plain, workspace, tmp_path):
        run, store = plan(method=plain, overrides=(), targets="none"), Store(tmp_path)
        done = execute(run, store, workspace)
        blind = without_data(workspace, OSError("gone"))
        assert execute(run, store, blind) == done
        assert run.folder(store).read_record() == done


def test_a_failure_keeps_the_tail_of_the_log(plan, plain, workspace, tmp_path, monkeypatch):
    import logging

    def broken(*arguments, **named):
        logging.getLogger("fer_bench").info("the last words before it broke")
        raise ValueError("odd")

    monkeypatch.setattr("fer_bench.runs.training.fit.fit", broken)
    record = execute(plan(method=plain, overrides=(), targets="none"), Store(tmp_path), workspace)
    assert "the last words before it broke" in record.error.log
    assert "ValueError: odd" in record.error.traceback


def test_a_hang_of_an_earlier_attempt_is_no_reason_of_a_later_death(plan, plain, workspace, tmp_path):
    run, store = plan(method=plain, overrides=(), targets="none"), Store(tmp_path)
    folder = run.folder(store)

    def dies(first_words=""):
        with log_to(folder):
            with folder.log_file.open("a") as log:
                log.write(f"{first_words}\nother words\n")
            folder.write_record(first_record(run, {}))
        return record_lost_run(folder, exit_reason(1)), folder.read_record().error.log

    hung, log = dies(f"{HANG_MARK}0:00:08)!\nThread 0x1")
    assert "no progress for too long" in hung
    assert log.startswith(HANG_MARK)
    others = "\n".join("Thread 0x2 (most recent call first):\n" + 8 * "  File ...\n" for _ in range(6))
    assert "where it hangs" in dies(f"{HANG_MARK}0:00:08)!\n{others}\nThread 0x1\n  where it hangs")[1]
    reason, log = dies()
    assert reason == "the process ended with exit code 1"
    assert not log.startswith(HANG_MARK)


def test_a_lock_that_was_taken_over_is_not_given_up(tmp_path):
    lock = Store(tmp_path).run_dir("m", "d", "k").lock()
    assert lock.acquire()
    lock.path.write_text("another-machine 1\n")
    lock.release()
    assert lock.path.read_text() == "another-machine 1\n"


def test_a_dataset_that_cannot_be_read_does_not_keep_the_others_from_running(run_cli, tiny_root, tmp_path):
    """As source it is named with its file; as target it is a missing one of the record."""
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    (labels,) = (root / "rafdb").rglob("list_patition_label.txt")
    labels.write_text("train_00001.jpg nine\n")
    code, out, err = run_cli(
        *("sweep", "-m", "resemotenet", "-d", "rafdb", "-d", "oulu", "--targets", "rafdb,ckplus"),
        *("--set", "method.width=0.03", "--set", "train.max_epochs=1", "--data-root", root),
    )
    assert code == 2
    assert "missing: rafdb: cannot be used: " in err
    assert "nine" in err
    assert "1 of 1 runs are done" in out
    (record,) = Store(tmp_path / "runs").records()
    assert set(record.targets) == {"oulu", "ckplus"}
    assert record.missing["rafdb"].startswith("cannot be used: ")
