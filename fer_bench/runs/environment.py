"""Describe versions, commit and hardware: for the record of a run, and for `fer-bench doctor`."""

from __future__ import annotations

import ctypes
import platform
import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fer_bench import allocator, arithmetic
from fer_bench.distribution import commit, version

PACKAGES = ["torchvision", "lightning", "torchmetrics", "timm", "numpy", "pandas", "opencv-python-headless"]
CPU_INFO = Path("/proc/cpuinfo")
"""What Linux tells of the processors."""


def describe() -> dict[str, Any]:
    """Return versions, commit, platform, processor, GPU, threads and arithmetic of this process."""
    import torch

    return {
        **describe_without_torch(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "arithmetic": arithmetic.describe(),
    }


def describe_without_torch() -> dict[str, Any]:
    """Return versions, commit, platform and processor, without importing torch, which takes a second."""
    return {
        "fer_bench": version(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        **{name: _version(name) for name in PACKAGES},
        "commit": commit(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpu_level": arithmetic.processor_level(),
        "cpu_bf16": "yes" if has_bf16() else "no",
        "allocator": allocator.describe(),
    }


def gpu_names() -> list[str]:
    """Return the names of the GPUs that the NVIDIA driver offers to this process, without importing torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for number in range(count.value):
        driver.cuDeviceGet(ctypes.byref(device), number)
        driver.cuDeviceGetName(name, len(name), device)
        found.append(name.value.decode("utf-8", "replace"))
    return found


def may_have_gpu() -> bool:
    """Return False where torch will surely see no GPU; torch is not imported to tell.

    On Linux torch needs NVIDIA's driver, unless it was built for AMD's GPUs.
    """
    if platform.system() != "Linux" or _built_for("hip") is not None:
        return True
    return cuda_of_torch() is not None and bool(gpu_names())


def cuda_of_torch() -> str | None:
    """Return the CUDA version of the installed torch, None for a build without; torch is not imported."""
    return _built_for("cuda")


def has_bf16() -> bool:
    """Return whether this processor has instructions for bfloat16; False where the system does not tell."""
    flags = (_cpu_info("flags") or "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _built_for(platform_name: str) -> str | None:
    """Return the version of `cuda` or `hip` that torch was built for, None where it was not."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).with_name("version.py")
    found = re.search(
        rf"^{platform_name}\b[^=]*= *['\"]([\d.]+)",
        file.read_text() if file.exists() else "",
        re.MULTILINE,
    )
    return found[1] if found else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


@cache
def _cpu_info(field: str) -> str | None:
    """Return what Linux tells of the first processor; None where it does not."""
    lines = CPU_INFO.read_text(errors="replace").splitlines() if CPU_INFO.exists() else []
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == field), None)
