"""What a frozen encoder makes of packed crops: computed once per picture and view, kept beside the pack.

An encoder that never learns returns the same for the same picture in every epoch, run and evaluation. Its
output is kept by blocks of neighbouring rows under the pack's own folder, so that whatever makes a pack stale
(index, crop recipe, pixels) takes the features with it, and `fer-bench data cache` prunes both together.
A block is computed as one batch, in 32 bits: its numbers do not depend on who asks for which of its rows.
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

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading import transforms
from fer_bench.data.packs.pack import Pack
from fer_bench.errors import StoreError
from fer_bench.files import short_hash, write_atomic

BLOCK = 256
"""Rows of a block; a row costs at most its block."""
VERSION = 1
VIEWS = ("plain", "mirrored")


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of some rows of a pack.

    Attributes:
        table: float32 [V, n, D]: the plain view, and the mirrored one where V = 2.
        slot: int64 [N], where each row of the pack stands in the table; -1 = nowhere.
    """

    table: Tensor
    slot: Tensor

    def look_up(self, rows: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Return features [B, D], without waiting for the device.

        Args:
            rows: int64 [B], index positions.
            mirrored: bool [B], which rows are seen in the mirror; None for none.
        """
        view = torch.zeros_like(rows) if mirrored is None else mirrored.to(rows.dtype)
        return self.table[view, self.slot[rows]]


def enumerable(how: Augmentation) -> bool:
    """Return whether augmentation shows a picture in no view but the plain and the mirrored one."""
    return not any((how.crop_pad, how.erase, how.noise, how.brightness, how.contrast))


def mirrored_rows(rows: Tensor, how: Augmentation, *, seed: int, epoch: int) -> Tensor:
    """Return which rows `transforms.augment` mirrors, bool [B]; arguments as there."""
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
    """Return the features of rows of a pack, computing the blocks that are not kept yet.

    Several processes may do so at once: all write the same bytes, each file whole. Where the cache cannot be
    written nothing is kept and the numbers are the same.

    Args:
        pack: The crops.
        rows: Index positions.
        encoder: From images [B, 3, H, W] to features [B, D]; on the device that the features go to.
        spec: Normalisation of the images.
        encoder_hash: What tells this encoder, its weights included, from others.
        mirrored: Whether the mirrored view is wanted as well.
    """
    device = _device_of(encoder)
    key = short_hash([VERSION, encoder_hash, spec.model_dump(mode="json"), device.type])
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
        # A damaged file is computed anew: np.load ends in errors of many kinds.
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept = np.load(file)
            if kept.dtype == np.float32 and kept.ndim == 2 and len(kept) == len(pixels):
                return np.asarray(kept, np.float32)
    crops = torch.from_numpy(np.array(pixels))
    if view == VIEWS[1]:
        crops = crops.flip(2)
    found = _encode(encoder, crops, spec)
    if file is not None:
        with contextlib.suppress(StoreError):  # a cache may be read-only or full

            def write(place: Path) -> None:
                with place.open("wb") as opened:
                    np.save(opened, found, allow_pickle=False)

            write_atomic(file, write)
    return found


def _encode(encoder: nn.Module, crops: Tensor, spec: InputSpec) -> NDArray[np.float32]:
    device = _device_of(encoder)
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        found = encoder(transforms.prepare(crops.to(device), spec))
    encoder.train(was_training)
    return np.asarray(found.float().cpu().numpy(), np.float32)


def _folder(pack: Pack, key: str) -> Path | None:
    """Return where the features of a pack are kept; None where the pack is no file."""
    name = getattr(pack.pixels, "filename", None)
    return None if name is None else Path(str(name)).parent / "features" / key


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
