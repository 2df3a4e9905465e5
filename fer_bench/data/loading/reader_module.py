"""LightningDataModules that open their dataset themselves: the classes that `fer_bench.datasets` offers."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from lightning.pytorch.utilities import rank_zero_only

from fer_bench.config import Augmentation, InputSpec, build
from fer_bench.data.crops.choice import CropChoice, read_crops
from fer_bench.data.loading.datamodule import EVAL_BATCH, FaceDataModule
from fer_bench.data.packs.index_cache import keep_index
from fer_bench.data.protocols import find_protocol
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.links import following
from fer_bench.files import expand_home
from fer_bench.synthetic.marker import marker_of
from fer_bench.synthetic.stand_in import stand_in


class ReaderDataModule(FaceDataModule):
    """Training, validation and test batches of the dataset of a reader.

    Loaders deliver finished batches, see `fer_bench.data.batch.Batch`, with and without a Trainer; `classes`
    names the positions of labels. The constructor reads no file: `setup`, or the first loader, opens the
    dataset and packs its crops into the cache, which takes a while the first time.

    Args:
        root: The dataset's folder, or a folder with one folder per dataset. None uses the synthetic stand-in.
        protocol: Protocol name, None for the default.
        fold: Fold from 1.
        seed: Seed of order and augmentation.
        image_size: Height and width of images in pixels.
        grey: Whether the three channels are the luminance, repeated.
        mean: Per-channel mean that is subtracted from values in [0, 1].
        std: Per-channel standard deviation that divides.
        batch_size: Rows per training step over all processes.
        eval_batch_size: Rows per step over all processes in validation, test and prediction.
        epoch_rows: Rows per training epoch at most; each epoch is another random part of a larger set.
        augmentation: Random changes of training images, see `fer_bench.config.Augmentation`; None for a
            horizontal flip.
        with_reference: Also deliver the neutral frame of the same person in training.
        enrolled: Deliver a real neutral picture of the person in training, validation and test.
        with_unlabelled: Also train on rows that have no label or a hidden one.
        with_strong: Also deliver a strongly augmented view in training, with batches that have a row without
            label.
        with_affect: Also validate on rows with valence, arousal or action units but without a label.
        label_fraction: Share of the training rows whose label is shown, in (0, 1].
        soft_labels: Distributions to learn instead of labels, if the dataset has votes.
        crop: How faces are cropped, for example `similarity` or `box+0.3`; None for the dataset's own way.
        follow_links: Follow symlinks that leave the dataset's folder.
        synthetic_size: Size of the synthetic stand-in.
        workers: Loader processes; 0 reads in this process, which is fastest for packs in memory.

    Raises:
        UsageError: An unknown protocol or crop, or a number out of range.
    """

    reader: ClassVar[type[FaceDataset]]

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        protocol: str | None = None,
        fold: int = 1,
        seed: int = 0,
        image_size: int = 224,
        grey: bool = False,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        batch_size: int = 64,
        eval_batch_size: int = EVAL_BATCH,
        epoch_rows: int | None = None,
        augmentation: Augmentation | dict[str, Any] | None = None,
        with_reference: bool = False,
        enrolled: bool = False,
        with_unlabelled: bool = False,
        with_strong: bool = False,
        with_affect: bool = False,
        label_fraction: float = 1.0,
        soft_labels: Literal["none", "probability", "votes"] = "none",
        crop: str | None = None,
        follow_links: bool = False,
        synthetic_size: Literal["tiny", "quick", "full"] = "quick",
        workers: int = 0,
    ) -> None:
        card = self.reader.card
        find_protocol(card, protocol)
        crops = read_crops([] if crop is None else [f"{card.name}={crop}"], None, [card.name])
        changes = build(Augmentation, dict(augmentation or {}), "augmentation")
        spec = {"size": image_size, "grey": grey, "mean": mean, "std": std}
        super().__init__(
            partial(_open, self.reader, root, crops, synthetic_size, follow_links=follow_links),
            spec=build(InputSpec, spec, "image"),
            protocol=protocol,
            fold=fold,
            seed=seed,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            epoch_rows=epoch_rows,
            augmentation=changes,
            with_reference=with_reference,
            enrolled=enrolled,
            with_unlabelled=with_unlabelled,
            with_strong=with_strong,
            with_affect=with_affect,
            label_fraction=label_fraction,
            soft_labels=soft_labels,
            workers=workers,
        )
        # Plain values are saved, so that a checkpoint can be loaded with weights_only.
        root, augmentation = None if root is None else str(root), changes.model_dump()
        self.save_hyperparameters()


def datamodule_class(reader: type[FaceDataset], name: str, module: str) -> type[ReaderDataModule]:
    """Return the LightningDataModule class of a reader.

    Args:
        reader: The reader.
        name: Name of the class.
        module: Module that the class can be imported from, also by pickle.
    """
    card = reader.card
    first = (
        f"Training, validation and test batches of {card.title} (default protocol `{card.default_protocol}`)."
    )
    rest = (inspect.getdoc(ReaderDataModule) or "").partition("\n")[2]
    attributes = {"reader": reader, "__module__": module, "__doc__": f"{first}\n{rest}"}
    return type(name, (ReaderDataModule,), attributes)


def _open(
    reader: type[FaceDataset],
    root: str | Path | None,
    crops: CropChoice,
    size: str,
    *,
    follow_links: bool,
) -> FaceDataset:
    name = reader.card.name
    if root is None:
        _announce(f"without a root, {name} is the synthetic stand-in of size {size}, drawn on first use")
    with following(follow_links):  # `folder` reads its tree at once
        dataset = reader(stand_in(name, size) if root is None else expand_home(root))
    if root is not None and marker_of(dataset.base) is not None:
        _announce(f"{dataset.base} was drawn by fer-bench")
    dataset.follow_links = follow_links
    keep_index(dataset)
    crops.apply(dataset)
    return dataset


@rank_zero_only
def _announce(text: str) -> None:
    print(f"SYNTHETIC DATA: {text}", file=sys.stderr, flush=True)
