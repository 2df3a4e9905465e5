"""Cached features of a frozen encoder within a method, for training and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_bench.config import InputSpec
from fer_bench.data.batch import Batch
from fer_bench.data.loading import features
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import UnionDataModule
from fer_bench.files import short_hash
from fer_bench.methods.weights import state_hash

if TYPE_CHECKING:
    from fer_bench.data.packs.pack import Pack


class FeatureCache:
    """The cached features of one encoder, for the rows that a method is about to see.

    Args:
        encoder: From normalised images [B, 3, H, W] to features [B, D]; never trained.
        spec: Normalisation of the images.
        identity: What tells this encoder from others with the same weights.
    """

    def __init__(self, encoder: nn.Module, spec: InputSpec, identity: Sequence[str]) -> None:
        self.encoder, self.spec, self.identity = encoder, spec, identity
        self._known: features.FrozenFeatures | None = None
        self._trained_on: FaceDataModule | None = None

    def open_training(self, trainer: Trainer) -> None:
        """Open the features of validation rows and, if possible, of training rows.

        Training rows cannot be cached if they are augmented by more than mirroring. Unions are left out: they
        draw a row several times per epoch in different views, and their pictures are in several packs.

        Args:
            trainer: A Trainer that is about to train. Nothing is opened without a `FaceDataModule`.
        """
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, FaceDataModule) or isinstance(data, UnionDataModule):
            return
        mirrored = features.enumerable(data.augmentation)
        rows = [data.rows("val")] + ([data.rows("train")] if mirrored else [])
        self.open(data.pack, np.concatenate(rows), mirrored=mirrored)
        self._trained_on = data if mirrored else None

    def open(self, pack: Pack, rows: NDArray[np.int64], *, mirrored: bool = False) -> None:
        """Open the features of rows of a pack, computing what is not stored yet.

        Args:
            pack: The crops.
            rows: Index positions.
            mirrored: Whether to include the mirrored view.
        """
        self.close()
        key = short_hash([*self.identity, state_hash(self.encoder.state_dict())])
        self._known = features.open_features(
            pack, rows, self.encoder, self.spec, encoder_hash=key, mirrored=mirrored
        )

    def close(self) -> None:
        """Drop the features, which belong to one pack."""
        self._known = self._trained_on = None

    def look_up(self, batch: Batch) -> Tensor | None:
        """Return the features [B, D] of the plain pictures of a batch; None where they are not at hand."""
        return None if self._known is None else self._known.look_up(batch["row"])

    def look_up_training(self, batch: Batch, method: LightningModule) -> Tensor | None:
        """Return the features [B, D] of a training batch in the view that its epoch shows.

        Args:
            batch: The batch.
            method: The method, which knows the epoch.
        """
        data = self._trained_on
        if self._known is None or data is None:
            return None
        mirrored = features.mirrored_rows(
            batch["row"], data.augmentation, seed=data.seed, epoch=method.current_epoch
        )
        return self._known.look_up(batch["row"], mirrored)
