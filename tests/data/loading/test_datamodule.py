from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading import transforms
from fer_bench.data.loading.batches import reference_rows
from fer_bench.data.loading.datamodule import FaceDataModule, evaluation_batches
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.errors import DataError, UsageError
from tests.data.toy import running_trainer, toy_rows

SPEC = InputSpec(size=20)


@pytest.fixture
def toy(make_toy):
    rows = toy_rows(8)
    for i, row in enumerate(rows):
        if row["subject"] == "S03":
            row["au"] = [i % 2, -1, *[0] * 10]
        if i % 5 == 0:
            row["valence"], row["arousal"] = 0.5, -0.25
    return make_toy(rows)


@pytest.fixture
def module(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))

    def build(**options: Any) -> FaceDataModule:
        return make_datamodule(toy, **{"spec": SPEC, "batch_size": 8, **options})

    return build


def in_trainer(
    module: FaceDataModule, *, rank: int = 0, world: int = 1, training: bool = True, epoch: int = 0
) -> FaceDataModule:
    module.trainer = running_trainer(
        global_rank=rank, world_size=world, training=training, current_epoch=epoch
    )
    return module


def test_loaders_take_no_draw_from_the_runs_generator(module):
    data = in_trainer(module())
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    list(data.train_dataloader())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("world", [1, 2])
def test_batches_hold_the_rows_of_their_role(module, world):
    data = module()
    for role, loader in (
        ("train", "train_dataloader"),
        ("val", "val_dataloader"),
        ("test", "test_dataloader"),
    ):
        rows = []
        for rank in range(world):
            in_trainer(data, rank=rank, world=world)
            rows += [int(row) for batch in getattr(data, loader)() for row in batch["row"]]
        assert sorted(rows) == data.rows(role).tolist()
        assert (data.roles[rows] == role).all()
        if role != "train" and world == 1:
            assert rows == sorted(rows)
    assert not set(data.rows("train")) & set(data.rows("test"))


def test_batches_have_the_shapes_and_types_of_the_contract(module, toy):
    data = in_trainer(module(with_reference=True))
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].dtype == batch["reference"].dtype == torch.uint8
    batch = data.on_after_batch_transfer(batch, 0)
    kinds = {name: (value.dtype, tuple(value.shape)) for name, value in batch.items()}
    assert kinds == {
        "image": (torch.float32, (8, 3, 20, 20)),
        "reference": (torch.float32, (8, 3, 20, 20)),
        "has_reference": (torch.bool, (8,)),
        "label": (torch.int64, (8,)),
        "va": (torch.float32, (8, 2)),
        "au": (torch.int64, (8, 12)),
        "row": (torch.int64, (8,)),
    }
    index = toy.index.iloc[batch["row"].numpy()]
    assert [data.classes[i] for i in batch["label"]] == index["label"].tolist()
    assert torch.equal(batch["va"].isnan().any(dim=1), torch.tensor(index["valence"].isna().to_numpy()))
    assert batch["au"].tolist() == [list(units) for units in index["au"]]


def test_only_training_batches_carry_references_and_randomness(module):
    data = in_trainer(
        module(with_reference=True, augmentation=Augmentation(flip=0.5, crop_pad=3)), training=False
    )
    for loader in (data.val_dataloader(), data.test_dataloader()):
        batch = next(iter(loader))
        assert "reference" not in batch
        raw = batch["image"].clone()
        assert torch.equal(data.on_after_batch_transfer(batch, 0)["image"], transforms.prepare(raw, SPEC))
    assert "reference" not in next(iter(module().train_dataloader()))


@pytest.mark.parametrize("fold", [1, 2, 3, 4])
def test_references_show_the_same_person_in_the_same_recording_and_never_a_test_person(module, toy, fold):
    data = in_trainer(module(with_reference=True, fold=fold, augmentation=Augmentation(flip=0)))
    index = toy.index
    tested = set(index["subject"][np.isin(data.roles, ("val", "test"))])
    seen = 0
    for batch in data.train_dataloader():
        assert batch["has_reference"].all()
        for row, reference in zip(batch["row"].tolist(), batch["reference"], strict=True):
            own = index.iloc[row]
            partner = index[index["sample_id"] == own["reference_id"]].iloc[0]
            assert np.array_equal(reference.numpy(), data.pack.pixels[partner.name])
            assert (partner["subject"], partner["sequence"]) == (own["subject"], own["sequence"])
            assert partner["is_neutral_frame"]
            assert partner["subject"] not in tested
            seen += 1
    assert seen == len(data.rows("train"))


def test_a_row_without_a_neutral_frame_has_an_empty_reference(make_toy):
    rows = toy_rows(8)
    for row in rows:
        if row["subject"] != "S02":
            row["reference_id"] = None
    data = in_trainer(make_datamodule(make_toy(rows), spec=SPEC, with_reference=True))
    assert data.task.has_reference
    for batch in data.train_dataloader():
        expected = torch.tensor(
            [data.dataset.index["subject"].iloc[row] == "S02" for row in batch["row"].tolist()]
        )
        assert torch.equal(batch["has_reference"], expected)
        assert not batch["reference"][~expected].any()
        assert batch["reference"][expected].any()


