"""An exponential moving average of a network's weights, which is validated and stored in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]
KEY = "weight_average"
"""Name of the state in a checkpoint."""


class WeightAverage:
    """Follow the weights of a network, and stand in for them between training steps.

    While the average is in place, the network holds it, and the weights that learn are parked.

    Args:
        network: The network that learns, in place on its device.
        decay: Factor by which the average forgets at each step. In the first steps it forgets faster, (1 + n)
            / (10 + n) after n steps, as in TensorFlow's ExponentialMovingAverage, so that it does not
            remember random weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.average = AveragedModel(network, multi_avg_fn=self._blend, use_buffers=True)
        self.parked: dict[str, Tensor] | None = None

    def update(self) -> None:
        """Take the weights after a step into the average."""
        self.average.update_parameters(self.network)

    def put_in_place(self) -> None:
        """Let the network hold the average, if it does not yet."""
        if self.parked is None:
            self.parked = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.module.state_dict())

    def take_out(self) -> None:
        """Let the network hold the weights that learn, if it does not yet."""
        if self.parked is not None:
            self.network.load_state_dict(self.parked)
            self.parked = None

    def state(self) -> dict[str, Any]:
        """Return what resuming needs, plain types and tensors."""
        return {
            "steps": int(self.average.n_averaged),
            "average": dict(self.average.module.state_dict()),
            "learning": dict(self.network.state_dict() if self.parked is None else self.parked),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; the network then holds the weights that learn."""
        self.average.module.load_state_dict(state["average"])
        self.average.n_averaged.fill_(state["steps"])
        self.network.load_state_dict(state["learning"])
        self.parked = None

    def _blend(self, averages: Tensors, current: Tensors, steps: Tensor | int) -> None:
        """Move averages of one device and type towards the current values."""
        done = int(steps)  # on the CPU, so that nothing waits for the device
        if averages[0].is_floating_point():
            kept = min(self.decay, (1 + done) / (10 + done))
            torch._foreach_lerp_(averages, current, 1 - kept)
        else:
            for average, value in zip(averages, current, strict=True):
                average.copy_(value)
