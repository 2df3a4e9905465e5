from __future__ import annotations

import numpy as np
import pytest

from fer_bench.evaluation.statistics import find_units, mean_and_sd
from tests.evaluation.samples import answers


def test_units_are_sorted_and_a_model_need_not_have_all():
    one = answers([0, 1, 0], [0, 0, 0], ["p3", "p1", "p3"])
    other = answers([0, 1], [0, 0], ["p2", "p1"])
    found = find_units([one, other])
    assert list(found.names) == ["p1", "p2", "p3"]
    assert [list(codes) for codes in found.of_rows] == [[2, 0, 2], [1, 0]]


def test_mean_and_sd_use_ddof_one():
    assert mean_and_sd([0.4, 0.6]) == pytest.approx((0.5, np.sqrt(0.02)))
    assert mean_and_sd([0.4]) == (0.4, None)
