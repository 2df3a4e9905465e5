"""The arithmetic of this process: which code its libraries take, the portable choice, and what tells it.

Libraries choose code by what a processor can do, and other code adds in another order and rounds otherwise:
after some steps of training the weights differ as much as those of another seed. In the portable choice
every x86-64 processor with AVX2 takes the same code:

- torch's own kernels and oneDNN stay with AVX2;
- MKL takes its branch for all makers of processors, `COMPATIBLE`, because it ignores its branch for AVX2 on
  processors that are not Intel's;
- square roots and inverse trigonometric functions are numpy's. In that branch MKL's start from an
  approximation that each maker rounds in a way of its own; a square root has one correct result.

The libraries read their variables at the first computation, so that the choice is free until then.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import warnings
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
"""The variables of the portable choice, for processes that are about to start."""
NUMPY = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX "
    "AVX512_CNL",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Variables that keep numpy, scipy and OpenBLAS to AVX2; they are read on import."""
EXACT = {"sqrt": "sqrt", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}
"""Functions of torch that the portable choice takes from numpy, with their names there."""
LEVELS = {"AVX-512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "AVX2": {"avx2", "fma"}, "AVX": {"avx"}}
_BRANCHES = {1: "off", 2: "AUTO", 3: "COMPATIBLE", 4: "SSE2", 6: "SSSE3", 7: "SSE4_1", 8: "SSE4_2"}
_BRANCHES |= {9: "AVX", 10: "AVX2", 11: "AVX512_MIC", 12: "AVX512", 13: "AVX512_MIC_E1", 14: "AVX512_E1"}
_library: Any = None


@cache
def processor_level() -> str:
    """Return the widest vectors of this processor: `AVX-512`, `AVX2`, `AVX`, or the kind of machine."""
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("flags"):
                flags = set(line.partition(":")[2].split())
                break
    return next((level for level, needed in LEVELS.items() if needed <= flags), platform.machine())


def can_be_portable() -> bool:
    """Return whether this machine can take the portable choice: Linux on x86-64 with AVX2."""
    return processor_level() in ("AVX-512", "AVX2")


def keep_numpy_portable() -> None:
    """Keep numpy and scipy to AVX2, so that scores and pages are the same; before they are imported."""
    for name, value in NUMPY.items():
        os.environ.setdefault(name, value)


def choose_portable() -> bool:
    """Take the portable choice in this process; return whether it was still free, or taken already."""
    os.environ.update(PORTABLE)
    return is_portable()


def is_portable() -> bool:
    """Return whether torch and MKL have taken the portable choice; decides it where it was free."""
    import torch

    branch = _mkl_branch()
    pinned = all(os.environ.get(name) == value for name, value in PORTABLE.items())
    return pinned and torch.backends.cpu.get_cpu_capability() == "AVX2" and branch in (None, "COMPATIBLE")


def use(*, portable: bool) -> bool:
    """Prepare this process for a run; return whether it computes as asked.

    Args:
        portable: Whether the run wants the portable choice. If not, the process computes as it happens to.
    """
    _make_exact(portable)
    return not portable or choose_portable()


def _make_exact(wanted: bool) -> None:
    """Take the functions `EXACT` from numpy, or give them back to MKL."""
    global _library
    if wanted == (_library is not None):
        return
    if not wanted:
        _library._destroy()
        _library = None
        return
    import numpy as np
    import torch

    _library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is replaced is what is wanted
        for name, numpys in EXACT.items():
            function = getattr(np, numpys)
            _library.impl(name, partial(_computed, function), "CPU")
            _library.impl(f"{name}.out", partial(_computed_into, function), "CPU")
            _library.impl(f"{name}_", partial(_computed_in_place, function), "CPU")


def _computed(function: Any, values: Tensor) -> Tensor:
    import numpy as np
    import torch

    inexact = values.is_floating_point() or values.is_complex()
    dtype = values.dtype if inexact else torch.get_default_dtype()
    narrow = not inexact or dtype in (torch.bfloat16, torch.float16)
    given = values.detach().to(torch.float32 if narrow else dtype).resolve_conj().resolve_neg()
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(function(given.numpy()))).to(dtype)


