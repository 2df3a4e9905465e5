"""Features of packed crops from a frozen encoder, computed once per picture and view and kept with the pack.

An encoder that never learns returns the same for a picture in every epoch, run and evaluation. Its output is
stored in blocks of neighbouring rows in the pack's folder, so that it becomes stale with the pack (index,
crop recipe, pixels) and `fer-bench data cache prune` removes both. A block is computed as one batch in 32
bits, so that its numbers do not depend on which of its rows are asked for.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_bench import arithmetic
from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading import transforms
from fer_bench.data.packs.pack import Pack
from fer_bench.errors import StoreError
from fer_bench.files import short_hash, write_atomic

BLOCK = 256
"""Rows of a block."""
VERSION = 2
VIEWS = ("plain", "mirrored")


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of some rows of a pack.

    Attributes:
        table: float32 [V, n, D]: the plain view, and the mirrored one if V = 2.
        slot: int64 [N], position of each row of the pack in the table; -1 = not in it.
    """

    table: Tensor
    slot: Tensor

    def look_up(self, rows: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Return features [B, D], without waiting for the device.

        Args:
            rows: int64 [B], index positions.
            mirrored: bool [B], which rows are mirrored; None for none.
        """
        view = torch.zeros_like(rows) if mirrored is None else mirrored.to(rows.dtype)
        return self.table[view, self.slot[rows]]


def enumerable(how: Augmentation) -> bool:
    """Return whether augmentation shows only the plain and the mirrored view of a picture."""
    return not any((how.crop_pad, how.erase, how.noise, how.brightness, how.contrast))


def mirrored_rows(rows: Tensor, how: Augmentation, *, seed: int, epoch: int) -> Tensor:
    """Return which rows `transforms.augment` mirrors, bool [B]; arguments: see there."""
    return transforms.decisions(seed, epoch, rows)[:, 0] < how.flip


def open_features(
    pack: Pack,
    rows: NDArray[np.int64],
    encoder: nn.Module,
    spec: InputSpec,
    *,
    encoder_hash: str,
    mirrored: bool = False,
) -> FrozenFeatures:
    """Return the features of rows of a pack, computing the blocks that are not stored yet.

    Several processes may call this at once: all write the same bytes, each file atomically. If the cache
    cannot be written, nothing is stored and the numbers are the same.

    Args:
        pack: The crops.
        rows: Index positions.
        encoder: From images [B, 3, H, W] to features [B, D], on the device where the features are wanted.
        spec: Normalisation of the images.
        encoder_hash: Hash that identifies the encoder with its weights.
        mirrored: Whether to include the mirrored view.
    """
    device = _device_of(encoder)
    rounding = arithmetic.digest() if device.type == "cpu" else device.type  # else runs differ by the cache
    key = short_hash([VERSION, encoder_hash, spec.model_dump(mode="json"), rounding])
    folder = _folder(pack, key)
    wanted = np.unique(rows)
    slot = torch.full((len(pack.pixels),), -1, dtype=torch.int64)
    slot[torch.from_numpy(wanted)] = torch.arange(len(wanted))
    views = VIEWS if mirrored else VIEWS[:1]
    parts: list[list[NDArray[np.float32]]] = [[] for _ in views]
    blocks = wanted // BLOCK
    for block in np.unique(blocks).tolist():
        own = wanted[blocks == block] - block * BLOCK
        for place, view in enumerate(views):
            parts[place].append(_block(pack, block, view, encoder, spec, folder)[own])
    stacked = [np.concatenate(part) if part else np.zeros((0, 0), np.float32) for part in parts]
    return FrozenFeatures(torch.from_numpy(np.stack(stacked)).to(device), slot.to(device))


def _block(
    pack: Pack, block: int, view: str, encoder: nn.Module, spec: InputSpec, folder: Path | None
) -> NDArray[np.float32]:
    """Return the features of a whole block [b, D]."""
    pixels: Any = pack.pixels[block * BLOCK : min((block + 1) * BLOCK, len(pack.pixels))]
    file = folder / f"{view}-{block:06d}.npy" if folder is not None else None
    if file is not None:
        # A damaged file is computed again; np.load raises many kinds of errors.
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept = np.load(file)
            if kept.dtype == np.float32 and kept.ndim == 2 and len(kept) == len(pixels):
                return np.asarray(kept, np.float32)
    crops = torch.from_numpy(np.array(pixels))
    if view == VIEWS[1]:
        crops = crops.flip(2)
    found = _encode(encoder, crops, spec)
    if file is not None:
        with contextlib.suppress(StoreError):  # the cache may be read-only or full

            def write(place: Path) -> None:
                with place.open("wb") as opened:
                    np.save(opened, found, allow_pickle=False)

            write_atomic(file, write)
    return found


def encode(encoder: nn.Module, image: Tensor) -> Tensor:
    """Return the features of an encoder that never learns, in the precision of its weights.

    That is 32 bits, also under autocast, and bfloat16 where a run asks for weights of it. What is cached and
    what is computed in training agree in this way.

    Args:
        encoder: From images to features [B, D].
        image: Normalised images [B, 3, H, W].
    """
    kind = image.device.type
    with torch.no_grad(), torch.autocast(kind, enabled=False) if kind != "meta" else contextlib.nullcontext():
        found: Tensor = encoder(image.to(next(encoder.parameters()).dtype))
    return found


def _encode(encoder: nn.Module, crops: Tensor, spec: InputSpec) -> NDArray[np.float32]:
    device = _device_of(encoder)
    was_training = encoder.training
    encoder.eval()
    found = encode(encoder, transforms.prepare(crops.to(device), spec))
    encoder.train(was_training)
    return np.asarray(found.float().cpu().numpy(), np.float32)


def _folder(pack: Pack, key: str) -> Path | None:
    """Return the folder of the features of a pack, None if the pack is not a file."""
    name = getattr(pack.pixels, "filename", None)
    return None if name is None else Path(str(name)).parent / "features" / key


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
