import json
import math
import multiprocessing
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.data.protocols import find_protocol, target_rows
from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.execute import Busy, execute
from fer_bench.runs.processes import Interrupted
from fer_bench.runs.training import selection
from fer_bench.runs.training.checkpoints import load_weights


def lasting_files(store, planned):
    """Return the bytes of every file of a run that must not depend on when or how often it was attempted."""
    folder = planned.folder(store).path
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name not in ("log.txt", "env.json", "summary.json"):
            content = path.read_bytes()
            if name == "record.json":
                record = json.loads(content)
                record.pop("timing")
                content = json.dumps(record)
            found[name] = content
    return found


@pytest.fixture(scope="module")
def undisturbed(plan, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("runs"))
    planned = plan()
    events = []
    record = execute(planned, store, workspace, events.append)
    return store, planned, record, events


class TestOneRun:
    def test_record_tells_the_whole_story(self, undisturbed):
        store, planned, record, _ = undisturbed
        assert record.status == "done"
        assert record == planned.folder(store).read_record()
        assert (record.data_kind, record.folds, record.fold) == ("synthetic", 4, 1)
        assert record.generator["size"] == "tiny"
        assert {(s.target, s.selection) for s in record.scores} == {
            ("oulu", "val"),
            ("oulu", "last"),
            ("rafdb", "val"),
        }
        assert record.environment["torch"] == torch.__version__
        assert set(record.selection) == {"val", "last"}
        assert record.selection["last"].epoch == 2
        assert record.timing["train"] > 0
        assert record.rows["train"] > 0
        assert record.parameters > 0
        assert record.multiply_adds > 0

    def test_folder_holds_what_design_says(self, undisturbed):
        store, planned, _, _ = undisturbed
        names = set(lasting_files(store, planned))
        assert names == {
            "config.yaml",
            "record.json",
            "metrics.csv",
            "predictions/oulu@val.parquet",
            "predictions/oulu@last.parquet",
            "predictions/val@val.parquet",
            "predictions/rafdb@val.parquet",
            "checkpoints/val.pt",
            "mistakes/oulu.json",
        }
        assert (planned.folder(store).path / "log.txt").exists()
        assert not (planned.folder(store).path / "lock").exists()

    def test_history_has_a_row_per_epoch(self, undisturbed):
        store, planned, record, _ = undisturbed
        history = pd.read_csv(planned.folder(store).path / "metrics.csv")
        assert history["epoch"].tolist() == [0, 1, 2]
        best = history["val/uar"].idxmax()
        assert record.selection["val"].epoch == best
        assert record.selection["val"].val_uar == pytest.approx(history["val/uar"][best])

    def test_predictions_cover_the_protocols_rows_once(self, undisturbed, workspace):
        store, planned, record, _ = undisturbed
        raf = workspace.source("rafdb").dataset
        rows = target_rows(raf.index, raf.card, find_protocol(raf.card, None, quick=True))
        stored = store.predictions(record, "rafdb")
        assert stored.frame["sample_id"].tolist() == raf.index["sample_id"][rows].tolist()
        assert stored.meta.fingerprint == record.targets["rafdb"].fingerprint
        assert stored.meta.checkpoint == record.selection["val"].checkpoint
        test = store.predictions(record, "oulu").frame
        val = read_predictions(planned.folder(store).predictions_file("val", "val")).frame
        assert not set(test["unit"]) & set(val["unit"])
        assert len(test) == record.rows["test"]
        assert len(val) == record.rows["val"]

    def test_stored_weights_give_the_stored_predictions(self, undisturbed, workspace):
        from fer_bench.runs.evaluate import predict

        store, planned, record, _ = undisturbed
        method = load_weights(planned.folder(store).checkpoints / "val.pt")
        stored = store.predictions(record, "rafdb")
        dataset = workspace.source("rafdb").dataset
        rows = np.flatnonzero(dataset.index["sample_id"].isin(stored.frame["sample_id"]))
        again = predict(method, dataset, workspace.pack("rafdb", 64), rows, device="cpu")
        pd.testing.assert_frame_equal(again, stored.frame)

    def test_events_lead_to_the_end(self, undisturbed):
        events = undisturbed[3]
        assert [e.done for e in events if e.phase == "train"] == [1, 2, 3]
        assert events[-1].phase == "end"
        assert events[-1].status == "done"

    def test_same_run_again_gives_the_same_bytes(self, undisturbed, workspace, tmp_path):
        store, planned, _, _ = undisturbed
        other = Store(tmp_path)
        execute(planned, other, workspace)
        assert lasting_files(other, planned) == lasting_files(store, planned)

    def test_finished_run_is_not_repeated(self, undisturbed, workspace):
        store, planned, record, _ = undisturbed
        assert is_complete(planned, store, workspace)
        before = lasting_files(store, planned)
        events = []
        assert execute(planned, store, workspace, events.append) == record
        assert [e.phase for e in events] == ["end"]
        assert lasting_files(store, planned) == before


