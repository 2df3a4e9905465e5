"""The places of a run's processes, and the processes that another program started."""

import gc
import multiprocessing
import os
import socket

import pytest

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs import distributed
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers.worker import work


def one_of_two(rank, port, planned, store, workspace, results):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    results.put((rank, work(planned, store, workspace, RunOptions()).status))


class TestPlaces:
    def test_processes_started_by_another_program_find_each_other(self, plain_plan, workspace, tmp_path):
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
        assert sorted(results.get(timeout=60) for _ in both) == [(0, "done"), (1, "done")]
        for process in both:
            process.join(30)
        record = planned.folder(store).read_record()
        assert (record.status, record.settings["nodes"]) == ("done", 2)

    def test_several_machines_need_a_launcher(self, plain_plan, workspace, tmp_path):
        record = execute(plain_plan(nodes=2), Store(tmp_path), workspace)
        assert record.status == "failed"
        assert "--launcher slurm" in record.error.message

    def test_an_environment_of_another_run_is_refused(self, monkeypatch):
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "8")
        assert distributed.place_from_environment(1, 1) is None
        with pytest.raises(UsageError, match="RANK is set, but not for this run"):
            distributed.place_from_environment(2, 1)

    def test_places_on_machines(self):
        place = distributed.Place(rank=5, devices=4, nodes=2, host="h", port=1)
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
