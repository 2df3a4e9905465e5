"""gcn's cycle of the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from fer_bench.methods.gcn.schedule import cycle_share


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100])
def test_one_cycle_is_torchs(steps):
    rates = [cycle_share(step, steps) for step in range(steps)]
    assert max(rates) <= 1
    assert cycle_share(-1, steps) == cycle_share(steps, steps) == 0
    if steps > 3:  # torch divides by zero below
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
        schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=steps)
        expected = []
        for _ in range(steps):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step() if len(expected) < steps else None
        assert rates == pytest.approx(expected)