class TestFurtherTargets:
    def test_only_the_new_target_is_evaluated(self, plan, workspace, tmp_path):
        store = Store(tmp_path)
        execute(plan(targets="none"), store, workspace)
        more = plan(targets=["ckplus"])
        assert not is_complete(more, store, workspace)
        before = lasting_files(store, more)
        events = []
        record = execute(more, store, workspace, events.append)
        assert "train" not in {e.phase for e in events}
        assert {s.target for s in record.scores} == {"oulu", "ckplus"}
        after = lasting_files(store, more)
        changed = {name for name in after if before.get(name) != after[name]}
        assert changed == {"record.json", "checkpoints/val.pt", "predictions/ckplus@val.parquet"}
        load_weights(more.folder(store).checkpoints / "val.pt", expected=record.checkpoint)

    def test_a_lost_or_foreign_prediction_file_is_made_again(self, plan, workspace, tmp_path):
        store = Store(tmp_path)
        planned = plan()
        execute(planned, store, workspace)
        path = planned.folder(store).predictions_file("rafdb", "val")
        whole = path.read_bytes()
        for damage in (lambda: path.unlink(), lambda: path.write_bytes(whole[:100])):
            damage()
            assert not is_complete(planned, store, workspace)
            execute(planned, store, workspace)
            assert path.read_bytes() == whole


def _run_and_die(planned, store, workspace, epoch, number):
    torch.set_num_threads(1)

    def watch(event):
        if event.phase == "train" and event.done == epoch:
            os.kill(os.getpid(), number)

    try:
        execute(planned, store, workspace, watch)
    except Interrupted:
        os._exit(7)


def attempt(planned, store, workspace, epoch, number):
    process = multiprocessing.get_context("fork").Process(
        target=_run_and_die, args=(planned, store, workspace, epoch, number)
    )
    process.start()
    process.join(120)
    return process.exitcode


