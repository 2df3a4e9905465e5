"""Freed memory stays with the process, and results do not depend on it."""

import json
import os
import subprocess
import sys

import pytest

from fer_bench import allocator

pytestmark = pytest.mark.skipif(
    not allocator.describe().startswith("glibc"), reason="needs the allocator of glibc"
)
HELD = """
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
def held_after_free(size=64 * 2**20):
    pages = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
    before, block = pages(), library.malloc(ctypes.c_size_t(size))
    ctypes.memset(block, 1, size)
    library.free(block)
    return (pages() - before) / size
"""


def run(code, **variables):
    """Return what code prints as JSON in a fresh process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "FER_"))}
    code = f"import json\nfrom fer_bench import allocator\n{HELD}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **variables}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_freed_block_stays_in_the_process_and_in_those_it_forks():
    code = """
import os
kept = allocator.keep_memory()
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, json.dumps(held_after_free()).encode())
    os._exit(0)
os.wait()
print(json.dumps([kept, allocator.describe(), held_after_free(), json.loads(os.read(reader, 99))]))
"""
    kept, said, here, in_child = run(code)
    assert kept
    assert said.endswith("freed memory kept")
    assert here > 0.9
    assert in_child > 0.9


def test_the_variable_leaves_the_allocator_as_it_is():
    code = "print(json.dumps([allocator.keep_memory(), allocator.describe(), held_after_free()]))"
    kept, said, held = run(code, FER_BENCH_ALLOCATOR="system")
    assert not kept
    assert said.endswith("freed memory given back")
    assert held < 0.1


@pytest.mark.long
def test_numbers_are_the_same_with_and_without_it():
    code = (
        "from fer_bench import arithmetic\nprint(json.dumps([allocator.keep_memory(), arithmetic.digest()]))"
    )
    (kept, ours), (given_back, usual) = run(code), run(code, FER_BENCH_ALLOCATOR="system")
    assert (kept, given_back) == (True, False)
    assert ours == usual


def test_nothing_happens_with_another_c_library(monkeypatch):
    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", unknown)
    monkeypatch.setattr(allocator, "_kept", False)
    assert not allocator.keep_memory()
    assert allocator.describe() == "Linux, freed memory given back"


@pytest.mark.parametrize("first", ["import fer_bench.cli", "from fer_bench import Predictor; see(Predictor)"])
def test_commands_and_the_python_interface_choose_it(first):
    code = f"""
def see(predictor):
    try:
        predictor("absent.ckpt")
    except Exception:
        pass
{first}
print(json.dumps(allocator.describe()))
"""
    assert run(code).endswith("freed memory kept")
