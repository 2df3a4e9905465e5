"""One run on several processes: the same training, the same predictions, every row once."""

import math
import multiprocessing
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import Store
from fer_bench.runs import distributed, evaluate, follow
from fer_bench.runs.distributed import Fit
from fer_bench.runs.execute import execute
from fer_bench.runs.training import fit as training
from fer_bench.runs.training import selection
from fer_bench.runs.training.callbacks import RowWeightingCallback
from fer_bench.runs.training.checkpoints import load_weights

TOLERANCE = 1e-5
"""Absolute, on weights and logits of order one: sums of gradients in another order."""


class TestTraining:
    def test_two_processes_train_as_one(self, plain_plan, workspace, tmp_path):
        single, double = plain_plan(), plain_plan(devices=2)
        assert single.key != double.key
        store = Store(tmp_path)
        one, two = execute(single, store, workspace), execute(double, store, workspace)
        assert (one.status, two.status) == ("done", "done"), (one.error, two.error)
        assert double.config.train.batch_size % 2 == 1  # one process has a row less than the other
        assert (one.settings["devices"], two.settings["devices"]) == (1, 2)
        assert "over all processes" in two.settings["batch_rule"]
        for name in ("val", "last"):
            first, second = (
                load_weights(planned.folder(store).checkpoints / f"{name}.pt").state_dict()
                for planned in (single, double)
            )
            for key, value in first.items():
                torch.testing.assert_close(value, second[key], rtol=0, atol=TOLERANCE)
        history = [pd.read_csv(p.folder(store).path / "metrics.csv") for p in (single, double)]
        pd.testing.assert_frame_equal(*history, rtol=0, atol=TOLERANCE)
        for target in ("oulu@val", "rafdb@val", "val@val"):
            one, two = (
                read_predictions(p.folder(store).path / "predictions" / f"{target}.parquet")
                for p in (single, double)
            )
            assert one.frame["sample_id"].tolist() == two.frame["sample_id"].tolist()
            np.testing.assert_allclose(one.logits, two.logits, rtol=0, atol=TOLERANCE)

    def test_the_tolerance_tells_unequal_rows(self, plain_plan, workspace, tmp_path, monkeypatch):
        """Plain averaging of gradients, which counts the rows of a smaller share for more, is found out."""
        monkeypatch.setattr(RowWeightingCallback, "on_before_backward", lambda *arguments: None)
        store, weights = Store(tmp_path), []
        for planned in (plain_plan(targets="none"), plain_plan(targets="none", devices=2)):
            execute(planned, store, workspace)
            weights.append(load_weights(planned.folder(store).checkpoints / "last.pt").state_dict())
        assert (
            max((a - b).abs().max() for a, b in zip(*map(dict.values, weights), strict=True)) > 10 * TOLERANCE
        )

    @pytest.mark.parametrize("method", ["gcn", "resemotenet", "ssmfar"])
    def test_every_method_does(self, plan, workspace, tmp_path, method):
        small = {
            "gcn": ("method.width=0.1", "method.generator_weights=null"),
            "resemotenet": ("method.width=0.03",),
        }.get(method, ())
        planned = plan(
            method=method,
            overrides=(*small, "train.batch_size=16"),
            devices=2,
            max_epochs=2,
            targets="none",
        )
        record = execute(planned, Store(tmp_path), workspace)
        assert record.status == "done", record.error
        assert any("own rows" in warning for warning in record.warnings)

    @pytest.mark.parametrize(("share", "left"), [(math.inf, [3]), (0, [2, 3])])
    def test_resumes_bit_equal(self, plain_plan, workspace, tmp_path, monkeypatch, share, left):
        """All processes write, or none: the first decides."""
        monkeypatch.setattr(selection, "WRITING", share)
        planned = plain_plan(devices=2, targets="none", keep_checkpoints=False)
        whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
        execute(planned, whole, workspace)
        process = multiprocessing.get_context("fork").Process(
            target=die_at_epoch, args=(planned, broken, workspace, 2)
        )
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        events = []
        assert execute(planned, broken, workspace, events.append).status == "done"
        assert [e.done for e in events if e.phase == "train"] == left
        files = [planned.folder(s).predictions_file("oulu", "val").read_bytes() for s in (whole, broken)]
        assert files[0] == files[1]

    def test_a_lost_process_fails_the_run_and_not_the_sweep(
        self, plain_plan, workspace, tmp_path, monkeypatch
    ):
        def die(*arguments):
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(follow, "_follower", die)
        monkeypatch.setattr(distributed, "PATIENCE", distributed.timedelta(seconds=5))
        record = execute(plain_plan(devices=2, targets="none"), Store(tmp_path), workspace)
        assert record.status == "failed"
        assert record.error.message


