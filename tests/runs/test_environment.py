"""Versions and hardware, as they are asked for without importing torch."""

import ctypes

import pytest
import torch

from fer_bench.runs import environment


class FakeDriver:
    """A driver with two GPUs, or one that does not start."""

    def __init__(self, works):
        self.works = works

    def cuInit(self, flags):  # noqa: N802
        return 0 if self.works else 100

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device, number):  # noqa: N802
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name, length, device):  # noqa: N802
        name.value = f"GPU {device.value}".encode()
        return 0


def test_gpus_are_those_of_the_driver(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(True))
    assert environment.gpu_names() == ["GPU 0", "GPU 1"]


def test_without_a_driver_or_with_one_that_does_not_start_there_are_none(monkeypatch):
    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert environment.gpu_names() == []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(False))
    assert environment.gpu_names() == []


def test_what_torch_says_of_itself_is_known_without_importing_it():
    quick, whole = environment.describe_without_torch(), environment.describe()
    assert environment.cuda_of_torch() == torch.version.cuda
    assert whole["torch"] == torch.__version__
    assert whole["torch"].startswith(quick["torch"])
    assert quick.keys() | {"gpu", "threads", "arithmetic"} == whole.keys()


@pytest.fixture
def cpu_info(monkeypatch, tmp_path):
    """What Linux tells of the processors: a file that is absent until it is written."""
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(environment, "CPU_INFO", info)
    environment._cpu_info.cache_clear()
    yield info
    environment._cpu_info.cache_clear()


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 avx512_bf16", True), ("amx_bf16", True), ("avx2", False)]
)
def test_bfloat16_is_told_by_the_flags_of_the_processor(cpu_info, flags, expected):
    cpu_info.write_text(f"model name : Some CPU\nflags\t\t: fpu {flags} sse\n\nflags : none\n")
    assert environment.has_bf16() is expected
    found = environment.describe_without_torch()
    assert (found["cpu"], found["cpu_bf16"]) == ("Some CPU", "yes" if expected else "no")


def test_a_system_that_does_not_tell_has_no_bfloat16(cpu_info):
    assert not environment.has_bf16()
