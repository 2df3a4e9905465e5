"""The LightningDataModule that all datasets share: rows of a protocol as batches of packed crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pandas as pd
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.batch import Batch, Task
from fer_bench.data.index import stack_au
from fer_bench.data.loading import transforms
from fer_bench.data.loading.label_fraction import hidden_rows
from fer_bench.data.packs.pack import Pack, open_pack
from fer_bench.data.protocols import find_protocol, in_label_set
from fer_bench.data.reading.dataset import FaceDataset, SoftLabels
from fer_bench.emotions import Emotion
from fer_bench.errors import UsageError

EVAL_BATCH = 256


def reference_rows(index: pd.DataFrame, hidden: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return the index position of each row's reference, -1 where it has none: int64 [N].

    Args:
        index: The dataset's index.
        hidden: bool [N], rows whose label is hidden. A reference that was chosen because somebody labelled it
            neutral would tell its label, so that such a row is no reference; neutral first frames are.
    """
    ids = index["reference_id"].to_numpy(object)
    found: NDArray[np.int64] = pd.Index(index["sample_id"]).get_indexer(ids).astype(np.int64)
    if hidden is not None:
        told = hidden & ~index["is_neutral_frame"].to_numpy(bool)
        found[(found >= 0) & told[found]] = -1
    return found


class PackedRows(TorchDataset[dict[str, Tensor]]):
    """Rows of a pack with their labels; indexed by a whole batch at once.

    Args:
        pack: The crops.
        dataset: The dataset they come from.
        classes: Ordered classes; other labels become -1.
        with_reference: Also deliver the neutral frame of the same person.
        hidden: bool [N], rows whose label becomes -1 as well.
        soft_labels: float32 [N, C], distributions to learn instead of the labels.
    """

    def __init__(
        self,
        pack: Pack,
        dataset: FaceDataset,
        classes: Sequence[str],
        *,
        with_reference: bool = False,
        hidden: NDArray[np.bool_] | None = None,
        soft_labels: NDArray[np.float32] | None = None,
    ) -> None:
        index = dataset.index
        position = {name: i for i, name in enumerate(classes)}
        self.pixels = pack.pixels
        self.labels = torch.tensor(
            [position.get(v, -1) if isinstance(v, str) else -1 for v in index["label"]]
        )
        if hidden is not None:
            self.labels[torch.from_numpy(hidden)] = -1
        self.va = torch.from_numpy(index[["valence", "arousal"]].to_numpy(np.float32))
        self.au = torch.from_numpy(stack_au(index).astype(np.int64))
        self.soft_labels = None if soft_labels is None else torch.from_numpy(soft_labels)
        self.reference: NDArray[np.int64] | None = None
        if with_reference:
            self.reference = reference_rows(index, hidden)

    def __getitem__(self, rows: Any) -> dict[str, Tensor]:
        """Return the batch of the given index positions, pictures still uint8 [B, H, W, 3]."""
        where = np.asarray(rows, np.int64)
        at = torch.from_numpy(where)
        batch = {
            "image": torch.from_numpy(self.pixels[where]),
            "label": self.labels[at],
            "va": self.va[at],
            "au": self.au[at],
            "row": at,
        }
        if self.soft_labels is not None:
            batch["soft_label"] = self.soft_labels[at]
        if self.reference is not None:
            partner = self.reference[where]
            pictures = self.pixels[np.maximum(partner, 0)]
            pictures[partner < 0] = 0
            batch["reference"] = torch.from_numpy(pictures)
            batch["has_reference"] = torch.from_numpy(partner >= 0)
        return batch


