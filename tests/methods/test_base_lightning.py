"""Methods in a plain Lightning Trainer and in LightningCLI, without runs and stores of this suite."""

from __future__ import annotations

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader

from fer_bench import methods
from fer_bench.config import TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.emotions import ACTION_UNITS, LABEL_SETS, Emotion
from fer_bench.errors import DataError, UsageError
from fer_bench.methods import BUILT_IN, GCN, SSMFAR, get
from fer_bench.methods.base import Method
from fer_bench.methods.epoch_scores import uar_of_confusion
from fer_bench.methods.gcn.settings import GCNSettings
from tests.methods import ssmfar_toy
from tests.methods.test_base import CLASSES, METHODS, TINY, make_batch, rows_of, tiny


def small(name: str) -> Method:
    """Return a method built from class names alone."""
    kind = get(name)
    torch.manual_seed(0)
    return kind(CLASSES, kind.build_settings(TINY[name]), TrainSettings(max_epochs=2, batch_size=4))


def batch_of(method: Method, rows: int, seed: int = 0) -> Batch:
    batch = make_batch(method, rows, seed)
    return {"image": batch["image"], "label": batch["label"], "row": torch.arange(rows)}


def loader(method: Method, rows: int, seed: int = 0) -> DataLoader:
    return DataLoader(rows_of(batch_of(method, rows, seed)), batch_size=4)


def plain_trainer(folder, **options: object) -> Trainer:
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )


@pytest.fixture(scope="module", params=list(BUILT_IN))
def trained(request, tmp_path_factory):
    """A method that a plain Trainer fitted, with Lightning's own checkpoint and logger."""
    folder = tmp_path_factory.mktemp(request.param)
    method = small(request.param)
    trainer = plain_trainer(folder, callbacks=[ModelCheckpoint(monitor="val/uar", mode="max")])
    trainer.fit(method, loader(method, 8), loader(method, 6, seed=1))
    return trainer, method


def by_hand(method: Method, batch: Batch) -> tuple[float, float]:
    """Return UAR and accuracy of one batch."""
    with torch.no_grad():
        answer = method.eval()(batch["image"]).logits.argmax(dim=1)
    counts = torch.zeros(3, 3).index_put((batch["label"], answer), torch.tensor(1.0), accumulate=True)
    return uar_of_confusion(counts).item(), (answer == batch["label"]).float().mean().item()


def test_it_is_validated_and_tested_by_the_same_count(trained):
    trainer, method = trained
    uar, accuracy = by_hand(method, batch_of(method, 9, seed=2))
    (validated,) = trainer.validate(method, loader(method, 9, seed=2), verbose=False)
    (tested,) = trainer.test(method, loader(method, 9, seed=2), verbose=False)
    assert validated == pytest.approx({"val/uar": uar, "val/accuracy": accuracy})
    assert tested == pytest.approx({"test/uar": uar, "test/accuracy": accuracy})
    several = [loader(method, 9, seed=2), loader(method, 9, seed=3)]
    other, _ = by_hand(method, batch_of(method, 9, seed=3))
    found = trainer.test(method, several, verbose=False)[0]
    assert found["test/uar"] == pytest.approx((uar + other) / 2)


