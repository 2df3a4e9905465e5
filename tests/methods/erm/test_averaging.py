"""The average of the weights, by hand; it stands in and steps back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_bench.methods.erm.averaging import WeightAverage


def set_weights(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        network[0].weight.fill_(value)
        network[1].running_mean.fill_(value)
        network[1].num_batches_tracked.fill_(int(value))


@pytest.fixture
def network():
    made = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    set_weights(made, 0.0)
    return made


def followed(network: nn.Module, decay: float) -> tuple[WeightAverage, list[float]]:
    """Return an average after four steps, and what it must be by hand."""
    average, expected = WeightAverage(network, decay), []
    for step, value in enumerate((1.0, 2.0, 3.0, 4.0)):
        set_weights(network, value)
        average.update()
        kept = min(decay, (1 + step) / (10 + step))
        # The first call takes the weights as they are.
        expected.append(value if step == 0 else kept * expected[-1] + (1 - kept) * value)
    return average, expected


@pytest.mark.parametrize("decay", [0.05, 0.999])
def test_weights_and_statistics_by_hand(network, decay):
    average, expected = followed(network, decay)
    average.put_in_place()
    assert network[0].weight.unique().item() == pytest.approx(expected[-1])
    assert network[1].running_mean.unique().item() == pytest.approx(expected[-1])
    assert network[1].num_batches_tracked.item() == 4
    average.take_out()
    assert network[0].weight.unique().item() == 4.0


def test_it_can_be_put_in_place_and_taken_out_twice(network):
    average, expected = followed(network, 0.5)
    for _ in range(2):
        average.put_in_place()
    assert network[0].weight.unique().item() == pytest.approx(expected[-1])
    for _ in range(2):
        average.take_out()
    assert network[0].weight.unique().item() == 4.0


def test_a_restored_average_goes_on_as_if_never_interrupted(network):
    average, _ = followed(network, 0.5)
    average.put_in_place()  # as when an epoch is stored
    state = average.state()
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    again = WeightAverage(other, 0.5)
    again.restore(state)
    assert other[0].weight.unique().item() == 4.0
    average.take_out()
    for one, follower in ((network, average), (other, again)):
        set_weights(one, 9.0)
        follower.update()
        follower.put_in_place()
    assert torch.equal(network[0].weight, other[0].weight)