class TestSurvival:
    @pytest.mark.parametrize(
        ("share", "epoch", "written"),
        [(math.inf, 1, 1), (math.inf, 2, 2), (math.inf, 3, 3), (0, 2, 1), (0, 3, 3)],
    )
    def test_sigkill_leaves_nothing_half_written_and_resumes_bit_equal(
        self, undisturbed, workspace, tmp_path, monkeypatch, share, epoch, written
    ):
        """The states of the first and the last epoch are always written, others as the share of time says."""
        monkeypatch.setattr(selection, "WRITING", share)
        store, planned, _, _ = undisturbed
        other = Store(tmp_path)
        assert attempt(planned, other, workspace, epoch, signal.SIGKILL) == -signal.SIGKILL
        assert planned.folder(other).read_record().status == "running"
        events = []
        execute(planned, other, workspace, events.append)
        assert [e.done for e in events if e.phase == "train"] == list(range(written + 1, 4))
        assert lasting_files(other, planned) == lasting_files(store, planned)

    def test_sigterm_is_recorded_and_resumes_bit_equal(self, undisturbed, workspace, tmp_path, monkeypatch):
        monkeypatch.setattr(selection, "WRITING", math.inf)
        store, planned, _, _ = undisturbed
        other = Store(tmp_path)
        assert attempt(planned, other, workspace, 2, signal.SIGTERM) == 7
        record = planned.folder(other).read_record()
        assert record.status == "interrupted"
        assert not (planned.folder(other).path / "lock").exists()
        execute(planned, other, workspace)
        assert lasting_files(other, planned) == lasting_files(store, planned)

    @pytest.mark.parametrize(
        ("method", "overrides", "epoch"),
        [
            ("gcn", ("method.width=0.1", "method.generator_weights=null"), 1),
            ("gcn", ("method.hidden=8",), 1),
            ("resemotenet", ("method.width=0.03", "method.head_dropout=0.5", "train.epoch_rows=40"), 1),
            ("resemotenet", ("method.width=0.03", "method.recipe=paper", "method.plateau_patience=0"), 2),
        ],
        ids=["gcn", "a fixed generator", "dropout and partial epochs", "plateau schedule"],
    )
    def test_resumes_bit_equal(self, plan, workspace, tmp_path, monkeypatch, method, overrides, epoch):
        monkeypatch.setattr(selection, "WRITING", math.inf)
        planned = plan(method=method, overrides=(*overrides, "train.batch_size=16"), targets="none")
        whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
        execute(planned, whole, workspace)
        attempt(planned, broken, workspace, epoch, signal.SIGKILL)
        execute(planned, broken, workspace)
        assert lasting_files(broken, planned) == lasting_files(whole, planned)

    def test_a_plateau_lowers_the_learning_rate(self, plan, workspace, tmp_path):
        overrides = (
            "method.width=0.03",
            "method.recipe=paper",
            "method.plateau_patience=0",
            "method.lr=1e-6",
        )
        planned = plan(overrides=overrides, targets="none", max_epochs=4, keep_checkpoints=True)
        execute(planned, Store(tmp_path), workspace)
        state = torch.load(planned.folder(Store(tmp_path)).checkpoints / "last.ckpt", weights_only=True)
        assert state["lr_schedulers"][0]["last_epoch"] == 4
        assert state["optimizer_states"][0]["param_groups"][0]["lr"] < 1e-6

    def test_early_stop_holds_after_resuming(self, plan, workspace, tmp_path):
        overrides = ("method.width=0.03", "train.batch_size=16", "train.early_stop=1", "method.lr=1e-12")
        planned = plan(overrides=overrides, targets="none", max_epochs=9)
        whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
        record = execute(planned, whole, workspace)
        last = record.selection["last"].epoch
        assert last - record.selection["val"].epoch == 2
        assert last < 8
        attempt(planned, broken, workspace, last + 1, signal.SIGKILL)
        execute(planned, broken, workspace)
        assert lasting_files(broken, planned) == lasting_files(whole, planned)

    def test_divergence_is_a_status(self, plan, workspace, tmp_path):
        overrides = ("method.width=0.03", "train.batch_size=16", "method.recipe=repo", "method.lr=1e30")
        planned = plan(overrides=overrides, targets="none")
        record = execute(planned, Store(tmp_path), workspace)
        assert record.status == "diverged"
        assert "NaN or infinite" in record.error.message
        assert "DivergedError" in record.error.traceback
        assert record == planned.folder(Store(tmp_path)).read_record()

    @pytest.mark.parametrize(
        ("error", "status"),
        [(torch.OutOfMemoryError("CUDA out of memory"), "oom"), (ValueError("odd"), "failed")],
    )
    def test_failures_keep_their_reason(self, plan, workspace, tmp_path, monkeypatch, error, status):
        def broken(*args, **kwargs):
            raise error

        monkeypatch.setattr("fer_bench.runs.training.fit.fit", broken)
        record = execute(plan(targets="none"), Store(tmp_path), workspace)
        assert record.status == status
        assert str(error) in record.error.message
        if status == "oom":
            assert "batch size 16" in record.error.message
        log = (plan(targets="none").folder(Store(tmp_path)).path / "log.txt").read_text()
        assert str(error) in log

    def test_two_processes_do_not_share_a_run(self, plan, workspace, tmp_path):
        store, planned = Store(tmp_path), plan(targets="none")
        lock = planned.folder(store).lock()
        assert lock.acquire()
        with pytest.raises(Busy, match="another process"):
            execute(planned, store, workspace)

    def test_a_failing_target_leaves_a_finished_run_finished(self, plan, workspace, tmp_path, monkeypatch):
        store = Store(tmp_path)
        execute(plan(targets="none"), store, workspace)

        def broken(*args, **kwargs):
            raise ValueError("odd")

        monkeypatch.setattr("fer_bench.runs.evaluate.predict", broken)
        events = []
        record = execute(plan(targets=["rafdb"]), store, workspace, events.append)
        assert events[-1].status == "failed"
        assert record == plan().folder(store).read_record()
        assert record.status == "done"
        assert record.missing["rafdb"].startswith("ValueError: odd (in broken, ")
        monkeypatch.undo()
        again = execute(plan(targets=["rafdb"]), store, workspace)
        assert again.missing == {}
        assert again.score("rafdb") is not None


def test_checkpoints_never_execute_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, ("touch " + str(tmp_path / "pwned"),))

    path = tmp_path / "evil.pt"
    torch.save({"format": 1, "method": Evil()}, path)
    with pytest.raises(Exception, match="not a readable checkpoint"):
        load_weights(path)
    assert not (tmp_path / "pwned").exists()