def _computed_into(function: Any, values: Tensor, *, out: Tensor) -> Tensor:
    return out.resize_(values.shape).copy_(_computed(function, values))


def _computed_in_place(function: Any, values: Tensor) -> Tensor:
    return values.copy_(_computed(function, values))


@cache
def _mkl() -> Any:
    """Return MKL's function that tells its branch, None where torch does not offer it."""
    import torch

    try:
        function = ctypes.CDLL(
            str(Path(torch.__file__).with_name("lib") / "libtorch_cpu.so")
        ).mkl_serv_cbwr_get
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int
    return function


def _mkl_branch() -> str | None:
    """Return the branch that MKL takes, None where that is unknown."""
    function = _mkl()
    number = None if function is None else function(1)
    return None if number is None else _BRANCHES.get(number & 0xFFFF, str(number))


def describe() -> dict[str, str | None]:
    """Return which code each library takes in this process, and a hash of what comes out, see `digest`."""
    import cv2
    import numpy as np
    import torch

    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    extensions = [*simd.get("baseline", ()), *simd.get("found", ())]
    dispatched = [name.lstrip("*") for name in cv2.getCPUFeaturesLine().split() if not name.endswith("?")]
    return {
        "processor": processor_level(),
        "torch": torch.backends.cpu.get_cpu_capability(),
        "onednn": os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "all")),
        "mkl": _mkl_branch() or os.environ.get("MKL_CBWR"),
        "numpy": extensions[-1] if extensions else None,
        "opencv": dispatched[-1] if dispatched else None,
        "digest": digest(),
    }


def digest() -> str:
    """Return a hash of a small step of training, computed now: equal where arithmetic is.

    It covers convolution, batch normalisation, products of matrices, exponentials and square roots, forward
    and backward, on one thread.
    """
    import torch
    from torch.nn import functional as F

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
            image, kernel, weight = _numbers(8, 8, 20, 20), _numbers(24, 8, 3, 3), _numbers(600, 80)
            maps = F.max_pool2d(
                torch.relu(F.batch_norm(F.conv2d(image, kernel), None, None, training=True)), 3
            )
            logits = maps.flatten(1) @ torch.cat([weight, weight[:264]])
            loss = (logits.log_softmax(1).square().sum() + logits.sigmoid().sum().square()).add(1).log()
            found = torch.autograd.grad(loss, [image, kernel, weight])
            results = (*found, logits, logits.abs().sqrt(), logits.exp(), logits.tanh())
        hashed = hashlib.sha256()
        for result in results:
            hashed.update(result.detach().contiguous().numpy().tobytes())
        return hashed.hexdigest()[:12]
    finally:
        torch.set_num_threads(threads)


def _numbers(*shape: int) -> Tensor:
    """Return numbers in [-0.1, 0.1) that are the same everywhere."""
    import torch

    count = int(torch.tensor(shape).prod())
    steps = (torch.arange(count) * 2_654_435_761 % 1_000_003).to(torch.float64)
    return (steps / 5_000_015 - 0.1).to(torch.float32).view(shape).requires_grad_()


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return in which way the arithmetic of two records differs, None where it does not or is unknown.

    Args:
        one: `environment` of a record.
        other: That of another.
    """
    first, second = one.get("arithmetic") or {}, other.get("arithmetic") or {}
    if not first or not second or first.get("digest") == second.get("digest"):
        return None
    named = {"torch": "torch", "onednn": "oneDNN", "mkl": "MKL", "processor": "processor"}
    parts = [
        f"{title} {first.get(name)} then, {second.get(name)} now"
        for name, title in named.items()
        if first.get(name) != second.get(name)
    ]
    return "; ".join(parts) or f"arithmetic {first['digest']} then, {second.get('digest')} now"