def die_at_epoch(planned, store, workspace, epoch):
    torch.set_num_threads(1)

    def on_event(event):
        if event.phase == "train" and event.done == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    execute(planned, store, workspace, on_event)


class TestEvaluation:
    @pytest.mark.parametrize("rows", [41, 7, 1])
    def test_a_checkpoint_gives_the_same_bits_and_every_row_once(
        self, plain_plan, workspace, tmp_path, monkeypatch, rows
    ):
        """41 rows in batches of 8: six batches for two processes, the last of a single row."""
        monkeypatch.setattr("fer_bench.data.loading.datamodule.EVAL_BATCH", 8)
        monkeypatch.setattr(evaluate, "EVAL_BATCH", 8)
        planned = plain_plan(targets="none", max_epochs=1)
        execute(planned, Store(tmp_path), workspace)
        checkpoint = planned.folder(Store(tmp_path)).checkpoints / "val.pt"
        method, dataset = load_weights(checkpoint), workspace.source("rafdb").dataset
        pack, wanted = workspace.pack("rafdb", 24), np.arange(rows)[::-1].copy()
        alone = evaluate.predict(method, dataset, pack, wanted, device="cpu")
        double = plain_plan(devices=2, targets="none")
        seen = []
        monkeypatch.setattr(distributed.Group, "gather", keep_shares(seen))
        with follow.open_group(double, workspace, checkpoint.parent) as both:
            together = evaluate.predict(
                method, dataset, pack, wanted, device="cpu", group=both, weights=checkpoint
            )
        pd.testing.assert_frame_equal(together, alone, check_exact=True)
        assert together["sample_id"].tolist() == dataset.index["sample_id"].iloc[wanted].tolist()
        batches = -(-rows // 8)
        assert [sorted(share) for share in seen[0]] == [list(range(r, batches, 2)) for r in (0, 1)]


def keep_shares(seen):
    original = distributed.Group.gather

    def gather(self, share):
        shares = original(self, share)
        if shares is not None:
            seen.append(shares)
        return shares

    return gather


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "oom", "batch size 15: process 1: CUDA out of memory"),
        (ValueError("odd"), "failed", "ValueError: process 1: odd"),
    ],
)
def test_an_error_in_another_process_of_a_run_is_its_reason(
    plan, plain, workspace, tmp_path, monkeypatch, error, status, word
):
    original = training.fit

    def broken(*arguments, group=None, **named):
        if group is not None and group.place.rank == 1:
            raise error
        return original(*arguments, group=group, **named)

    monkeypatch.setattr(training, "fit", broken)
    monkeypatch.setattr(distributed, "PATIENCE", distributed.timedelta(seconds=20))
    run = plan(method=plain, overrides=(), devices=2, targets="none")
    record = execute(run, Store(tmp_path), workspace)
    assert record.status == status
    assert word in record.error.message


def _wait_for_a_lost_one(run, root, workspace):
    """Train on two processes, one of which runs out of memory, and wait for it forever, as a GPU does."""
    torch.set_num_threads(1)

    def fit(*arguments, group=None, **named):
        if group.place.rank == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        group.send(Fit(False))
        time.sleep(600)

    training.fit, follow.GRACE = fit, 1.0
    execute(run, Store(root), workspace)


def test_a_leader_that_waits_for_a_lost_process_is_ended(plan, plain, workspace, tmp_path):
    run = plan(method=plain, overrides=(), devices=2, targets="none")
    process = multiprocessing.get_context("fork").Process(
        target=_wait_for_a_lost_one, args=(run, tmp_path, workspace)
    )
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 1
    record = run.folder(Store(tmp_path)).read_record()
    assert record.status == "oom"
    assert record.error.message == "process 1: CUDA out of memory"
    assert execute(run, Store(tmp_path), workspace).status == "done"
