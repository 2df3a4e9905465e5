import numpy as np
import pytest

from fer_bench.evaluation.estimates import estimate
from fer_bench.evaluation.precision import growth, units_without_interval
from tests.evaluation.samples import answers, guesses


def drawn(counts, right, seed=0, *, per_unit=1):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    units = [f"u{i // per_unit:05d}" for i in rng.permutation(len(truth))]
    return answers(truth, guesses(truth, right, rng, len(counts)), units, len(counts))


def half_width(given):
    ends = estimate([given], "t", seeds=(0,)).values["uar"].interval
    return (ends.high - ends.low) / 2


@pytest.mark.parametrize("per_unit", [1, 5])
def test_so_many_more_units_halve_the_interval(per_unit):
    small = drawn((60, 60, 60), 0.7, per_unit=per_unit)
    found = growth(estimate([small], "t", seeds=(0,)).values["uar"], small)
    factor = (found.units + found.more) / found.units
    assert 3.5 < factor < 4.2
    count = round(60 * factor)
    widths = [half_width(drawn((count,) * 3, 0.7, seed, per_unit=per_unit)) for seed in range(20)]
    assert np.mean(widths) == pytest.approx(found.half_width / 2, rel=0.2)


def test_the_rare_class_is_what_it_takes_and_fewer_pictures_do():
    small = drawn((10, 200, 200), (0.6, 0.8, 0.8))
    found = growth(estimate([small], "t", seeds=(0,)).values["uar"], small)
    assert set(found.by_class) == {"c0"}
    assert found.by_class["c0"] < found.more / 5
    more = (10 + found.by_class["c0"], 200, 200)
    widths = [half_width(drawn(more, (0.6, 0.8, 0.8), seed)) for seed in range(20)]
    assert np.mean(widths) == pytest.approx(found.half_width / 2, rel=0.25)


def test_people_get_no_list_of_pictures():
    small = drawn((60, 60, 60), 0.7, per_unit=5)
    assert growth(estimate([small], "t", seeds=(0,)).values["uar"], small).by_class == {}


def test_without_an_interval_there_is_nothing_to_halve():
    few = drawn((3, 3), 0.5)
    assert growth(estimate([few], "t", seeds=(0,)).values["uar"], few) is None
    assert (units_without_interval(6), units_without_interval(60)) == (4, 0)
