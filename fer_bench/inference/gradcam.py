"""Grad-CAM and HiResCAM for any method, by the package `grad-cam`.

Grad-CAM (Selvaraju et al., arXiv:1610.02391) averages a channel's gradient over the picture; HiResCAM
(Draelos and Carin, arXiv:2011.08891) keeps it where it is, as networks need that do not average their map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_bench.distribution import install_hint
from fer_bench.errors import UsageError
from fer_bench.methods.base import Method

LEAST_SIDE = 4
"""Positions along a side of a feature map below which a finer one is preferred: 2 x 2 say little of where."""
PART = {"gcn": "encoder2", "cafe": "backbone"}
"""Part of the network that sees the input itself, where another part sees something else too: gcn's encoder
of the reference, cafe's frozen tower."""
MapKind = Literal["grad-cam", "hirescam"]
Layout = Literal["channels first", "channels last", "tokens"]


class Logits(nn.Module):
    """A method as the package wants it: from images to logits.

    Args:
        method: A trained method.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, C] of normalised images [B, 3, H, W]."""
        logits: Tensor = self.method(image).logits
        return logits


@dataclass(frozen=True)
class Place:
    """A layer whose output is a map over the picture.

    Attributes:
        name: Its name in the network.
        module: The layer.
        layout: How its output is laid out: [B, c, h, w], [B, h, w, c], or tokens [B, n, c].
        before: Tokens before those of the picture.
        side: Positions along a side.
    """

    name: str
    module: nn.Module
    layout: Layout
    before: int
    side: int

    def as_map(self, output: Tensor) -> Tensor:
        """Return an output of the layer as [B, c, h, w]."""
        if self.layout == "tokens":
            output = output[:, self.before :].reshape(len(output), self.side, self.side, -1)
        return output if self.layout == "channels first" else output.permute(0, 3, 1, 2)


def class_maps(
    method: Method, images: Tensor, classes: Sequence[int], kind: MapKind = "grad-cam"
) -> NDArray[np.float32]:
    """Return maps float32 [B, H, W] in [0, 1]: where features speak for a class, relative to the strongest.

    Args:
        method: A trained method, in evaluation mode.
        images: Normalised images [B, 3, H, W].
        classes: Position of the class per image [B].
        kind: Which map.

    Raises:
        UsageError: The package is not installed, or no layer has a map that the logits depend on.
    """
    try:
        from pytorch_grad_cam import GradCAM, HiResCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        raise UsageError(
            "explanation maps need the package grad-cam, which is not installed", hint=install_hint("explain")
        ) from None
    model, place = Logits(method), find_place(method, images)
    cam = (GradCAM if kind == "grad-cam" else HiResCAM)(model, [place.module], place.as_map)
    cam.compute_input_gradient = True  # a frozen backbone has gradients only this way
    try:
        with torch.enable_grad():
            found = cam(images.clone(), [ClassifierOutputTarget(number) for number in classes])
    finally:
        cam.activations_and_grads.release()
        method.zero_grad(set_to_none=True)
    # An encoder that sees input and reference in one batch has the inputs first.
    maps: NDArray[np.float32] = np.asarray(found[: len(images)], np.float32)
    return maps


def find_place(method: Method, images: Tensor) -> Place:
    """Return the last layer with a map over the picture that the logits depend on.

    Of convolutional networks that is the last stage with at least `LEAST_SIDE` positions a side; of
    transformers the last normalisation whose picture tokens still reach the logits.

    Args:
        method: A trained method, in evaluation mode.
        images: Normalised images [B, 3, H, W].

    Raises:
        UsageError: There is none.
    """
    found: list[tuple[Place, Tensor]] = []
    network = getattr(method, "network", None)
    root: nn.Module = network if isinstance(network, nn.Module) else method
    part = PART.get(method.name, "")
    handles = [
        module.register_forward_hook(_recorder(name, found))
        for name, module in root.named_modules()
        if name and (not part or name == part or name.startswith(f"{part}."))
    ]
    try:
        with torch.enable_grad():
            logits = method(images[:1].clone().requires_grad_()).logits
            outputs = [output for _, output in found]
            alive = [output for output in outputs if output.requires_grad]
            grads = torch.autograd.grad(logits.max(), alive, allow_unused=True) if alive else ()
    finally:
        for handle in handles:
            handle.remove()
    reached = {id(output): grad for output, grad in zip(alive, grads, strict=True) if grad is not None}
    places = [p for p, output in found if id(output) in reached and p.as_map(reached[id(output)]).abs().any()]
    if not places:
        raise UsageError(
            f"no layer of {method.name} has a map over the picture that its answer depends on",
            hint="a frozen tower without a trained mask, for example, cannot be explained this way",
        )
    fine = [place for place in places if place.side >= LEAST_SIDE]
    return (fine or places)[-1]


def _recorder(name: str, found: list[tuple[Place, Tensor]]) -> Any:
    def record(module: nn.Module, given: Any, output: Any) -> None:
        place = _place(name, module, output) if isinstance(output, Tensor) else None
        if place is not None:
            found.append((place, output))

    return record


def _place(name: str, module: nn.Module, output: Tensor) -> Place | None:
    """Return the place of a layer's output if that is a square map with more than one position."""
    if output.ndim == 4:
        last = isinstance(module, nn.LayerNorm) and output.shape[-1] == module.normalized_shape[-1]
        height, width = output.shape[1:3] if last else output.shape[2:]
        if height == width and height > 1:
            return Place(name, module, "channels last" if last else "channels first", 0, height)
    if output.ndim == 3 and isinstance(module, nn.LayerNorm):
        side = math.isqrt(output.shape[1])
        before = output.shape[1] - side * side
        if side > 1 and before <= 5:  # a class token, a distillation token or up to four registers
            return Place(name, module, "tokens", before, side)
    return None
