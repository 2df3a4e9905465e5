"""The settings of gcn."""

from __future__ import annotations

import pytest

from fer_bench.config import MethodSettings, build
from fer_bench.errors import UsageError
from fer_bench.methods.gcn.settings import GCNSettings


def test_even_kernel_is_refused():
    with pytest.raises(UsageError, match="kernel must be odd"):
        build(GCNSettings, {"kernel": 4}, "test")


def test_positions_need_max_pooling():
    with pytest.raises(UsageError, match="needs pool=max"):
        build(GCNSettings, {"pool": "average", "unpool": "positions"}, "test")


def test_settings_are_closed():
    assert issubclass(GCNSettings, MethodSettings)
    with pytest.raises(UsageError, match="width"):
        build(GCNSettings, {"widht": 1}, "test")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"reference": "enrolled", "generator": "none"}, "reference=enrolled needs a generator"),
        (
            {"schedule": "two-step", "generator_weights": "neutral-tiny", "fixed_generator": True},
            "a fixed generator has no step to train",
        ),
        (
            {"generator": "none", "generator_weights": "neutral-tiny", "start_encoder": False},
            "takes nothing of generator_weights",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, said):
    with pytest.raises(UsageError, match=said):
        build(GCNSettings, values, "test")


def test_only_enrolled_methods_see_a_real_picture_in_the_test():
    assert GCNSettings(reference="enrolled").enrolled
    assert not GCNSettings().enrolled
    assert not MethodSettings().enrolled


def test_a_generator_is_kept_only_if_it_was_trained_before():
    assert not GCNSettings(fixed_generator=True).keeps_generator
    assert GCNSettings(fixed_generator=True, generator_weights="x").keeps_generator
    assert not GCNSettings(generator_weights="x", generator="none", fixed_generator=True).keeps_generator
