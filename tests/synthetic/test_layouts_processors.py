"""Drawn files and packs have the same bytes whatever code libraries choose for the processor."""

import json
import os
import subprocess
import sys

import pytest

from fer_bench.synthetic import layouts

_SCRIPT = """
import hashlib, json, sys
from pathlib import Path
from fer_bench.data.packs.pack import open_pack
from fer_bench.datasets import get
from fer_bench.synthetic import layouts

out, found = Path(sys.argv[1]), {}
for name in layouts.names():
    folder, digest = layouts.write(name, out, size="tiny", jobs=1), hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(out)}\\0".encode() + file.read_bytes())
    found[f"{name}, files"] = digest.hexdigest()
    for size in (40, 112):
        found[f"{name}, {size} pixels"] = open_pack(get(name)(out), size, cache=out / "cache").pixel_hash
print(json.dumps(found))
"""
_AVX512 = "X86_V4 AVX512_ICL"
SWITCHES = {
    "all": {},
    "AVX2 only": {
        "OPENCV_CPU_DISABLE": "AVX512-SKX",
        "OPENCV_IPP": "avx2",
        "NPY_DISABLE_CPU_FEATURES": _AVX512,
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512DQ,-AVX512BW",
    },
    "hardly any": {
        "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,AVX2,AVX512-SKX",
        "OPENCV_IPP": "disabled",
        "NPY_DISABLE_CPU_FEATURES": f"X86_V3 {_AVX512}",
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "JSIMD_FORCENONE": "1",
    },
}
"""What libraries are told not to use. Those that a processor lacks anyway may be named."""


def _hashes(switches, out):
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT, str(out)]
    ended = subprocess.run(command, env={**os.environ, **switches}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    found = _hashes(SWITCHES["all"], tmp_path_factory.mktemp("all"))
    assert len(found) == 3 * len(layouts.names())
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", list(SWITCHES)[1:])
def test_files_and_packs_do_not_depend_on_the_processor(expected, tmp_path, name):
    found = _hashes(SWITCHES[name], tmp_path)
    assert [part for part in expected if found[part] != expected[part]] == []


def test_the_switches_reach_the_libraries():
    """A matrix product, a power and a blur differ: without that, equal bytes would show nothing."""
    script = (
        "import cv2, numpy as np; x = np.random.default_rng(0).random((300, 300));"
        "blurred = cv2.GaussianBlur(x.astype(np.float32), (0, 0), 2);"
        "print(*(hash(values.tobytes()) for values in (x @ x, np.tanh(x), blurred)))"
    )
    told = []
    for name in ("all", "hardly any"):
        environment = {**os.environ, **SWITCHES[name], "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-W", "ignore", "-c", script]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.append(ended.stdout.split())
    assert all(one != other for one, other in zip(*told, strict=True))