def test_it_predicts_tensors_by_name(trained):
    trainer, method = trained
    first, second = trainer.predict(method, loader(method, 6))
    assert torch.equal(torch.cat([first["row"], second["row"]]), torch.arange(6))
    with torch.no_grad():
        expected = method.eval()(batch_of(method, 6)["image"]).tensors()
    assert first.keys() == {"row", *expected}
    for name, value in expected.items():
        torch.testing.assert_close(torch.cat([first[name], second[name]]), value, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_rebuilds_it(trained):
    trainer, method = trained
    file = trainer.checkpoint_callback.best_model_path
    torch.load(file, weights_only=True)
    image = batch_of(method, 3, seed=5)["image"]
    with torch.no_grad():
        expected = method.eval()(image)
        best = get(method.name).load_from_checkpoint(file).eval()
        named = Method.load_from_checkpoint(file, map_location="cpu").eval()
        last = small(method.name)
        last.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
        for other in (best, named):
            assert type(other) is type(method)
            assert (other.task, other.settings, other.train_settings) == (
                *(method.task, method.settings, method.train_settings),
            )
            assert torch.equal(other(image).logits, last.eval()(image).logits)
            assert other(image).extras.keys() == expected.extras.keys()


def test_hyperparameters_are_plain_and_rebuild_it(trained):
    _, method = trained
    assert method.hparams["method"] == method.name
    again = type(method)(**{name: value for name, value in method.hparams.items() if name != "method"})
    assert (again.task, again.settings, again.train_settings) == (
        *(method.task, method.settings, method.train_settings),
    )


@METHODS
def test_it_trains_on_our_data_module(name, tmp_path):
    ssmfar_toy.write(tmp_path)
    kind = get(name)
    settings = kind.build_settings(TINY[name])
    data = make_datamodule(
        ssmfar_toy.Toy(tmp_path),
        spec=kind.input_spec(settings),
        batch_size=12,
        label_fraction=0.5 if kind.uses_unlabelled else 1.0,
        with_reference=kind.needs_reference,
        with_unlabelled=kind.uses_unlabelled,
        with_strong=kind.needs_strong,
    )
    method = kind(data.task, settings)
    trainer = plain_trainer(tmp_path)
    trainer.fit(method, datamodule=data)
    assert 0 <= trainer.validate(method, datamodule=data, verbose=False)[0]["val/uar"] <= 1
    assert 0 <= trainer.test(method, datamodule=data, verbose=False)[0]["test/uar"] <= 1
    predicted = torch.cat([batch["row"] for batch in trainer.predict(method, datamodule=data)])
    assert predicted.tolist() == data.rows("test").tolist()


@METHODS
def test_lightning_cli_builds_it(name, tmp_path):
    kind = get(name)
    chosen = [f"--model.settings.{key}={value}" for key, value in TINY[name].items()]
    trainer = [
        "--trainer.logger=false",
        "--trainer.accelerator=cpu",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    arguments = ["--model.classes=[anger,fear]", *chosen, *trainer]
    cli = LightningCLI(kind, run=False, save_config_callback=None, args=arguments)
    assert cli.model.task.classes == ("anger", "fear")
    assert cli.model.settings == kind.build_settings(TINY[name])
    cli.trainer.strategy.connect(cli.model)
    cli.trainer.save_checkpoint(tmp_path / "cli.ckpt")
    again = Method.load_from_checkpoint(tmp_path / "cli.ckpt")
    assert (again.settings, again.task) == (cli.model.settings, cli.model.task)


@METHODS
def test_its_class_is_found_by_its_own_name(name):
    assert getattr(methods, get(name).__name__) is get(name)
    with pytest.raises(AttributeError, match="no attribute 'Gcn'"):
        methods.__getattr__("Gcn")


@METHODS
def test_class_names_are_enough(name):
    method = get(name)([Emotion.ANGER, "fear"])
    assert method.task == Task(("anger", "fear"), (1, 1))
    assert (method.settings, method.train_settings) == get(name).profile("paper")
    assert all(type(label) is str for label in method.hparams["classes"]["classes"])


def test_settings_may_be_plain():
    method = GCN(
        classes=CLASSES, settings={"width": 0.1, "hidden": 8}, train={"max_epochs": 3, "batch_size": 2}
    )
    assert method.settings == GCNSettings(width=0.1, hidden=8)
    assert method.train_settings == TrainSettings(max_epochs=3, batch_size=2)
    for wrong in ({"settings": {"widht": 1}}, {"train": {"max_epochs": 0, "batch_size": 2}}):
        with pytest.raises(UsageError):
            GCN(CLASSES, **wrong)
    with pytest.raises(UsageError, match="no such profile"):
        GCN.profile("papre")


def test_references_of_a_batch_are_optional():
    method = tiny("gcn").eval()
    batch = make_batch(method, 6)
    none = {**batch, "has_reference": torch.zeros(6, dtype=torch.bool)}
    without = {name: value for name, value in batch.items() if "reference" not in name}
    for name, value in method.losses(none).items():
        assert torch.equal(value, method.losses(without)[name])


def test_affect_is_counted_in_tests_too():
    classes = LABEL_SETS["8"]
    task = Task(classes, (1,) * 8, has_va=True, has_au=True, au_counts=((1, 1),) * len(ACTION_UNITS))
    method = SSMFAR(task, SSMFAR.build_settings(TINY["ssmfar"]))
    batch = {**make_batch(method, 8), "label": torch.arange(8)}
    batch |= {"va": torch.rand(8, 2), "au": torch.randint(0, 2, (8, len(ACTION_UNITS)))}
    trainer = plain_trainer(None, logger=False)
    (found,) = trainer.test(method, DataLoader(rows_of(batch), batch_size=4), verbose=False)
    (predicted,) = trainer.predict(method, DataLoader(rows_of(batch), batch_size=8))
    assert {"logits", "va", "au"} == predicted.keys()
    assert set(found) == {"test/uar", "test/accuracy", "test/abaw"}


def test_other_checkpoints_are_refused(tmp_path):
    class Other(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

    trainer = plain_trainer(tmp_path)
    trainer.strategy.connect(Other())
    trainer.save_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(DataError, match="not a checkpoint of a method"):
        Method.load_from_checkpoint(tmp_path / "other.ckpt")


def test_most_methods_import_no_foreign_checkpoints(tmp_path):
    with pytest.raises(UsageError, match="cannot read checkpoints of its authors' code"):
        GCN.import_checkpoint(tmp_path / "any.pth")
