"""References of a fixed generator, drawn once per training row instead of in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fer_bench.data.loading.transforms import prepare

if TYPE_CHECKING:
    from fer_bench.config import InputSpec
    from fer_bench.data.loading.datamodule import FaceDataModule
    from fer_bench.methods.gcn.network import GCNNetwork


class DrawnOnce:
    """Add to batches of packed crops the reference that a fixed generator draws of each crop.

    A reference is kept as a picture and moved as its crop is, as a real neutral frame would be. It takes
    a byte per pixel of the rows that have come up so far.

    Args:
        network: Its generator is never trained.
        spec: Normalisation of the network's input.
        rows: Rows of the index.
    """

    def __init__(self, network: GCNNetwork, spec: InputSpec, rows: int) -> None:
        self.network, self.spec = network, spec
        self.faces = np.empty((rows, spec.size, spec.size), np.uint8)
        self.known = np.zeros(rows, np.bool_)

    @staticmethod
    def fits(data: FaceDataModule) -> bool:
        """Return whether training pictures are only moved, and loaded by the process that has the network."""
        how = data.augmentation
        return data.workers == 0 and not (how.brightness or how.contrast or how.noise or how.erase)

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch with `generated`, uint8 [B, H, W, 3]."""
        rows = batch["row"].numpy() % len(self.known)
        if (new := ~self.known[rows]).any():
            self.faces[rows[new]] = self._draw(batch["image"][torch.from_numpy(new)])
            self.known[rows[new]] = True
        grey = torch.from_numpy(self.faces[rows])
        return {**batch, "generated": grey[..., None].expand(-1, -1, -1, 3)}

    def _draw(self, crops: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        parts = self.network.generator_parts()
        were = [part.training for part in parts]
        weight = next(parts[0].parameters())
        for part in parts:
            part.eval()
        try:
            with torch.no_grad():
                images = prepare(crops.to(weight.device), self.spec)[:, :1].to(weight.dtype)
                drawn = self.network.generate(images).face[:, 0].float().cpu()
        finally:
            for part, was in zip(parts, were, strict=True):
                part.train(was)
        pixels = (drawn * self.spec.std[0] + self.spec.mean[0]) * 255
        found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = pixels.round().clamp(0, 255).byte().numpy()
        return found
