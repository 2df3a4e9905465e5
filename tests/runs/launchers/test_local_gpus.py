"""GPUs whose number and abilities are made up: how runs share them, and in which precision they compute."""

import os
from collections import Counter
from itertools import pairwise
from unittest.mock import MagicMock

import pytest
import torch

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs.launchers import local
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.launchers.ray import RayLauncher
from fer_bench.runs.launchers.slurm import SlurmLauncher
from fer_bench.runs.plan import resolve_device, resolve_precision
from tests.runs.launchers import gpu_child


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are so many GPUs."""

    def pretend(count, *, bf16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return pretend


class TestSlots:
    def on_gpu(self, plan, count, **changes):
        return [plan(seed=n, device="cuda", precision="32", targets="none", **changes) for n in range(count)]

    def launched(self, monkeypatch, tmp_path, launcher, runs):
        """Return the GPUs of each run and the span of time in which it had them."""
        monkeypatch.setattr(local, "_child", gpu_child.tell_gpus)
        events = []
        launcher.run(runs, Store(tmp_path), None, events.append)
        assert {e.key: e.status for e in events if e.phase == "end"} == {run.key: "done" for run in runs}
        told = [(tmp_path / f"{run.key}.gpus").read_text().split() for run in runs]
        return [(given, float(start), float(end)) for given, start, end in told]

    def test_visible_ones_are_handed_out_one_run_each(self, plan, monkeypatch, tmp_path):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
        spans = self.launched(monkeypatch, tmp_path, LocalLauncher(), self.on_gpu(plan, 4))
        assert {given for given, _, _ in spans} == {"3", "5"}
        for gpu in ("3", "5"):
            own = sorted((start, end) for given, start, end in spans if given == gpu)
            assert all(end <= start for (_, end), (start, _) in pairwise(own))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"

    def test_a_run_on_several_gets_different_ones(self, plan, monkeypatch, tmp_path, gpus):
        gpus(2)
        (span,) = self.launched(monkeypatch, tmp_path, LocalLauncher(), self.on_gpu(plan, 1, devices=2))
        assert sorted(span[0].split(",")) == ["0", "1"]
        assert "CUDA_VISIBLE_DEVICES" not in os.environ

    def test_several_runs_share_one_when_asked_to(self, plan, gpus):
        gpus(2)
        launcher = LocalLauncher(RunOptions(runs_per_gpu=2))
        assert launcher._open_slots(self.on_gpu(plan, 1)) == 4
        taken = [launcher._take(1) for _ in range(4)]
        assert Counter(taken) == {("0",): 2, ("1",): 2}
        assert taken[0] != taken[1]  # spread before they are stacked
        assert launcher._take(1) is None
        launcher._free += taken[2]
        assert launcher._take(1) == taken[2]

    def test_jobs_limit_the_runs_at_a_time(self, plan, gpus):
        gpus(8)
        assert LocalLauncher(RunOptions(jobs=3))._open_slots(self.on_gpu(plan, 1)) == 3

    def test_more_than_there_are_is_refused(self, plan, gpus):
        gpus(2)
        with pytest.raises(UsageError, match="a run wants 3 GPUs and there are 2"):
            LocalLauncher().run(self.on_gpu(plan, 1, devices=3), None, None, lambda event: None)


class TestPrecision:
    @pytest.mark.parametrize(
        ("wanted", "bf16", "resolved"),
        [
            ("auto", True, "bf16-mixed"),
            ("auto", False, "32"),
            ("32", True, "32"),
            ("16-mixed", False, "16-mixed"),
            ("bf16-true", True, "bf16-true"),
        ],
    )
    def test_auto_is_bf16_on_gpus_that_have_it(self, gpus, wanted, bf16, resolved):
        gpus(1, bf16=bf16)
        assert resolve_precision(wanted, "cuda") == resolved

    def test_what_a_device_cannot_do_is_refused(self, gpus):
        gpus(1, bf16=False)
        for wanted in ("bf16-mixed", "bf16-true"):
            with pytest.raises(UsageError, match="no bfloat16"):
                resolve_precision(wanted, "cuda")
        with pytest.raises(UsageError, match="float16 needs a GPU"):
            resolve_precision("16-mixed", "cpu")

    def test_a_machine_without_gpus_can_plan_for_others(self, gpus):
        gpus(0)
        assert (resolve_device("auto"), resolve_device("auto", elsewhere=True)) == ("cpu", "cpu")
        with pytest.raises(UsageError, match="no CUDA device"):
            resolve_device("cuda")
        assert resolve_device("cuda", elsewhere=True) == "cuda"
        assert resolve_precision("bf16-mixed", "cuda") == "bf16-mixed"
        with pytest.raises(UsageError, match="--precision bf16-mixed where"):
            resolve_precision("auto", "cuda")


class TestClusters:
    """What is asked of a cluster for a run."""

    @pytest.mark.parametrize(
        ("devices", "runs_per_gpu", "asked"), [(1, 1, 1.0), (1, 4, 0.25), (2, 1, 2), (2, 4, 2)]
    )
    def test_ray(self, plan, devices, runs_per_gpu, asked):
        ray = MagicMock()
        run = plan(device="cuda", precision="32", devices=devices)
        RayLauncher(RunOptions(runs_per_gpu=runs_per_gpu))._send(ray, run, None, None)
        resources = ray.remote.return_value.options.call_args.kwargs
        assert (resources["num_gpus"], resources["num_cpus"]) == (asked, devices)
        RayLauncher(RunOptions(launcher_settings=("cpus=3",)))._send(ray, plan(), None, None)
        resources = ray.remote.return_value.options.call_args.kwargs
        assert "num_gpus" not in resources
        assert resources["num_cpus"] == 3

    def test_slurm(self, plan):
        on_gpu = plan(device="cuda", precision="32", devices=2, nodes=2)
        options = RunOptions(jobs=7, launcher_settings=("time=60", "partition=gpu"))
        asked = SlurmLauncher(options)._parameters(on_gpu)
        assert (asked["gpus_per_node"], asked["tasks_per_node"], asked["nodes"]) == (2, 2, 2)
        assert (asked["timeout_min"], asked["slurm_partition"]) == (60, "gpu")
        assert asked["slurm_array_parallelism"] == 7
        assert asked["slurm_additional_parameters"] == {"requeue": True}
        own_words = SlurmLauncher(RunOptions(launcher_settings=("gres=gpu:a100:2",)))._parameters(on_gpu)
        assert own_words["slurm_gres"] == "gpu:a100:2"
        assert "gpus_per_node" not in own_words
        assert "gpus_per_node" not in SlurmLauncher()._parameters(plan())
