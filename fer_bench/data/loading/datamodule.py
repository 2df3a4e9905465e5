"""The LightningDataModule that all datasets share: rows of a protocol as batches of packed crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from lightning.pytorch.trainer.states import TrainerStatus
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.batch import Batch, Task
from fer_bench.data.card import Protocol
from fer_bench.data.index import stack_au
from fer_bench.data.loading.batches import (
    EpochBatches,
    FinishedRows,
    OrderedBatches,
    PackedRows,
    Rows,
    reference_rows,
)
from fer_bench.data.loading.brought import ChangedRows, seed_epoch, seeded_loader
from fer_bench.data.loading.label_fraction import hidden_rows
from fer_bench.data.loading.sending import BatchLoader, as_sent
from fer_bench.data.loading.transforms import Finish, finish_batch, noise_grid, prepare
from fer_bench.data.packs.pack import Pack, open_pack
from fer_bench.data.protocols import find_protocol, in_label_set
from fer_bench.data.reading.dataset import FaceDataset, SoftLabels
from fer_bench.emotions import Emotion

EVAL_BATCH = 256


class FaceDataModule(LightningDataModule):
    """Training, validation and test batches of one dataset under one protocol and fold.

    Loaders deliver finished batches, see `fer_bench.data.batch.Batch`: images are float [B, 3, H, W],
    normalised, and augmented in training. While a Trainer runs they deliver packed crops instead, uint8
    [B, H, W, 3], which `on_after_batch_transfer` finishes on the device.

    In a plain loop each pass over the training batches is the next epoch, with another order and
    augmentation; `loader.sampler.set_epoch(n)` chooses the epoch of the next pass.

    Args:
        dataset: The dataset, or a function that opens it on first use; for unions see `make_datamodule`.
        spec: Size and normalisation of the network's input.
        pack: The crops at the size of `spec`, None to open the dataset's pack on first use.

    The other arguments are those of `fer_bench.data.loading.reader_module.ReaderDataModule`.
    """

    def __init__(
        self,
        dataset: FaceDataset | Callable[[], FaceDataset],
        *,
        spec: InputSpec,
        protocol: str | None = None,
        fold: int = 1,
        seed: int = 0,
        batch_size: int = 64,
        eval_batch_size: int = EVAL_BATCH,
        epoch_rows: int | None = None,
        augmentation: Augmentation | None = None,
        with_reference: bool = False,
        enrolled: bool = False,
        with_unlabelled: bool = False,
        with_strong: bool = False,
        with_affect: bool = False,
        label_fraction: float = 1.0,
        soft_labels: Literal["none"] | SoftLabels = "none",
        pack: Pack | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self._given, self._pack, self._protocol = dataset, pack, protocol
        self._label_fraction, self._soft_labels = label_fraction, soft_labels
        self.spec, self.fold, self.seed, self.workers = spec, fold, seed, workers
        self.batch_size, self.eval_batch_size, self.epoch_rows = batch_size, eval_batch_size, epoch_rows
        self.augmentation = augmentation or Augmentation()
        self.with_reference, self.enrolled, self.with_unlabelled = with_reference, enrolled, with_unlabelled
        self.with_strong, self.with_affect = with_strong, with_affect
        self._asked: list[EpochBatches] | None = None

    @cached_property
    def dataset(self) -> FaceDataset:
        """The dataset, opened on first use."""
        return self._given if isinstance(self._given, FaceDataset) else self._given()

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol that deals the rows."""
        return find_protocol(self.dataset.card, self._protocol)

    @property
    def classes(self) -> tuple[str, ...]:
        """The protocol's classes in the order of the network's outputs."""
        return tuple(e.value for e in self.protocol.label_set)

    @cached_property
    def roles(self) -> NDArray[np.str_]:
        """The role of every row, see `FaceDataset.roles`."""
        return self.dataset.roles(self.protocol, self.fold)

    @cached_property
    def hidden(self) -> NDArray[np.bool_]:
        """Whether the label of each row is hidden, bool [N]."""
        return hidden_rows(self.dataset, self.protocol, self.fold, self._label_fraction)

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Whether each row has a label of the protocol that is not hidden, bool [N]."""
        return in_label_set(self.dataset.index, self.protocol) & ~self.hidden

    @cached_property
    def soft_labels(self) -> NDArray[np.float32] | None:
        """Soft labels over the classes, each row summing to one: [N, C]; None where none are learned.

        They are zero for rows whose label is not shown: a soft label would reveal it.
        """
        if self._soft_labels == "none":
            return None
        order = list(Emotion)
        shares = self.dataset.soft_labels(self._soft_labels)
        shares = shares[:, [order.index(e) for e in self.protocol.label_set]]
        shares[~self.shown] = 0
        total = shares.sum(axis=1, keepdims=True)
        np.divide(shares, total, out=shares, where=total > 0)
        return shares

    @property
    def pack(self) -> Pack:
        """The packed crops, built on first use."""
        if self._pack is None:
            self._pack = self._open_pack()
        return self._pack

    def _open_pack(self) -> Pack:
        return open_pack(self.dataset, self.spec.size)

    def resolve(self) -> None:
        """Determine which rows and labels take part.

        Raises:
            UsageError: No such protocol, fold or soft labels, or too small a label fraction.
            DataError: The dataset is missing or damaged.
        """
        _ = self.roles, self.shown, self.soft_labels

    def prepare_data(self) -> None:
        """Pack the pictures if they are not packed yet; Lightning calls this in one process per machine."""
        _ = self.pack

    def setup(self, stage: str | None = None) -> None:
        """Open the dataset and its pack; errors are those of `resolve`."""
        self.resolve()
        _ = self.pack

    def rows(self, role: str) -> NDArray[np.int64]:
        """Return the index positions of the rows of a role, ascending.

        They have a label, except that with `with_unlabelled` training rows without one are included.
        """
        wanted = np.ones_like(self.shown) if role == "train" and self.with_unlabelled else self.shown
        return np.flatnonzero((self.roles == role) & wanted)

    @cached_property
    def task(self) -> Task:
        """What the training rows offer."""
        index = self.dataset.index
        train = self.rows("train")
        shown = self.shown[train]
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

    def labels(self, role: str) -> NDArray[np.int64]:
        """Return the class of each of `rows(role)` as its position, -1 where no label is shown."""
        position = {name: number for number, name in enumerate(self.classes)}
        rows = self.rows(role)
        names = self.dataset.index["label"].to_numpy(object)[rows]
        found = np.array([position.get(name, -1) for name in names], np.int64)
        return np.where(self.shown[rows], found, -1)

    def train_dataloader(self) -> Any:
        """Return shuffled, augmented training batches; in a Trainer those of the method's `train_loader`."""
        trainer = self._running
        bring = getattr(getattr(trainer, "lightning_module", None), "train_loader", None)
        if bring is None or self._asked is not None:
            return self.training_loader()
        self._asked = []
        try:
            return seeded_loader(bring(self), self._asked, self._seed_epoch)
        finally:
            self._asked = None

    def training_loader(
        self,
        *,
        choose: Callable[[int], NDArray[np.int64]] | None = None,
        change: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
        strong: Literal["all", "unlabelled", "none"] = "all",
    ) -> BatchLoader:
        """Return training batches that are chosen or changed in a way of your own.

        Args:
            choose: Returns the index positions of an epoch in their order, given the number of the epoch from
                0: training rows only, equally many in each, and the same in all processes of a run. A row can
                come several times and is augmented differently each time. None shuffles `rows("train")`.
            change: Called on each batch of packed crops, uint8 [B, H, W, 3], before they are augmented and
                normalised. Images that it turns into float [B, 3, H, W] are taken as they are.
            strong: Which rows have a strong view, if the method asks for any; `unlabelled` leaves that of
                rows with a label black.
        """
        rank, world, _ = self._place()
        place: dict[str, Any] = {"rank": rank, "world": world, "advances": self._running is None}
        if choose is not None:
            batches: EpochBatches = OrderedBatches(
                choose, self.rows("train"), len(self.roles), self.batch_size, **place
            )
        else:
            batches = self._plain_batches if self._running is None else self._training_batches(**place)
        if self._asked is not None:
            self._asked.append(batches)
        rows: Rows = PackedRows(
            self.pack,
            self.dataset,
            self.classes,
            with_reference=self.with_reference,
            enrolled=self.enrolled,
            hidden=self.hidden,
            soft_labels=self.soft_labels,
            with_sides=self.augmentation.noise > 0,
        )
        if self.with_strong and self.task.unlabelled and strong != "none":
            from fer_bench.data.loading.strong_view import StrongRows

            rows = StrongRows(rows, self.seed, everywhere=strong == "all")
        if change is not None:
            rows = ChangedRows(rows, change)
        return self._loader(rows, batches, training=True)

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        """Return validation batches, in index order."""
        return self._evaluation_loader(
            np.flatnonzero(self.roles == "val") if self.with_affect else self.rows("val")
        )

    def test_dataloader(self) -> BatchLoader:
        """Return test batches, in index order."""
        return self._evaluation_loader(self.rows("test"))

    def predict_dataloader(self) -> BatchLoader:
        """Return the test batches."""
        return self.test_dataloader()

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Finish packed crops on the device they are on; a batch that is finished already stays as it is."""
        trainer = self.trainer
        if trainer is not None and trainer.training:
            return self._finisher(training=True)(batch, trainer.current_epoch)
        return self._finisher(training=False)(batch, 0)

    def labelled_views(self, device: torch.device) -> Iterator[Batch]:
        """Yield this process's share of the labelled training rows once, as the current epoch shows them.

        With `epoch_rows`, they are a random part of at most that size. They have no strong views.

        Args:
            device: Where the tensors go.
        """
        rank, world, epoch = self._place()
        rows = np.flatnonzero((self.roles == "train") & self.shown)
        if self.epoch_rows is not None and len(rows) > self.epoch_rows:
            rows = np.random.default_rng([self.seed, epoch, 1]).permutation(rows)[: self.epoch_rows]
        packed = PackedRows(self.pack, self.dataset, self.classes, with_sides=self.augmentation.noise > 0)
        finish = self._finisher(training=True)
        for batch in _in_order(packed, rows[rank::world], device):
            yield cast(Batch, finish(batch, epoch))

    @property
    def _running(self) -> Trainer | None:
        """The Trainer while it runs; before and after, loaders are used in plain loops."""
        trainer = self.trainer
        return trainer if trainer is not None and trainer.state.status == TrainerStatus.RUNNING else None

    def _place(self) -> tuple[int, int, int]:
        """Return the number of this process, the number of processes, and the epoch."""
        if (trainer := self._running) is None:
            return 0, 1, 0
        return trainer.global_rank, trainer.world_size, trainer.current_epoch

    def _seed_epoch(self) -> int:
        """Seed what a method's own loader draws in the epoch that starts; return the number of the epoch."""
        assert self.trainer is not None
        progress: Any = self.trainer.fit_loop.epoch_progress
        epoch = int(progress.current.processed)  # `current_epoch` follows later when a run is resumed
        seed_epoch(self.seed, epoch, self.trainer.global_rank)
        return epoch

    def _finisher(self, *, training: bool) -> Finish:
        how = self.augmentation if training else None
        grid = noise_grid(self.pack.sides, self.spec.size) if how is not None and how.noise else None
        return partial(
            finish_batch, spec=self.spec, how=how, seed=self.seed, count=len(self.roles), grid=grid
        )

    @cached_property
    def _plain_batches(self) -> EpochBatches:
        """The training batches of plain loops, which all loaders share so that no epoch comes twice."""
        return self._training_batches(advances=True)

    def _training_batches(self, *, rank: int = 0, world: int = 1, advances: bool = False) -> EpochBatches:
        return EpochBatches(
            self.rows("train"),
            self.batch_size,
            seed=self.seed,
            limit=self.epoch_rows,
            rank=rank,
            world=world,
            advances=advances,
        )

    def _evaluation_loader(self, wanted: NDArray[np.int64]) -> BatchLoader:
        rank, world, _ = self._place()
        batches = EpochBatches(wanted, self.eval_batch_size, seed=None, rank=rank, world=world)
        rows = PackedRows(self.pack, self.dataset, self.classes, enrolled=self.enrolled)
        return self._loader(rows, batches, training=False)

    def _loader(self, rows: Rows, batches: EpochBatches, *, training: bool) -> BatchLoader:
        if self._running is None:
            rows = FinishedRows(rows, self._finisher(training=training))
        return BatchLoader(
            rows,
            sampler=cast(Any, batches),
            batch_size=None,
            collate_fn=as_sent,
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
    *,
    enrolled: bool = False,
) -> Iterator[Batch]:
    """Yield normalised batches of any rows, in the given order, without a trainer.

    Args:
        pack: The crops, at the size of `spec`.
        dataset: The dataset they come from.
        classes: Ordered classes; other labels become -1.
        rows: Index positions.
        spec: Normalisation of the network's input.
        device: Where the tensors go.
        enrolled: Whether batches carry a real neutral picture of the person, see `enrolled_rows`.
    """
    for batch in _in_order(PackedRows(pack, dataset, classes, enrolled=enrolled), rows, device):
        pictures = {name: prepare(batch[name], spec) for name in ("image", "reference") if name in batch}
        yield cast(Batch, {**batch, **pictures})


def _in_order(
    packed: PackedRows, rows: NDArray[np.int64], device: torch.device
) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(rows), EVAL_BATCH):
        yield {name: value.to(device) for name, value in packed[rows[start : start + EVAL_BATCH]].items()}
