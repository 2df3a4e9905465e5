"""About how long a run takes without an earlier run like it."""

import pytest

from fer_bench import methods
from fer_bench.config import PROFILES
from fer_bench.runs import rates
from fer_bench.runs.resolve import resolve_settings
from tests.plans import plan_one


@pytest.fixture(autouse=True)
def _a_processor_as_fast(monkeypatch):
    monkeypatch.setattr(rates, "calibration", lambda: rates.measured().speed)


@pytest.fixture
def seconds(workspace):
    """Return the estimate of a run: (training, what comes at its end)."""

    def estimate(*overrides, method="erm", dataset="rafdb", **fields):
        run = plan_one(workspace, method=method, dataset=dataset, overrides=overrides, **fields)
        return rates.seconds_of(run.config, workspace)

    return estimate


def test_every_profile_of_every_method_was_measured():
    known = rates.measured().rates
    assert {(name, profile) for name, found in known.items() for profile in found} == {
        (name, profile) for name in methods.BUILT_IN for profile in PROFILES
    }
    assert rates.measured().processor
    for found in known.values():
        assert found["quick"].train > found["paper"].train


@pytest.mark.parametrize("name", methods.BUILT_IN)
@pytest.mark.parametrize("profile", ["quick", "small"])
def test_it_was_the_network_of_today(name, profile):
    """A network that has changed must be measured again: python benchmarks/speed/rates.py --method NAME."""
    settings, _ = resolve_settings(name, profile)
    assert rates.measured().rates[name][profile].work == pytest.approx(rates.work_of(name, settings), rel=0.1)


def test_training_takes_as_long_as_it_has_epochs_and_rows(seconds):
    once, rest = seconds(max_epochs=1)
    assert seconds(max_epochs=3) == pytest.approx((3 * once, rest))
    few, _ = seconds("train.epoch_rows=10", max_epochs=1)
    assert 0 < few < once
    assert rest > 0


def test_targets_take_their_time(seconds):
    alone = seconds(targets="none")[1]
    assert seconds(targets=("oulu",))[1] > alone


def test_a_network_of_other_width_is_estimated_by_its_multiply_adds(seconds):
    narrow, wide = (seconds(f"method.width={width}", method="resemotenet")[0] for width in (0.0625, 0.125))
    assert 2.5 < wide / narrow < 4.5


def test_a_frozen_tower_computes_each_picture_once_unless_noise_changes_it(seconds):
    epoch, twice = (seconds(method="cafe", max_epochs=epochs)[0] for epochs in (1, 2))
    assert twice < 1.9 * epoch


def test_a_slower_processor_takes_longer(seconds, monkeypatch):
    here, rest = seconds()
    monkeypatch.setattr(rates, "calibration", lambda: rates.measured().speed / 3)
    assert seconds() == pytest.approx((3 * here, 3 * rest))


def test_gpus_and_methods_of_others_were_not_measured(workspace):
    run = plan_one(workspace, method="erm", dataset="rafdb")
    assert rates.seconds_of(run.config.model_copy(update={"device": "cuda"}), workspace) is None
    assert rates.seconds_of(run.config.model_copy(update={"method": "theirs"}), workspace) is None


def test_the_calibration_is_the_speed_of_this_processor(monkeypatch):
    monkeypatch.undo()
    assert 1e8 < rates.calibration() < 1e13
