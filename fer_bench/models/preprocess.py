"""From packed crops to what a network takes, and from its answers to logits, as its card says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError
from fer_bench.models.card import ModelCard, NetworkInput

AT_ONCE = 64
"""Faces per call of a network that takes any number."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SMALLEST = 1e-12
"""Probability that stands for zero, whose logarithm is infinite."""
SUM_TOLERANCE = 0.01
"""How far probabilities may be from a sum of one: half precision rounds by as much."""
Crops = NDArray[np.uint8]
Numbers = NDArray[np.float32]


def network_input(crops: Crops, spec: NetworkInput) -> Numbers:
    """Return crops as the network takes them: its colours, values and layout.

    Args:
        crops: uint8 [B, S, S, 3], RGB.
        spec: What the network takes; it must say which values.

    Returns:
        float32 [B, C, S, S], or [B, S, S, C] for `nhwc`.
    """
    values = crops.astype(np.float32) / np.float32(255)
    if spec.colour == "bgr":
        values = values[..., ::-1]
    elif spec.colour == "gray":
        values = np.repeat((values @ LUMA)[..., None], spec.depth, axis=-1)
    low, scale = _scale(spec)
    values = (values - low) / scale
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if spec.layout == "nchw" else values)


def shown_input(values: Numbers, spec: NetworkInput) -> Crops:
    """Return network input as pictures: the first channel red, the third blue, whatever the card calls them.

    Args:
        values: From `network_input`.
        spec: What the network takes.

    Returns:
        uint8 [B, S, S, 3].
    """
    low, scale = _scale(spec)
    last = values.transpose(0, 2, 3, 1) if spec.layout == "nchw" else values
    pixels = np.rint((last * scale + low) * 255).clip(0, 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if spec.depth == 1 else pixels


def _scale(spec: NetworkInput) -> tuple[Numbers, Numbers]:
    """Return what is subtracted from values in [0, 1] and what then divides them, per channel."""
    if spec.range is not None:
        black, white = spec.range
        scale = np.float32(1 / (white - black))
        return np.full(spec.depth, -black * scale, np.float32), np.full(spec.depth, scale, np.float32)
    assert spec.mean is not None
    return np.array(spec.mean, np.float32), np.array(spec.std, np.float32)


def to_logits(answers: NDArray[np.generic], card: ModelCard, model: str) -> Numbers:
    """Return the network's answers as logits of the card's emotions.

    Probabilities become their logarithms, zero that of 1e-12. Outputs that the card drops are left out.

    Args:
        answers: [B, C] of the whole network.
        card: Its card.
        model: The model, for messages.

    Returns:
        float32 [B, K], in the order of `card.labels`.

    Raises:
        DataError: Another number of outputs than classes, a value that is not finite, or other numbers than
            the card says.
    """
    hint = f"the model card ({card.name}) must describe this network"
    if answers.ndim != 2 or answers.shape[1] != len(card.classes):
        shape = "x".join(map(str, answers.shape[1:])) or "a single number"
        wanted = len(card.classes)
        problem = f"the network answers {shape} values per face, and the card names {wanted} classes"
        raise DataError(problem, file=model, hint=hint)
    values = answers.astype(np.float64)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"output {column + 1} of face {row + 1} is not finite",
            file=model,
            value=float(values[row, column]),
            hint="wrong input values can do that: --show FILE draws what the network sees",
        )
    found = _kind_of(values)
    if card.outputs == "probabilities" and found != "probabilities":
        problem = "the card says probabilities, and the outputs are not in [0, 1] with a sum of one"
        raise DataError(problem, file=model, value=_first(values), hint="outputs: logits, if they are those")
    if card.outputs == "log-probabilities" and found != "log-probabilities":
        problem = "the card says log-probabilities, and the exponentials of the outputs do not sum to one"
        hint = f"outputs: {found}, if they are those"
        raise DataError(problem, file=model, value=_first(values), hint=hint)
    if card.outputs == "logits" and found == "probabilities":
        problem = "the card says logits, and all outputs are in [0, 1] with a sum of one"
        raise DataError(problem, file=model, value=_first(values), hint="outputs: probabilities, if they are")
    kept = values[:, list(card.kept)]
    return (np.log(kept.clip(SMALLEST)) if found == "probabilities" else kept).astype(np.float32)


def _kind_of(values: NDArray[np.float64]) -> str:
    """Return what outputs look like: logits that sum to one in every row by chance do not occur."""
    slack = 1e-4
    if (values >= -slack).all() and (np.abs(values.sum(axis=1) - 1) <= SUM_TOLERANCE).all():
        return "probabilities"
    if (values <= slack).all() and (np.abs(np.exp(values).sum(axis=1) - 1) <= SUM_TOLERANCE).all():
        return "log-probabilities"
    return "logits"


def _first(values: NDArray[np.float64]) -> list[float]:
    return [round(float(one), 4) for one in values[0]]
