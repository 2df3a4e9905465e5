"""Portable arithmetic: the same bytes whatever the processor offers, and what tells other bytes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from fer_bench import arithmetic

pytestmark = pytest.mark.skipif(not arithmetic.can_be_portable(), reason="needs Linux on x86-64 with AVX2")
OWN = ("ATEN_", "ONEDNN_", "DNNL_", "MKL_", "NPY_", "OPENBLAS_", "OMP_")


def run(code, **variables):
    """Return what code prints as JSON in a fresh process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    code = f"import json, torch\nfrom fer_bench import arithmetic\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **variables}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def exact():
    arithmetic.use(portable=True)
    yield
    arithmetic.use(portable=False)


@pytest.mark.long
def test_what_a_user_has_set_before_does_not_change_portable_arithmetic(exact):
    portable = "print(json.dumps([arithmetic.use(portable=True), arithmetic.digest()]))"
    wide = {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_CBWR": "AUTO"}
    narrow = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "3"}
    here = [True, arithmetic.digest()]  # this process took the choice through tests/conftest.py
    assert [run(portable, **wide), run(portable, **narrow)] == [here, here]


@pytest.mark.long
def test_without_it_the_digest_tells_what_a_library_was_told_to_take():
    native = "print(json.dumps(arithmetic.describe()))"
    narrow = run(native, ATEN_CPU_CAPABILITY="default")
    assert narrow["torch"] in ("DEFAULT", "NO AVX")
    compatible = run(native, MKL_CBWR="COMPATIBLE")
    assert compatible["mkl"] == "COMPATIBLE"
    assert len({narrow["digest"], compatible["digest"], run(native)["digest"]}) == 3


@pytest.mark.long
def test_a_process_that_has_computed_otherwise_can_no_longer_choose():
    code = (
        "torch.rand(9, 9) @ torch.rand(9, 9)\n"
        "print(json.dumps([arithmetic.use(portable=True), arithmetic.is_portable()]))"
    )
    assert run(code, ATEN_CPU_CAPABILITY="default") == [False, False]
    assert run(f"arithmetic.choose_portable()\n{code}") == [True, True]


@pytest.mark.parametrize("name", sorted(arithmetic.EXACT))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_and_arcs_are_numpys(exact, name, dtype):
    values = torch.linspace(0, 1, 1001, dtype=dtype)
    expected = torch.from_numpy(getattr(np, arithmetic.EXACT[name])(values.numpy()))
    function = getattr(torch, name)
    assert torch.equal(function(values), expected)
    assert torch.equal(function(values[::3]), expected[::3])
    assert torch.equal(function(values, out=torch.empty(0, dtype=dtype)), expected)
    assert torch.equal(getattr(values.clone(), f"{name}_")(), expected)
    assert function(values).dtype == dtype


def test_a_root_is_rounded_correctly_and_can_be_differentiated(exact):
    values = torch.rand(5000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    root = values.sqrt()
    assert torch.equal(root, values.detach().double().sqrt().float())
    (slope,) = torch.autograd.grad(root.sum(), values)
    assert torch.allclose(slope, 0.5 / root)
    assert torch.tensor(-1.0).sqrt().isnan()
    assert torch.tensor([4, 9]).sqrt().tolist() == [2.0, 3.0]
    assert torch.tensor([4, 9], dtype=torch.bfloat16).sqrt().dtype == torch.bfloat16
    maps = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert maps.sqrt().is_contiguous(memory_format=torch.channels_last)


def test_mkl_gets_its_functions_back():
    values = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) + 0.1
    before = values.sqrt()
    arithmetic.use(portable=True)
    arithmetic.use(portable=False)
    assert torch.equal(values.sqrt(), before)


def test_adam_takes_the_exact_root(exact):
    """torch's Adam without `fused` calls `sqrt` itself; the fused one rounds correctly in any case."""
    found = []
    for fused in (False, True):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 999))
        optimizer = torch.optim.Adam([weight], lr=0.01, fused=fused)
        weight.grad = torch.linspace(1, -2, 999)
        optimizer.step()
        found.append(weight.detach().clone())
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_the_digest_leaves_no_trace():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        first = arithmetic.digest()
    assert first == arithmetic.digest()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_variables_for_numpy_do_not_replace_the_users(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    monkeypatch.delenv("NPY_DISABLE_CPU_FEATURES", raising=False)
    arithmetic.keep_numpy_portable()
    assert os.environ["OPENBLAS_CORETYPE"] == "Zen"
    assert "X86_V4" in os.environ["NPY_DISABLE_CPU_FEATURES"]


def test_the_difference_of_two_records_names_the_library():
    one = {"arithmetic": {"torch": "AVX512", "mkl": "off", "processor": "AVX-512", "digest": "a"}}
    other = {"arithmetic": {"torch": "AVX2", "mkl": "off", "processor": "AVX2", "digest": "b"}}
    told = arithmetic.difference(one, other)
    assert told == "torch AVX512 then, AVX2 now; processor AVX-512 then, AVX2 now"
    assert arithmetic.difference(one, one) is None
    assert arithmetic.difference({}, other) is None
    alike = {"arithmetic": {**one["arithmetic"], "digest": "c"}}
    assert arithmetic.difference(one, alike) == "arithmetic a then, c now"
