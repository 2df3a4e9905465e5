"""A made-up dataset with hidden labels on disk, and a small ssmfar for it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from fer_bench.config import Augmentation, TrainSettings
from fer_bench.data.card import Card, NativeClass, Official, Protocol, TreeEntry
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.emotions import LABEL_SETS
from fer_bench.methods.ssmfar.method import SSMFAR
from fer_bench.methods.ssmfar.settings import SSMFARSettings

CLASSES = LABEL_SETS["6"]
TRAIN = TrainSettings(max_epochs=2, batch_size=8, augmentation=Augmentation(flip=0.5, crop_pad=2))


class Toy(FaceDataset):
    """Ten training pictures per class, and three of each to test."""

    card = Card(
        name="toy",
        title="Toy",
        setting="wild",
        citation="none",
        licence="free",
        obtain="make it",
        classes=tuple(NativeClass(e.value, e.value, e) for e in CLASSES),
        tree=(TreeEntry("pictures/<id>.png", "a face"),),
        protocols=(Protocol(name="6-official", label_set=CLASSES, split=Official()),),
        default_protocol="6-official",
        quick_protocol="6-official",
        unit="image",
        as_target="test",
    )

    @classmethod
    def locate(cls, folder):
        return folder if (folder / "pictures").is_dir() else None

    def rows(self):
        for number, name in enumerate(CLASSES):
            for sample in range(13):
                yield {
                    "sample_id": f"{name}{sample:02d}",
                    "path": f"pictures/{name}{sample:02d}.png",
                    "native_label": name.value,
                    "label": name.value,
                    "split": "train" if sample < 10 else "test",
                    "valence": number / 5 - 0.5 if sample % 2 else None,
                    "arousal": 0.1 * sample - 0.5 if sample % 2 else None,
                }


def write(root: Path) -> None:
    """Write one small picture per row, brighter for later classes."""
    (root / "toy" / "pictures").mkdir(parents=True)
    for number, name in enumerate(CLASSES):
        for sample in range(13):
            noise = np.random.default_rng(sample).integers(0, 60, (32, 32, 3))
            picture = np.clip(noise + 35 * number, 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / "toy" / "pictures" / f"{name}{sample:02d}.png"), picture)


def method_and_data(
    root: Path,
    *,
    seed: int = 0,
    fraction: float = 0.4,
    unlabelled_rows: str = "pseudo",
    **options: object,
) -> tuple[SSMFAR, FaceDataModule]:
    """Return a small ssmfar, initialised by the seed, and the data module of repetition 0."""
    settings = SSMFARSettings(
        backbone="narrow", size=32, dropout=0.0, lr=3e-3, unlabelled_rows=unlabelled_rows
    )
    data = make_datamodule(
        Toy(root),
        spec=SSMFAR.input_spec(settings),
        batch_size=TRAIN.batch_size,
        augmentation=TRAIN.augmentation,
        with_unlabelled=True,
        with_strong=True,
        label_fraction=fraction,
        **options,
    )
    torch.manual_seed(seed)
    return SSMFAR(data.task, settings, TRAIN), data
