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
