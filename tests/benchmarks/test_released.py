"""The released ways compute what the methods compute, and each is timed in a process of its own."""

from __future__ import annotations

import random
from functools import partial

import pytest
import torch

from benchmarks.speed.forked import Way, Workers
from benchmarks.speed.harness import alternate
from benchmarks.speed.released import ReleasedCAFE, ReleasedResEmoteNet, ReleasedSSMFAR, two_passes
from benchmarks.speed.steps import TrainingStep, multiply_adds
from fer_bench.methods.cafe import losses
from fer_bench.methods.resemotenet.network import Convolution


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    """Restore which convolutions are matrix products."""
    monkeypatch.setattr(Convolution, "LARGE", Convolution.LARGE)


def drops_the_first(channels, classes, device, dropped):
    """Return which channels are kept when the order of each group is not shuffled."""
    size = channels // classes
    kept = torch.ones(channels)
    kept[: classes * size].view(classes, size)[:, : round(dropped * size)] = 0
    return kept


@pytest.mark.parametrize(
    ("name", "released"),
    [("resemotenet", ReleasedResEmoteNet), ("ssmfar", ReleasedSSMFAR), ("cafe", ReleasedCAFE)],
)
def test_released_ways_have_the_same_loss(monkeypatch, name, released):
    monkeypatch.setattr(random, "shuffle", lambda group: None)
    monkeypatch.setattr(losses, "draw_kept", drops_the_first)
    theirs, ours = released(name, "quick", rows=6), TrainingStep(name, "quick", rows=6)
    for step in (theirs, ours):
        step.method.eval()  # without dropout, and with the same statistics for other batches
        if name == "ssmfar":
            step.method.thresholds.fill_(0.15)  # of which some rows are sure
    assert theirs.method.training is False
    torch.testing.assert_close(theirs.loss(), ours.loss(), rtol=1e-4, atol=1e-5)


def test_released_code_passes_more_rows_through_the_network():
    theirs, ours = ReleasedSSMFAR("ssmfar", "quick", rows=8), TrainingStep("ssmfar", "quick", rows=8)
    assert multiply_adds(theirs) / multiply_adds(ours) == pytest.approx(208 / 144, abs=0.02)


def test_two_passes_cost_what_one_costs_in_multiply_adds():
    assert multiply_adds(two_passes()) == multiply_adds(TrainingStep("gcn", "quick"))


def busy(rounds):
    return lambda: [sum(range(50_000)) for _ in range(rounds)]


def test_each_way_runs_in_a_process_of_its_own():
    ways = {"short": Way(partial(busy, 1)), "long": Way(partial(busy, 40), keeps=False)}
    with Workers(ways) as workers:
        seconds = alternate(workers.steps, 3, workers.spent)
    assert min(seconds["long"]) > 5 * min(seconds["short"]) > 0
    assert workers.memory.keys() == workers.first.keys() == ways.keys()
