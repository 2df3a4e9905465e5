"""Portable runs give the same bytes whatever the libraries are told, down to AVX2; the others do not."""

import pytest

from fer_bench import arithmetic, methods

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not arithmetic.can_be_portable(), reason="needs Linux on x86-64 with AVX2"),
]


@pytest.fixture(scope="module")
def portable(load_benchmark):
    return load_benchmark("portable")


@pytest.fixture(scope="module")
def here(portable):
    return portable.train_elsewhere(methods.names())


def test_every_surrounding_gives_the_same_bytes(portable, here):
    assert set(here) == set(methods.names())
    for name, variables in portable.SURROUNDINGS.items():
        if name != portable.NATIVE:
            assert portable.train_elsewhere(methods.names(), variables) == here, name


def test_without_portable_arithmetic_they_differ(portable, here):
    narrow = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    found = portable.train_elsewhere(methods.names(), narrow, portable=False)
    assert all(found[name] != here[name] for name in here)
    if arithmetic.processor_level() == "AVX-512":
        wide = portable.train_elsewhere(methods.names(), portable=False)
        assert all(found[name] != wide[name] for name in here)