@pytest.mark.parametrize("by_label", [True, False])
def test_hidden_labels_choose_no_reference_and_first_frames_stay(make_toy, by_label):
    rows = toy_rows(8)
    for row in rows:
        row["is_neutral_frame"] &= not by_label
    how = {"protocol": "7-folds", "label_fraction": 0.5, "with_reference": True, "with_unlabelled": True}
    data = in_trainer(make_datamodule(make_toy(rows), spec=SPEC, **how))
    index, seen = data.dataset.index, []
    for batch in data.train_dataloader():
        hidden = torch.from_numpy(data.hidden)[batch["row"]]
        assert (batch["label"][hidden] == -1).all()
        assert torch.equal(batch["has_reference"], ~hidden | (not by_label))
        assert not batch["reference"][~batch["has_reference"]].any()
        seen += hidden.tolist()
    assert set(seen) == {True, False}
    assert data.task.has_reference
    assert data.task.reference_by_label is by_label
    # A person's labels are hidden as a whole, and the reference is the same person's.
    partners = reference_rows(index, data.hidden)[data.rows("train")]
    assert (partners >= 0).sum() == (len(seen) - sum(seen) if by_label else len(seen))


def test_image_and_reference_get_the_same_flip_and_crop(module):
    how = Augmentation(flip=0.5, crop_pad=4, noise=1, noise_std=9, erase=1)
    data = in_trainer(module(with_reference=True, augmentation=how, seed=5), epoch=3)
    batch = next(iter(data.train_dataloader()))
    raw = {name: value.clone() for name, value in batch.items()}
    done = data.on_after_batch_transfer(batch, 0)
    draws = transforms.decisions(5, 3, raw["row"])
    moved = transforms.move(raw["reference"], draws, how)
    assert not torch.equal(moved, raw["reference"])
    assert torch.equal(done["reference"], transforms.prepare(moved, SPEC))
    native = {"sides": raw["sides"], "grid": transforms.noise_grid(data.pack.sides, SPEC.size)}
    shown = transforms.augment(raw["image"], raw["row"], SPEC, how, seed=5, epoch=3, **native)
    assert torch.equal(done["image"], shown)
    assert "sides" not in done


def test_the_task_counts_what_training_rows_offer(module, toy):
    data = module(protocol="7-folds", fold=2)
    train = toy.index.iloc[data.rows("train")]
    assert data.task.classes == ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
    assert data.task.class_counts == tuple((train["label"] == name).sum() for name in data.task.classes)
    assert (data.task.has_va, data.task.has_au, data.task.has_reference) == (True, True, True)
    own = train[train["subject"] == "S03"]
    units = np.stack(own["au"].tolist())
    assert data.task.au_counts[0] == ((units[:, 0] == 0).sum(), (units[:, 0] == 1).sum())
    assert data.task.au_counts[1] == (0, 0)
    assert data.task.au_counts[2] == (len(own), 0)
    tested = next(
        fold
        for fold in (1, 2, 3, 4)
        if (module(fold=fold).roles[toy.index["subject"] == "S03"] == "test").any()
    )
    without = module(fold=tested).task
    assert (without.has_au, without.au_counts) == (False, ())


def test_labels_outside_the_classes_are_missing_in_evaluation(module, toy):
    data = module()
    rows = np.arange(len(toy.index))[::-1].copy()
    batches = list(evaluation_batches(data.pack, toy, data.classes, rows, SPEC, torch.device("cpu")))
    assert torch.cat([b["row"] for b in batches]).tolist() == rows.tolist()
    assert max(len(b["row"]) for b in batches) <= 256
    labels = torch.cat([b["label"] for b in batches])
    neutral = torch.tensor((toy.index["label"].to_numpy(object) == "neutral")[rows])
    assert torch.equal(labels == -1, neutral)
    assert torch.equal(
        batches[0]["image"], transforms.prepare(torch.from_numpy(data.pack.pixels[rows[:256]]), SPEC)
    )


def test_loader_processes_change_nothing(module):
    here = list(in_trainer(module(with_reference=True)).train_dataloader())
    there = list(in_trainer(module(with_reference=True, workers=2)).train_dataloader())
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one if name != "va")
        assert torch.allclose(one["va"], other["va"], equal_nan=True)


def test_a_wrong_name_is_refused_before_anything_is_packed(module, tmp_path):
    with pytest.raises(UsageError, match=r"unknown protocol of toy"):
        module(protocol="8-folds")
    with pytest.raises(UsageError, match=r"no such fold"):
        module(fold=9)
    assert not (tmp_path / "cache").exists()
    data = module()
    (data.dataset.base / data.dataset.index["path"].iloc[0]).unlink()
    with pytest.raises(DataError, match=r"cannot be used"):
        _ = data.pack


class Recorder(LightningModule):
    """Learns nothing that matters and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 6)
        self.seen: dict[int, list[tuple[list[int], float]]] = {}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        shown = (batch["row"].tolist(), float(batch["image"].double().sum()))
        self.seen.setdefault(self.current_epoch, []).append(shown)
        return self.layer(batch["image"].mean(dim=(2, 3))).square().mean()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAfter(Callback):
    def __init__(self, epoch: int, file: str) -> None:
        self.epoch, self.file = epoch, file

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.file)


def train(data: FaceDataModule, *callbacks: Callback, resume: str | None = None) -> Recorder:
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
    )
    trainer.fit(recorder, datamodule=data, ckpt_path=resume, weights_only=True)
    return recorder


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_sees_the_same_rows_in_the_same_order_under_the_same_augmentation(module, tmp_path):
    how = Augmentation(crop_pad=3, noise=0.5, noise_std=10)
    file = str(tmp_path / "last.ckpt")
    whole = train(module(augmentation=how), SaveAfter(1, file))
    resumed = train(module(augmentation=how), resume=file)
    assert sorted(whole.seen) == [0, 1, 2, 3]
    assert resumed.seen == {epoch: whole.seen[epoch] for epoch in (2, 3)}
    assert whole.seen[0] != whole.seen[1]
    assert all(
        sorted(r for rows, _ in whole.seen[e] for r in rows) == module().rows("train").tolist()
        for e in range(4)
    )
