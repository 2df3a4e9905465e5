"""Describe the versions, commit and hardware of this process for the record of a run."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fer_bench import __version__

PACKAGES = ["torchvision", "lightning", "torchmetrics", "timm", "numpy", "pandas", "opencv-python-headless"]


def describe() -> dict[str, Any]:
    """Return versions, commit, platform, processor, GPU and thread count of this process."""
    import torch

    return {
        "fer_bench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """Return the git commit of the package's checkout, with `+` if files differ; None outside a checkout."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "fer_bench", "pyproject.toml")
        return f"{git('rev-parse', '--short=12', 'HEAD')}{'+' if changed else ''}"
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
