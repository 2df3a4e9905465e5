"""DataModules as a stranger uses them: in a plain loop, with any LightningModule, from LightningCLI."""

from __future__ import annotations

import cv2
import lightning
import numpy as np
import pytest
import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn
from torch.utils.data import DistributedSampler

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading.union import UnionDataset
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.datasets import FolderDataModule, OuluCASIADataModule, RAFDBDataModule
from fer_bench.errors import DatasetNotFoundError, UsageError
from fer_bench.workspace.sources import find_roots, open_source

SIDE = 24
CLASSES = 7


class SmallCNN(LightningModule):
    """Knows nothing of this package."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, CLASSES),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch["image"]), batch["label"])

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        right = (self(batch["image"]).argmax(1) == batch["label"]).float().mean()
        self.log("accuracy", right, batch_size=len(batch["label"]))

    test_step = validation_step

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch["row"], self(batch["image"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


@pytest.fixture(params=["lab", "wild", "union"])
def data(request, tiny_root) -> LightningDataModule:
    """A DataModule of each kind, with seven classes."""
    how = Augmentation(flip=0.5, crop_pad=2)
    if request.param == "lab":
        return OuluCASIADataModule(
            tiny_root,
            protocol="7n-4fold",
            image_size=SIDE,
            batch_size=16,
            augmentation=how,
            with_reference=True,
        )
    if request.param == "wild":
        return RAFDBDataModule(tiny_root / "rafdb", image_size=SIDE, batch_size=16, augmentation=how)
    roots = find_roots(str(tiny_root))
    union = UnionDataset([open_source(name, roots).dataset for name in ("oulu", "rafdb")])
    spec, protocol = InputSpec(size=SIDE), "7-union-quick"
    return make_datamodule(
        union, spec=spec, protocol=protocol, batch_size=16, augmentation=how, with_reference=True
    )


def loaders(found: object) -> list[object]:
    return found if isinstance(found, list) else [found]


def trainer(root, **options) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=root,
        **options,
    )


def test_loaders_deliver_what_a_convolution_takes(data):
    network, index = SmallCNN(), data.dataset.index
    for role, name in (("train", "train"), ("val", "val"), ("test", "test"), ("test", "predict")):
        seen = []
        for loader in loaders(getattr(data, f"{name}_dataloader")()):
            for batch in loader:
                assert batch["image"].dtype == torch.float32
                assert batch["image"].shape == (len(batch["row"]), 3, SIDE, SIDE)
                assert network(batch["image"]).shape == (len(batch["row"]), CLASSES)
                labels = [data.classes[label] for label in batch["label"]]
                assert labels == index["label"].iloc[batch["row"].numpy()].tolist()
                if name == "train" and "reference" in batch:
                    assert batch["reference"].shape == batch["image"].shape
                    assert batch["reference"].dtype == torch.float32
                seen += batch["row"].tolist()
        assert set(seen) <= set(data.rows(role).tolist())
        if name != "train":
            assert sorted(seen) == data.rows(role).tolist()


def test_a_batch_is_what_a_running_trainer_shows(data, tmp_path):
    """A plain loop, a Trainer with the DataModule and a Trainer with its loader show the same batches."""

    class Keep(SmallCNN):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[dict[str, Tensor]] = []

        def training_step(self, batch, batch_idx):
            self.seen.append({name: value.clone() for name, value in batch.items()})
            return super().training_step(batch, batch_idx)

    plain = [batch for _ in range(2) for batch in data.train_dataloader()]
    assert len(plain) >= 4
    inside, given = Keep(), Keep()
    trainer(tmp_path, enable_checkpointing=False, limit_val_batches=0).fit(inside, datamodule=data)
    after = data.train_dataloader()
    after.sampler.set_epoch(0)
    again = [batch for _ in range(2) for batch in after]
    after.sampler.set_epoch(0)
    trainer(tmp_path, enable_checkpointing=False, limit_val_batches=0).fit(given, after)
    for other in (inside.seen, again, given.seen):
        assert len(other) == len(plain)
        for one, two in zip(plain, other, strict=True):
            assert one.keys() == two.keys()
            assert all(torch.equal(one[k], two[k]) for k in one if k != "va")
            assert torch.allclose(one["va"], two["va"], equal_nan=True)


def test_each_pass_is_another_epoch_and_an_epoch_can_be_chosen(data):
    def images(loader) -> dict[int, Tensor]:
        shown = (zip(batch["row"].tolist(), batch["image"], strict=True) for batch in loader)
        return {row: image for batch in shown for row, image in batch}

    loader = data.train_dataloader()
    first, second = images(loader), images(loader)
    third = images(data.train_dataloader())
    for one, other in ((first, second), (second, third), (first, third)):
        assert list(one) != list(other)
        assert any(not torch.equal(one[row], other[row]) for row in one.keys() & other.keys())
    loader.sampler.set_epoch(0)
    again = images(loader)
    assert list(again) == list(first)
    assert all(torch.equal(again[row], first[row]) for row in first)


def test_loader_processes_change_nothing(tiny_root):
    plain, there = (
        RAFDBDataModule(tiny_root, image_size=SIDE, batch_size=16, workers=workers) for workers in (0, 2)
    )
    one, other = plain.train_dataloader(), there.train_dataloader()
    for _ in range(2):  # the processes live on, and learn the epoch all the same
        for mine, theirs in zip(one, other, strict=True):
            assert torch.equal(mine["row"], theirs["row"])
            assert torch.equal(mine["image"], theirs["image"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_trainer_fits_validates_tests_and_predicts(data, workers, tmp_path):
    data.workers = workers
    model, runner = SmallCNN(), trainer(tmp_path)
    runner.fit(model, datamodule=data)
    assert runner.state.finished
    for scores in (runner.validate(model, datamodule=data), runner.test(model, datamodule=data)):
        assert all(0 <= value <= 1 for found in scores for value in found.values())
    found = runner.predict(model, datamodule=data)
    rows = torch.cat([row for row, _ in found])
    assert rows.tolist() == data.rows("test").tolist()
    assert all(logits.shape == (len(row), CLASSES) for row, logits in found)


@pytest.mark.filterwarnings("ignore")
def test_settings_come_back_from_a_checkpoint(tiny_root, tmp_path):
    data = RAFDBDataModule(tiny_root, image_size=SIDE, augmentation={"crop_pad": 3}, mean=(0.5, 0.5, 0.5))
    runner = trainer(tmp_path)
    runner.fit(SmallCNN(lr=0.25), datamodule=data)
    file = runner.checkpoint_callback.best_model_path
    again = RAFDBDataModule.load_from_checkpoint(file)
    assert again.hparams == data.hparams
    assert (again.spec, again.augmentation) == (data.spec, data.augmentation)
    assert again.augmentation.crop_pad == 3
    assert SmallCNN.load_from_checkpoint(file).hparams.lr == 0.25


@pytest.mark.filterwarnings("ignore")
def test_lightning_cli_builds_it(tiny_root, tmp_path):
    arguments = [
        "fit",
        f"--data.root={tiny_root}",
        f"--data.image_size={SIDE}",
        "--data.augmentation={flip: 0.25, crop_pad: 1}",
        "--data.mean=[0.5, 0.5, 0.5]",
        "--data.label_fraction=0.5",
        "--model.lr=0.5",
        "--trainer.max_epochs=1",
        "--trainer.logger=false",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    for kind, more in ((RAFDBDataModule, []), (None, ["--data=fer_bench.datasets.RAFDBDataModule"])):
        cli = LightningCLI(
            SmallCNN, kind, args=[arguments[0], *more, *arguments[1:]], save_config_callback=None
        )
        assert type(cli.datamodule) is RAFDBDataModule
        assert cli.datamodule.augmentation == Augmentation(flip=0.25, crop_pad=1)
        assert cli.datamodule.spec == InputSpec(size=SIDE, mean=(0.5, 0.5, 0.5))
        assert cli.trainer.state.finished


def test_a_root_may_start_with_the_home_folder(tiny_root, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_root.parent))
    assert RAFDBDataModule(f"~/{tiny_root.name}").dataset.base.is_relative_to(tiny_root)


def test_the_constructor_reads_nothing_and_setup_finds_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    data = RAFDBDataModule(tmp_path / "nowhere")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(DatasetNotFoundError, match="data root for rafdb does not exist"):
        data.setup()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": "9-official"}, "unknown protocol of rafdb"),
        ({"image_size": 4}, "image: size"),
        ({"augmentation": {"flip": 2}}, "augmentation: flip"),
        ({"augmentation": {"flop": 1}}, "augmentation: flop"),
        ({"crop": "round"}, "unknown crop"),
    ],
)
def test_a_wrong_option_is_refused_by_the_constructor(options, words):
    with pytest.raises(UsageError, match=words):
        RAFDBDataModule("anywhere", **options)


def test_without_a_root_it_is_the_stand_in_and_says_so(tiny_root, capsys):
    drawn = RAFDBDataModule(synthetic_size="tiny", image_size=SIDE)
    given = RAFDBDataModule(tiny_root, image_size=SIDE)
    assert capsys.readouterr().err == ""
    drawn.setup()
    assert "SYNTHETIC DATA: without a root, rafdb is the synthetic stand-in" in capsys.readouterr().err
    given.setup()
    assert f"SYNTHETIC DATA: {given.dataset.base} was drawn" in capsys.readouterr().err
    for one, other in zip(drawn.test_dataloader(), given.test_dataloader(), strict=True):
        assert torch.equal(one["image"], other["image"])


def test_a_trainer_on_several_devices_does_not_deal_batches_again(data):
    for loader in (data.train_dataloader(), *loaders(data.val_dataloader())):
        assert isinstance(loader.sampler, DistributedSampler)  # Lightning wraps any other sampler


def test_a_folder_of_pictures_has_the_classes_that_are_found(tmp_path):
    for name in ("happy", "sad", "angry"):
        (tmp_path / name).mkdir()
        for number in range(4):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.full((30, 20, 3), number, np.uint8))
    data = FolderDataModule(tmp_path, image_size=SIDE, crop="fit")
    (batch,) = data.test_dataloader()
    assert data.classes == ("happiness", "sadness", "anger")
    assert batch["image"].shape == (3, 3, SIDE, SIDE)


def test_faces_are_cropped_as_asked(tiny_root):
    plain = RAFDBDataModule(tiny_root, image_size=SIDE)
    other = RAFDBDataModule(tiny_root, image_size=SIDE, crop="detect+0.3")
    assert plain.pack.recipe.kind == plain.dataset.crop
    assert (other.pack.recipe.kind, other.pack.recipe.margin) == ("detect", 0.3)


def test_a_method_learns_from_it(tiny_root, tmp_path):
    from fer_bench import methods
    from fer_bench.config import TrainSettings

    kind = methods.get("ssmfar")
    settings = kind.settings_type(backbone="narrow", size=32)
    data = RAFDBDataModule(
        tiny_root,
        image_size=32,
        batch_size=8,
        with_unlabelled=True,
        with_strong=True,
        label_fraction=0.5,
    )
    method = kind(data.task, settings, TrainSettings(max_epochs=1, batch_size=8))
    trainer(tmp_path, enable_checkpointing=False, limit_train_batches=2, num_sanity_val_steps=0).fit(
        method, datamodule=data
    )
    assert method.trainer.current_epoch == 2
