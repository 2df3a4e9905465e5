"""Batched image transforms: whole-batch tensor operations on a GPU, the same numbers in blocks on a CPU.

Random draws are a function of (seed, epoch, row, purpose), computed by a counter-based generator. They do not
depend on the composition of batches, the worker, the device or how often a run was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading import blockwise

Finish = Callable[[dict[str, Tensor], int], dict[str, Tensor]]
"""Turns a batch of packed crops into network input, given the epoch."""
_SLOTS = 16
"""Uniform numbers reserved for one row's decisions; pixel noise uses streams beyond them."""


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift right without sign extension."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """Scramble int64 values (the finaliser of SplitMix64, Steele et al. 2014), wrapping around."""
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return x ^ _shift(x, 31)


def uniforms(seed: int, epoch: int, rows: Tensor, count: int, stream: int = 0) -> Tensor:
    """Return numbers in [0, 1) that depend on their arguments only.

    Args:
        seed: Repetition.
        epoch: Epoch from 0.
        rows: int64 [B], index positions.
        count: Numbers per row.
        stream: Separates purposes.

    Returns:
        float32 [B, count] on the device of `rows`.
    """
    origin = seed * 1_000_003 + epoch * 1_009 + stream + 1
    if blockwise.on_cpu(rows):
        return blockwise.uniforms(origin, rows, count)
    golden = -7046029254386353131
    start = _mix(torch.tensor(origin, dtype=torch.int64, device=rows.device) * golden)
    state = _mix(rows.to(torch.int64)[:, None] * golden + start)
    counter = torch.arange(1, count + 1, dtype=torch.int64, device=rows.device)[None]
    return _shift(_mix(state + counter * golden), 40).to(torch.float32) / (1 << 24)


def decisions(seed: int, epoch: int, rows: Tensor) -> Tensor:
    """Return the draws that decide how each row is augmented, float32 [B, 16]; arguments: see `uniforms`."""
    return uniforms(seed, epoch, rows, _SLOTS)


def prepare(images: Tensor, spec: InputSpec) -> Tensor:
    """Turn packed crops into network input without any randomness.

    Args:
        images: uint8 [B, H, W, 3].
        spec: Grey or colour, mean and standard deviation.

    Returns:
        float32 [B, 3, H, W].
    """
    return (
        blockwise.normalised(images, spec) if blockwise.on_cpu(images) else normalise(to_float(images), spec)
    )


def to_float(images: Tensor) -> Tensor:
    """Return uint8 [B, H, W, 3] as float32 [B, 3, H, W] in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def normalise(images: Tensor, spec: InputSpec) -> Tensor:
    """Apply grey conversion (ITU-R BT.601 luma), mean and standard deviation to [B, 3, H, W] in [0, 1]."""
    if spec.grey:
        weights = images.new_tensor(blockwise.LUMA).view(1, 3, 1, 1)
        images = (images * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    mean = images.new_tensor(spec.mean).view(1, 3, 1, 1)
    std = images.new_tensor(spec.std).view(1, 3, 1, 1)
    return (images - mean) / std


def finish_batch(
    batch: dict[str, Tensor],
    epoch: int,
    *,
    spec: InputSpec,
    how: Augmentation | None,
    seed: int,
    count: int,
    grid: int | None = None,
) -> dict[str, Tensor]:
    """Turn the packed crops of a batch into network input; a finished batch is returned as it is.

    Args:
        batch: With `row` int64 [B] and crops uint8 [B, H, W, 3]: `image`, `strong`, `reference`, `generated`;
            `sides` [B, 2] where noise is drawn, see `augment`.
        epoch: Epoch from 0.
        spec: Grey or colour, mean and standard deviation.
        how: Random changes, None outside training. A reference, real or generated, is only
            moved, like its image.
        seed: Repetition.
        count: Rows of the index; a union numbers the further turns of a row from there on.
        grid: See `noise_grid`.

    Returns:
        The batch with float32 [B, 3, H, W] and with index positions in `row`.
    """
    image = batch["image"]
    if image.dtype != torch.uint8:
        return batch
    row = batch["row"]
    finished = {**batch, "row": row % count}
    native: dict[str, Any] = {"sides": finished.pop("sides", None), "grid": grid}
    if how is None:
        for name in ("image", "reference"):
            if name in batch:
                finished[name] = prepare(batch[name], spec)
        return finished
    finished["image"] = augment(image, row, spec, how, seed=seed, epoch=epoch, **native)
    for name in ("reference", "generated"):
        if name in batch:
            finished[name] = prepare(move(batch[name], decisions(seed, epoch, row), how), spec)
    if "strong" in batch:  # draws of its own: no repetition has a seed that high
        finished["strong"] = augment(
            batch["strong"], row, spec, how, seed=seed + 2**31, epoch=epoch, **native
        )
    return finished


def augment(
    images: Tensor,
    rows: Tensor,
    spec: InputSpec,
    how: Augmentation,
    *,
    seed: int,
    epoch: int,
    sides: Tensor | None = None,
    grid: int | None = None,
) -> Tensor:
    """Augment and normalise packed crops.

    Args:
        images: uint8 [B, H, W, 3].
        rows: int64 [B], index positions that the draws depend on.
        spec: Grey or colour, mean and standard deviation.
        how: Which random changes.
        seed: Repetition.
        epoch: Epoch from 0.
        sides: float [B, 2], width and height of each face in its picture, at which noise is drawn; None
            where that is the size of the crops.
        grid: See `noise_grid`, None for twice the size of the crops.

    Returns:
        float32 [B, 3, H, W].
    """
    draws = decisions(seed, epoch, rows)
    crops = move(images, draws, how)
    if how.brightness or how.contrast or how.noise:
        pixels = blockwise.scaled(crops) if blockwise.on_cpu(crops) else to_float(crops)
        if how.brightness or how.contrast:
            _light(pixels, draws, how)
        if how.noise:
            _noise(pixels, rows, draws, how, seed, epoch, sides, grid)
        pixels = blockwise.normalised(pixels, spec) if blockwise.on_cpu(pixels) else normalise(pixels, spec)
    else:
        pixels = prepare(crops, spec)
    return _erase(pixels, draws, how) if how.erase else pixels


def move(images: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Flip and shift crops; border pixels are repeated.

    Pictures moved with the same draws move alike, so that a face and its reference stay aligned.

    Args:
        images: uint8 [B, H, W, 3].
        draws: float [B, 16] of `decisions`.
        how: Probability of a flip and largest shift.
    """
    if not len(images) or (not how.flip and not how.crop_pad):
        return images
    if blockwise.on_cpu(images):
        return blockwise.moved(images, draws, how)
    batch, height, width = images.shape[:3]
    span = 2 * how.crop_pad + 1
    offset = (draws[:, 1:3] * span).floor().clamp(max=span - 1).to(torch.int64) - how.crop_pad
    y = torch.arange(height, device=images.device)[None] + offset[:, :1]
    x = torch.arange(width, device=images.device)[None].expand(batch, -1)
    x = torch.where((draws[:, :1] < how.flip), width - 1 - x, x) + offset[:, 1:]
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    member = torch.arange(batch, device=images.device)[:, None, None]
    return images[member, y[:, :, None], x[:, None, :]]


def _light(pixels: Tensor, draws: Tensor, how: Augmentation) -> None:
    """Change brightness and contrast in place."""
    gain = (1 + how.brightness * (2 * draws[:, 3] - 1)).view(-1, 1, 1, 1)
    spread = (1 + how.contrast * (2 * draws[:, 4] - 1)).view(-1, 1, 1, 1)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    level = mean * gain
    for block in blockwise.blocks(pixels):
        pixels[block].sub_(mean[block]).mul_(spread[block]).add_(level[block]).clamp_(0, 1)


def _noise(
    pixels: Tensor,
    rows: Tensor,
    draws: Tensor,
    how: Augmentation,
    seed: int,
    epoch: int,
    sides: Tensor | None,
    grid: int | None,
) -> None:
    """Add noise in place that was drawn at the size of the face in its picture and scaled as the face was."""
    chosen = torch.nonzero(draws[:, 5] < how.noise).squeeze(1)
    if len(chosen) == 0:
        return
    channels, size = pixels.shape[1], pixels.shape[2]
    grid = size if sides is None else grid or 2 * size
    count = channels * grid * grid
    first = uniforms(seed, epoch, rows[chosen], count, stream=1)
    second = uniforms(seed, epoch, rows[chosen], count, stream=2)
    normal = torch.sqrt(-2 * torch.log(1 - first)) * torch.cos(2 * math.pi * second)  # Box and Muller 1958
    normal = normal.view(len(chosen), channels, grid, grid)
    if sides is not None:
        wide, high = (scaling(sides[chosen, axis], size, grid)[:, None] for axis in (0, 1))
        normal = high @ normal @ wide.transpose(2, 3)
    pixels[chosen] = (pixels[chosen] + normal * (how.noise_std / 255)).clamp(0, 1)


def noise_grid(sides: NDArray[np.float32], size: int) -> int:
    """Return the side of the grid on which noise is drawn for faces of some sides.

    It is the same for all batches of a dataset, so that no row's noise depends on the rows beside it.

    Args:
        sides: [N, 2], width and height of each face in its picture.
        size: Side of the crops.
    """
    return min(2 * size, math.ceil(float(sides.max(initial=1))))


def scaling(sides: Tensor, size: int, grid: int) -> Tensor:
    """Return what scales independent values of faces along one axis to a size, as PIL's bilinear filter does.

    Of a face of more pixels than the grid has, the grid's are scaled, with the variance that they would have.

    Args:
        sides: [B], pixels of each face.
        size: S, pixels that are wanted.
        grid: G, pixels that are drawn: at least `sides`, or 2 S.

    Returns:
        float [B, S, G], weights from drawn to wanted pixels.
    """
    drawn = sides.round().clamp(1, grid)[:, None, None]
    ratio = (drawn / size).clamp(min=1)
    wanted = torch.arange(size, device=sides.device)[None, :, None] + 0.5
    place = torch.arange(grid, device=sides.device)[None, None] + 0.5
    weights = (1 - (place - wanted * drawn / size).abs() / ratio).clamp(min=0) * (place < drawn)
    weights = weights / weights.sum(dim=2, keepdim=True)
    # A triangle of r pixels to either side averages independent values to a variance of 2 / (3 r).
    variance = 2 * size / (3 * sides.clamp(min=1))[:, None, None]
    inner = weights[:, size // 2, None].square().sum(dim=2, keepdim=True)
    return torch.where(sides[:, None, None] > grid, weights * (variance / inner).sqrt(), weights)


def _erase(pixels: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Set a rectangle to the mean colour (0 after normalisation) in some rows."""
    height, width = pixels.shape[2:]
    low, high = how.erase_area
    area = (low + (high - low) * draws[:, 7]) * height * width
    aspect = torch.exp((2 * draws[:, 8] - 1) * math.log(1 / 0.3))
    tall = torch.sqrt(area * aspect).clamp(1, height).floor()
    wide = torch.sqrt(area / aspect).clamp(1, width).floor()
    top = (draws[:, 9] * (height - tall + 1)).floor()
    left = (draws[:, 10] * (width - wide + 1)).floor()
    chosen = draws[:, 6] < how.erase
    if blockwise.on_cpu(pixels):
        return blockwise.erased(pixels, chosen, torch.stack([top, top + tall, left, left + wide], dim=1))
    y = torch.arange(height, device=pixels.device)[None]
    x = torch.arange(width, device=pixels.device)[None]
    rows = (y >= top[:, None]) & (y < (top + tall)[:, None])
    columns = (x >= left[:, None]) & (x < (left + wide)[:, None])
    hit = chosen[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return pixels.masked_fill(hit[:, None], 0.0)