class EpochBatches(Sampler[list[int]]):
    """Batches of an epoch: an order drawn from (seed, epoch), dealt to the processes of a run.

    Every row comes exactly once per epoch over all processes: none is padded, repeated or dropped (with a
    limit, a random part of the rows, drawn anew each epoch). A last batch that would leave a process fewer
    than two rows joins the one before, because batch normalisation cannot use a single row and all processes
    must take the same number of steps.

    Args:
        rows: Index positions.
        batch_size: Rows per step over all processes.
        seed: Repetition, or None for the given order.
        limit: Rows per epoch at most; an epoch of a larger set is a random part of it.
        rank: This process.
        world: Number of processes.

    Raises:
        UsageError: A step would leave a process fewer than two rows.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int | None,
        limit: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 2 * world:
            raise UsageError(
                f"{world} process(es) need at least {2 * world} rows per step",
                value=batch_size,
                hint=f"--set train.batch_size={2 * world} or more",
            )
        self.rows, self.batch_size, self.seed, self.rank, self.world = rows, batch_size, seed, rank, world
        self.count = len(rows) if limit is None else min(limit, len(rows))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._cuts()) + 1 if self.count > self.rank else 0

    def _cuts(self) -> list[int]:
        cuts = list(range(self.batch_size, self.count, self.batch_size))
        if cuts and self.count - cuts[-1] < 2 * self.world:
            cuts.pop()
        return cuts

    def __iter__(self) -> Iterator[list[int]]:
        for batch in np.split(self._order()[: self.count], self._cuts()):
            mine = batch[self.rank :: self.world]
            if len(mine):
                yield mine.tolist()

    def _order(self) -> NDArray[np.int64]:
        if self.seed is None:
            return self.rows
        return np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)


class FaceDataModule(LightningDataModule):
    """Training, validation and test batches of one dataset under one protocol and fold.

    Args:
        dataset: The dataset, or use `FaceDataset.datamodule`.
        spec: Size and normalisation of the network's input.
        protocol: Protocol name, the card's default when None.
        fold: Fold from 1.
        seed: Repetition: order and augmentation.
        batch_size: Rows per step over all processes.
        epoch_rows: Rows per training epoch at most, see `TrainSettings`.
        augmentation: Random changes of training images.
        with_reference: Also deliver the neutral frame of the same person in training.
        with_unlabelled: Also train on rows that have no label or a hidden one.
        with_strong: Also deliver a strongly augmented view in training, with batches that have a row without
            label.
        with_affect: Also validate on rows with valence, arousal or action units but without a label.
        label_fraction: Share of the training rows whose label is shown.
        soft_labels: What the classifier learns, see `TrainSettings`.
        cache: Where packs stand.
        workers: Loader processes; 0 reads in this process, which is fastest for packs in memory.
    """

    rows_type: ClassVar[type[PackedRows]] = PackedRows

    def __init__(
        self,
        dataset: FaceDataset,
        *,
        spec: InputSpec,
        protocol: str | None = None,
        fold: int = 1,
        seed: int = 0,
        batch_size: int = 64,
        epoch_rows: int | None = None,
        augmentation: Augmentation | None = None,
        with_reference: bool = False,
        with_unlabelled: bool = False,
        with_strong: bool = False,
        with_affect: bool = False,
        label_fraction: float = 1.0,
        soft_labels: Literal["none"] | SoftLabels = "none",
        cache: Path | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.dataset, self.spec, self.fold, self.seed = dataset, spec, fold, seed
        self.protocol = find_protocol(dataset.card, protocol)
        self.batch_size, self.epoch_rows, self.workers = batch_size, epoch_rows, workers
        self.augmentation = augmentation or Augmentation()
        self.with_reference, self.with_unlabelled, self.cache = with_reference, with_unlabelled, cache
        self.classes = tuple(e.value for e in self.protocol.label_set)
        self.roles = dataset.roles(self.protocol, fold)
        self._labelled = in_label_set(dataset.index, self.protocol)
        self.hidden = hidden_rows(dataset, self.protocol, fold, label_fraction)
        self.soft_labels = None if soft_labels == "none" else self._distributions(soft_labels)
        self.with_strong = with_strong and self.task.unlabelled > 0
        self.with_affect = with_affect
        self._pack: Pack | None = None

    @property
    def pack(self) -> Pack:
        """The packed crops, built on first use."""
        if self._pack is None:
            self._pack = open_pack(self.dataset, self.spec.size, cache=self.cache)
        return self._pack

    def rows(self, role: str) -> NDArray[np.int64]:
        """Return the index positions of the rows of a role, ascending.

        They are labelled, except that training rows without a label take part when they are asked for.
        """
        shown = self._labelled & ~self.hidden
        return np.flatnonzero((self.roles == role) & (shown | (role == "train" and self.with_unlabelled)))

    @property
    def task(self) -> Task:
        """What the training rows offer."""
        index = self.dataset.index
        train = self.rows("train")
        shown = (self._labelled & ~self.hidden)[train]
        labels = index["label"].to_numpy(object)[train][shown]
        aus = stack_au(index)[train]
        va = index[["valence", "arousal"]].to_numpy()[train]
        known = (aus >= 0).any(axis=0)
        references = reference_rows(index, self.hidden)[train]
        share = float((references >= 0).mean()) if len(references) else 0.0
        references = references[references >= 0]
        return Task(
            classes=self.classes,
            class_counts=tuple(int((labels == name).sum()) for name in self.classes),
            has_va=bool(np.isfinite(va).all(axis=1).any()),
            has_au=bool(known.any()),
            has_reference=len(references) > 0,
            reference_share=share,
            reference_by_label=bool((~index["is_neutral_frame"].to_numpy(bool)[references]).any()),
            au_counts=tuple((int((c == 0).sum()), int((c == 1).sum())) for c in aus.T) if known.any() else (),
            unlabelled=int((~shown).sum()),
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return shuffled, augmented training batches."""
        return self._loader("train", seed=self.seed)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]] | list[DataLoader[dict[str, Tensor]]]:
        """Return validation batches, in index order."""
        every = np.flatnonzero(self.roles == "val") if self.with_affect else None
        return self._loader("val", wanted=every)

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return test batches, in index order."""
        return self._loader("test")

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Augment training batches and normalise all, on the device they are on."""
        if self.trainer is None or not self.trainer.training:
            batch["image"] = transforms.prepare(batch["image"], self.spec)
            return batch
        epoch, how = self.trainer.current_epoch, self.augmentation
        if "reference" in batch:
            draws = transforms.decisions(self.seed, epoch, batch["row"])
            moved = transforms.move(batch["reference"], draws, how)
            batch["reference"] = transforms.prepare(moved, self.spec)
        batch["image"] = transforms.augment(
            batch["image"], batch["row"], self.spec, how, seed=self.seed, epoch=epoch
        )
        if "strong" in batch:  # moved by draws of its own: no repetition has so high a seed
            batch["strong"] = transforms.augment(
                batch["strong"], batch["row"], self.spec, how, seed=self.seed + 2**31, epoch=epoch
            )
        return batch

    def labelled_views(self, device: torch.device) -> Iterator[Batch]:
        """Yield this process's share of the labelled training rows once, as the current epoch shows them.

        With `epoch_rows` that many rows at most, a random part of the labelled ones; without strong views.

        Args:
            device: Where the tensors go.
        """
        rank, world = self._place()
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        rows = np.flatnonzero((self.roles == "train") & self._labelled & ~self.hidden)
        if self.epoch_rows is not None and len(rows) > self.epoch_rows:
            rows = np.random.default_rng([self.seed, epoch, 1]).permutation(rows)[: self.epoch_rows]
        packed = self.rows_type(self.pack, self.dataset, self.classes)
        mine = rows[rank::world]
        for start in range(0, len(mine), EVAL_BATCH):
            batch = {
                name: value.to(device) for name, value in packed[mine[start : start + EVAL_BATCH]].items()
            }
            batch["image"] = transforms.augment(
                batch["image"], batch["row"], self.spec, self.augmentation, seed=self.seed, epoch=epoch
            )
            yield cast(Batch, batch)

    def _distributions(self, kind: SoftLabels) -> NDArray[np.float32]:
        """Return the dataset's soft labels over the classes of the protocol, summing to one again: [N, C].

        Zero for rows whose label does not count or is hidden: their soft label would tell it.
        """
        order = list(Emotion)
        shares = self.dataset.soft_labels(kind)[:, [order.index(e) for e in self.protocol.label_set]]
        shares[~self._labelled | self.hidden] = 0
        total = shares.sum(axis=1, keepdims=True)
        np.divide(shares, total, out=shares, where=total > 0)
        return shares

    def _place(self) -> tuple[int, int]:
        """Return the number of this process and how many there are."""
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _batches(self, wanted: NDArray[np.int64], seed: int | None) -> EpochBatches:
        """Return batches of rows: of training with a seed, in the given order without."""
        rank, world = self._place()
        training = seed is not None
        return EpochBatches(
            wanted,
            self.batch_size if training else EVAL_BATCH,
            seed=seed,
            limit=self.epoch_rows if training else None,
            rank=rank,
            world=world,
        )

    def _loader(
        self, role: str, *, seed: int | None = None, wanted: NDArray[np.int64] | None = None
    ) -> DataLoader[dict[str, Tensor]]:
        training = role == "train"
        batches = self._batches(self.rows(role) if wanted is None else wanted, seed)
        rows: TorchDataset[dict[str, Tensor]] = self.rows_type(
            self.pack,
            self.dataset,
            self.classes,
            with_reference=training and self.with_reference,
            hidden=self.hidden if training else None,
            soft_labels=self.soft_labels if training else None,
        )
        sampler: Sampler[Any] = batches
        if training and self.with_strong:
            from fer_bench.data.loading.strong_view import EpochOfBatches, StrongRows

            rows, sampler = StrongRows(rows, self.seed), EpochOfBatches(batches)
        return DataLoader(
            rows,
            sampler=cast(Any, sampler),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each new iterator takes a draw from the run's own generator
            persistent_workers=self.workers > 0,
        )


def evaluation_batches(
    pack: Pack,
    dataset: FaceDataset,
    classes: Sequence[str],
    rows: NDArray[np.int64],
    spec: InputSpec,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield normalised batches of any rows, in the given order, without a trainer.

    Args:
        pack: The crops, at the size of `spec`.
        dataset: The dataset they come from.
        classes: Ordered classes; other labels become -1.
        rows: Index positions.
        spec: Normalisation of the network's input.
        device: Where the tensors go.
    """
    packed = PackedRows(pack, dataset, classes)
    for start in range(0, len(rows), EVAL_BATCH):
        batch = {name: value.to(device) for name, value in packed[rows[start : start + EVAL_BATCH]].items()}
        batch["image"] = transforms.prepare(batch["image"], spec)
        yield cast(Batch, batch)
