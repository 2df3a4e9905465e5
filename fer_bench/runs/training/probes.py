"""What the contract suite of methods looks into a training with."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from fer_bench.methods.base import Method, Prediction


@contextmanager
def quiet() -> Iterator[None]:
    """Compute with one thread, as runs on a CPU do, and keep Lightning and warnings from the terminal."""
    threads = torch.get_num_threads()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "fer_bench")]
    levels = [logger.level for logger in loggers]
    torch.set_num_threads(1)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Stopped(Exception):  # noqa: N818 - it stands for a kill
    """A run is stopped."""


class GradientWatch(Callback):
    """Note which parameters get gradients, and which losses and gradients are not finite."""

    def __init__(self) -> None:
        self.reached: set[str] = set()
        self.not_finite: set[str] = set()

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at a loss."""
        if not loss.isfinite().all():
            self.not_finite.add("loss")

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Look at the gradients of a step."""
        for name, value in pl_module.named_parameters():
            if value.grad is not None:
                self.reached.add(name)
                if not value.grad.isfinite().all():
                    self.not_finite.add(name)


class PlainNetwork(nn.Module):
    """A method's network as a plain module, for export."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the tensors of the prediction."""
        found: Prediction = self.method(image)
        return found.tensors()
