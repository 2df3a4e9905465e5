"""One run on several processes: the same training, the same predictions, every row once."""

import gc
import multiprocessing
import os
import signal
import socket

import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import Store
from fer_bench.runs import distributed as group
from fer_bench.runs import evaluate
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers.worker import work
from fer_bench.runs.training.callbacks import EqualRows
from fer_bench.runs.training.fit import load_weights

TOLERANCE = 1e-5
"""Absolute, on weights and logits of order one: sums of gradients in another order."""


def run_dir(store, planned):
    return store.run_dir(planned.config.method, planned.config.dataset, planned.key)


@pytest.fixture
def plain_plan(plan, plain):
    def make(**changes):
        return plan(**{"method": plain, "overrides": (), "keep_checkpoints": True, **changes})

    return make


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
                load_weights(run_dir(store, planned).checkpoints / f"{name}.pt").state_dict()
                for planned in (single, double)
            )
            for key, value in first.items():
                torch.testing.assert_close(value, second[key], rtol=0, atol=TOLERANCE)
        history = [pd.read_csv(run_dir(store, p).path / "metrics.csv") for p in (single, double)]
        pd.testing.assert_frame_equal(*history, rtol=0, atol=TOLERANCE)
        for target in ("oulu@val", "rafdb@val", "val@val"):
            one, two = (
                read_predictions(run_dir(store, p).path / "predictions" / f"{target}.parquet")
                for p in (single, double)
            )
            assert one.frame["sample_id"].tolist() == two.frame["sample_id"].tolist()
            np.testing.assert_allclose(one.logits, two.logits, rtol=0, atol=TOLERANCE)

    def test_the_tolerance_tells_unequal_rows(self, plain_plan, workspace, tmp_path, monkeypatch):
        """Plain averaging of gradients, which counts the rows of a smaller share for more, is found out."""
        monkeypatch.setattr(EqualRows, "on_before_backward", lambda *arguments: None)
        store, weights = Store(tmp_path), []
        for planned in (plain_plan(targets="none"), plain_plan(targets="none", devices=2)):
            execute(planned, store, workspace)
            weights.append(load_weights(run_dir(store, planned).checkpoints / "last.pt").state_dict())
        assert (
            max((a - b).abs().max() for a, b in zip(*map(dict.values, weights), strict=True)) > 10 * TOLERANCE
        )

    @pytest.mark.parametrize("method", ["gcn", "resemotenet", "ssmfar"])
    def test_every_method_does(self, plan, workspace, tmp_path, method):
        small = {"gcn": ("method.width=0.1",), "resemotenet": ("method.width=0.03",)}.get(method, ())
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

    def test_resumes_bit_equal(self, plain_plan, workspace, tmp_path):
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
        assert [e.done for e in events if e.phase == "train"] == [3]
        files = [run_dir(s, planned).predictions_file("oulu", "val").read_bytes() for s in (whole, broken)]
        assert files[0] == files[1]

    def test_a_lost_process_fails_the_run_and_not_the_sweep(
        self, plain_plan, workspace, tmp_path, monkeypatch
    ):
        def die(*arguments):
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(group, "_follower", die)
        monkeypatch.setattr(group, "PATIENCE", group.timedelta(seconds=5))
        record = execute(plain_plan(devices=2, targets="none"), Store(tmp_path), workspace)
        assert record.status == "failed"
        assert record.error.message


def die_at_epoch(planned, store, workspace, epoch):
    torch.set_num_threads(1)

    def watch(event):
        if event.phase == "train" and event.done == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    execute(planned, store, workspace, watch)


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
        checkpoint = run_dir(Store(tmp_path), planned).checkpoints / "val.pt"
        method, dataset = load_weights(checkpoint), workspace.source("rafdb").dataset
        pack, wanted = workspace.pack("rafdb", 24), np.arange(rows)[::-1].copy()
        alone = evaluate.predict(method, dataset, pack, wanted, device="cpu")
        double = plain_plan(devices=2, targets="none")
        seen = []
        monkeypatch.setattr(group.Group, "gather", keep_shares(seen))
        with group.gathered(double, workspace, checkpoint.parent) as both:
            together = evaluate.predict(
                method, dataset, pack, wanted, device="cpu", group=both, checkpoint=checkpoint
            )
        pd.testing.assert_frame_equal(together, alone, check_exact=True)
        assert together["sample_id"].tolist() == dataset.index["sample_id"].iloc[wanted].tolist()
        batches = -(-rows // 8)
        assert [sorted(share) for share in seen[0]] == [list(range(r, batches, 2)) for r in (0, 1)]


def keep_shares(seen):
    original = group.Group.gather

    def gather(self, share):
        shares = original(self, share)
        if shares is not None:
            seen.append(shares)
        return shares

    return gather


def one_of_two(rank, port, planned, store, workspace, results):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    results.put((rank, work(planned, store, workspace, RunOptions(), lambda event: None)))


class TestPlaces:
    def test_processes_that_somebody_else_started_find_each_other(self, plain_plan, workspace, tmp_path):
        """Two machines of one process each, as a cluster would start them."""
        planned, store = plain_plan(nodes=2, max_epochs=1), Store(tmp_path)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        both = [
            context.Process(target=one_of_two, args=(rank, port, planned, store, workspace, results))
            for rank in (0, 1)
        ]
        for process in both:
            process.start()
        assert sorted(results.get(timeout=60) for _ in both) == [(0, 0), (1, 0)]
        for process in both:
            process.join(30)
        record = run_dir(store, planned).read_record()
        assert (record.status, record.settings["nodes"]) == ("done", 2)

    def test_several_machines_need_a_launcher(self, plain_plan, workspace, tmp_path):
        record = execute(plain_plan(nodes=2), Store(tmp_path), workspace)
        assert record.status == "failed"
        assert "--launcher slurm" in record.error.message

    def test_an_environment_of_another_run_is_refused(self, monkeypatch):
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "8")
        assert group.given_place(1, 1) is None
        with pytest.raises(UsageError, match="RANK is set, but not for this run"):
            group.given_place(2, 1)

    def test_places_on_machines(self):
        place = group.Place(rank=5, devices=4, nodes=2, host="h", port=1)
        assert (place.world, place.local_rank, place.node) == (8, 1, 1)

    def test_too_few_rows_for_the_processes(self, plain_plan):
        with pytest.raises(UsageError, match="8 processes need at least 16 rows"):
            plain_plan(devices=4, nodes=2)


def test_a_forked_process_does_not_take_apart_what_its_parent_listened_on():
    """It would wait for a thread that was not forked."""
    from torch.distributed import TCPStore

    class Cycle:
        def __init__(self):
            self.me, self.store = self, TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False)

    gc.disable()
    try:
        cycle = Cycle()
        del cycle
        process = multiprocessing.get_context("fork").Process(target=gc.collect)
        process.start()
        process.join(20)
        hangs = process.is_alive()
        process.kill()
    finally:
        gc.enable()
        gc.collect()
    assert not hangs
