"""Crops as network input on a CPU: in blocks that stay in its cache, with few pages of memory to be mapped.

The numbers and the order in which they lie in memory are those of the plain formulas on whole batches, which
`transforms` keeps for other devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.config import Augmentation, InputSpec

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R BT.601)."""
BLOCK = 1 << 18
"""Numbers of a block: 1 MiB of floats."""
ALIGNED = 64
"""Bytes at whose multiples torch places tensors."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""What counters are multiplied with (SplitMix64)."""


def on_cpu(images: Tensor) -> bool:
    """Return whether a tensor is in the memory of the processor."""
    return images.device.type == "cpu"


def uniforms(start: int, rows: Tensor, count: int) -> Tensor:
    """Return numbers in [0, 1), see `transforms.uniforms`: float32 [B, count].

    Args:
        start: What seed, epoch and purpose make.
        rows: int64 [B], index positions.
        count: Numbers per row.
    """
    state = _mix(np.array([start % 2**64], np.uint64) * GOLDEN)
    state = _mix(rows.numpy().astype(np.uint64)[:, None] * GOLDEN + state)
    numbers = _mix(state + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
    numbers >>= np.uint64(40)
    return torch.from_numpy(numbers.astype(np.float32)).div_(1 << 24)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble numbers in place (the finaliser of SplitMix64, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    x ^= x >> np.uint64(31)
    return x


def moved(images: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Shift crops and then flip them, see `transforms.move`.

    A shifted row is one piece of memory, of which some pixels belong to the row before or after: those are
    overwritten with the border.

    Args:
        images: uint8 [B, H, W, 3].
        draws: float32 [B, 16] of `transforms.decisions`.
        how: Probability of a flip and largest shift.
    """
    pad, drawn = how.crop_pad, draws.numpy()
    batch, height, width, channels = images.shape
    given, chosen = images.numpy(), drawn[:, 0] < how.flip
    margin = min(pad, width - 1) * channels
    memory = np.empty(given.size + 2 * margin, np.uint8)
    source = memory[margin : margin + given.size].reshape(given.shape)
    source[...] = given
    lines = torch.from_numpy(given[chosen]).view(-1, width, channels)  # of three axes, as torch is quick with
    source[chosen] = lines.flip(1).view(-1, height, width, channels).numpy()
    if not pad:
        return torch.from_numpy(source)
    span = 2 * pad + 1
    down, right = np.floor(drawn[:, 1:3] * span).clip(max=span - 1).astype(np.int64).T - pad
    right = np.where(chosen, -right, right).clip(1 - width, width - 1)
    y = np.clip(np.arange(height) + down[:, None], 0, height - 1) + height * np.arange(batch)[:, None]
    starts = margin + (y * width + right[:, None]) * channels
    found = sliding_window_view(memory, width * channels)[starts].reshape(given.shape)
    for crop, shift in zip(found, right.tolist(), strict=True):
        if shift > 0:
            crop[:, width - shift :] = crop[:, width - shift - 1, None]
        elif shift < 0:
            crop[:, :-shift] = crop[:, -shift, None]
    return torch.from_numpy(found)


def scaled(crops: Tensor) -> Tensor:
    """Return crops uint8 [B, H, W, 3] as float32 [B, 3, H, W] in [0, 1]."""
    found = empty(crops.shape)
    for block in blocks(crops):
        found[block].copy_(crops[block]).div_(255)
    return found.permute(0, 3, 1, 2)


def normalised(crops: Tensor, spec: InputSpec) -> Tensor:
    """Return crops as network input, float32 [B, 3, H, W].

    Args:
        crops: uint8 [B, H, W, 3], or what `scaled` returned, which is written over.
        spec: Grey or colour, mean and standard deviation.
    """
    if crops.dtype != torch.uint8:
        crops = crops.permute(0, 2, 3, 1)
    batch, height, width, channels = crops.shape
    if spec.grey:
        found = empty((batch, channels, height, width))
        weights = torch.tensor(LUMA).repeat(width)
        mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (spec.mean, spec.std))
        for block in blocks(crops):
            part = crops[block]
            if part.dtype == torch.uint8:
                part = part.to(torch.float32).div_(255)
            part.view(-1, width * channels).mul_(weights)
            red, green, blue = part.unbind(3)
            torch.sub((red + green).add_(blue)[:, None], mean, out=found[block]).div_(std)
        return found
    found = empty(crops.shape) if crops.dtype == torch.uint8 else crops
    mean, std = (torch.tensor(numbers).repeat(width) for numbers in (spec.mean, spec.std))
    for block in blocks(crops):
        part = found[block]
        if crops.dtype == torch.uint8:
            part.copy_(crops[block]).div_(255)
        # In whole rows, because torch is slow with runs of three.
        part.view(-1, width * channels).sub_(mean).div_(std)
    return found.permute(0, 3, 1, 2)


def erased(pixels: Tensor, chosen: Tensor, edges: Tensor) -> Tensor:
    """Return images with a rectangle set to 0 in some of them, one channel after the other in memory.

    Args:
        pixels: float32 [B, 3, H, W], which may be written over.
        chosen: bool [B].
        edges: float [B, 4], whole numbers: first row and the one after the last, first column and the one
            after the last.
    """
    found = pixels
    if not pixels.is_contiguous():
        found = empty(pixels.shape)
        for block in blocks(pixels):
            found[block].copy_(pixels[block])
    edges = edges.to(torch.int64)
    for row in torch.nonzero(chosen).flatten().tolist():
        top, bottom, left, right = edges[row].tolist()
        found[row, :, top:bottom, left:right] = 0
    return found


def blocks(images: Tensor) -> Iterator[slice]:
    """Yield the parts of a batch that are worked on in turn: all of it where that is not a CPU."""
    size = max(1, BLOCK // max(1, images[:1].numel())) if on_cpu(images) else max(1, len(images))
    for start in range(0, len(images), size):
        yield slice(start, start + size)


def empty(shape: tuple[int, ...]) -> Tensor:
    """Return an uninitialised float32 tensor.

    NumPy asks the kernel for large pages where torch does not: to map a batch of large pictures in pages of
    4 KiB takes longer than to compute it.
    """
    count = math.prod(shape)
    memory: NDArray[np.float32] = np.empty(count + ALIGNED // 4, np.float32)
    start = -memory.ctypes.data % ALIGNED // 4
    return torch.from_numpy(memory[start : start + count]).view(shape)
