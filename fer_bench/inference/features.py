"""The features that a network's last linear layer sees, for drift between files of predictions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fer_bench.errors import UsageError
from fer_bench.inference.face_model import Answers, Crops, FaceModel
from fer_bench.inference.opening import checkpoint_of

if TYPE_CHECKING:
    from torch import Tensor

    from fer_bench.inference.checkpoint import CheckpointModel

PROBED = 2
"""Crops of noise on which the last layer is sought."""


class FeatureReader:
    """A checkpoint that gives the input of its last linear layer beside each answer.

    Args:
        model: A checkpoint of any method whose logits are the output of an `nn.Linear`.

    Attributes:
        layer: Name of that layer.

    Raises:
        UsageError: An export, or a network without such a layer.
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = checkpoint_of(
            model, "an export answers without its features: only checkpoints have them"
        )
        self.layer = _last_layer(self.model)

    def answer(self, crops: Crops) -> Answers:
        """Return the answers with `features`, for crops uint8 [B, S, S, 3]."""
        seen: list[Tensor] = []
        layer = self.model.method.get_submodule(self.layer)
        with ExitStack() as stack:
            hook = layer.register_forward_hook(lambda _, given, __: seen.append(given[0].detach()))
            stack.callback(hook.remove)
            found = self.model.answer(crops)
        return replace(found, features=seen[-1].float().cpu().numpy())


def _last_layer(model: CheckpointModel) -> str:
    """Return the name of the linear layer whose output are the logits.

    Raises:
        UsageError: There is none.
    """
    import torch

    size = model.card.recipe.size
    crops = np.random.default_rng(0).integers(0, 256, (PROBED, size, size, 3), np.uint8)
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        outputs[name] = output.detach().float().cpu()

    with ExitStack() as stack:
        for name, layer in model.method.named_modules():
            if isinstance(layer, torch.nn.Linear):
                hook = layer.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
                stack.callback(hook.remove)
        logits = torch.from_numpy(model.answer(crops).logits)
    for name, output in outputs.items():
        if torch.equal(output, logits):
            return name
    raise UsageError(
        f"the logits of this {model.card.method} are not the output of a linear layer, so it has no features",
        value=f"--features with {model.path}",
        hint="leave it out; log-probabilities are compared without it",
    )
