"""gcn in training: pairs, two steps, resuming, two processes, mixed precision, and what the record says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning import Callback, Trainer
from torch.utils.data import DataLoader

from fer_bench.config import Augmentation, TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.data.loading import transforms
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.settings import GCNSettings
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.training.callbacks import EpochSeeds
from fer_bench.runs.training.checkpoints import load_weights, save_weights
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.methods.two_processes import Step, joined, run_two
from tests.plans import plan_one

CLASSES = ("neutral", "happiness", "surprise")
FORMS = {
    "plain": {"generator": "none"},
    "S0R0": {"variant": "S0R0"},
    "apart": {"variant": "S0R1", "similarity": "sharing"},
    "vae": {"generator": "vae"},
    "gan": {"generator": "gan"},
    "two-step": {"schedule": "two-step"},
    "two-step gan": {"schedule": "two-step", "generator": "gan", "variant": "S1R0"},
    "positions": {"unpool": "positions"},
    "residual": {"generator": "residual", "neutral_flow": 1.0, "variant": "S1R0"},
}

DDP_FORMS = ("plain", "apart", "vae", "two-step", "two-step gan", "residual")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("lab")
    for name in ("ckplus", "mmi", "oulu", "rafdb"):
        layouts.write(name, root, size="tiny")
    return Workspace(find_roots(str(root)))


def make(form: str, *, epochs: int = 4, seed: int = 0) -> GCN:
    torch.manual_seed(seed)
    settings = GCNSettings(**{"width": 0.1, "hidden": 16, **FORMS[form]})
    task = Task(CLASSES, (4, 4, 4), has_reference=True)
    return GCN(task, settings, TrainSettings(max_epochs=epochs, batch_size=4))


def make_batch(rows: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    grey = torch.rand(2, rows, 1, 64, 64, generator=generator).repeat(1, 1, 3, 1, 1) * 2 - 1
    return {
        "image": grey[0],
        "reference": grey[1],
        "has_reference": torch.arange(rows) % 2 == 0,
        "label": torch.arange(rows) % len(CLASSES),
    }


def train(method: GCN, epochs: int, *callbacks: Callback, resume: Path | None = None) -> None:
    batch = make_batch(8)
    rows = [{name: value[i] for name, value in batch.items()} for i in range(8)]
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EpochSeeds(0), *callbacks],
    )
    # A separate generator, as in our data modules, so that a new iterator draws nothing from the global one.
    loader = DataLoader(rows, batch_size=4, generator=torch.Generator())
    trainer.fit(method, loader, ckpt_path=resume, weights_only=True)


@pytest.mark.parametrize("name", ["oulu", "ckplus", "mmi"])
@pytest.mark.parametrize("labels", ["", "7n"])
def test_reference_is_the_same_persons_and_never_a_test_subjects(workspace, name, labels):
    dataset = workspace.source(name).dataset
    protocol = f"{labels}-4fold" if labels else dataset.card.quick_protocol
    index = dataset.index
    place = pd.Series(range(len(index)), index=index["sample_id"])
    for fold in (1, 2, 3, 4):
        data = make_datamodule(
            dataset,
            spec=GCN.input_spec(GCNSettings()),
            protocol=protocol,
            fold=fold,
            batch_size=8,
            with_reference=True,
            augmentation=Augmentation(flip=0),
        )
        assert data.task.has_reference
        every = data.rows("train")
        partnered = index["reference_id"].iloc[every].notna().to_numpy()
        rows, alone = every[partnered], every[~partnered]
        # Only pictures without a sequence (MMI has some) lack a neutral frame of the same person.
        assert (index.iloc[alone].groupby("sequence").size() == 1).all()
        assert len(alone) <= 0.05 * len(every)
        partners = place[index["reference_id"].iloc[rows]].to_numpy()
        mine, theirs = index.iloc[rows], index.iloc[partners]
        for column in ("subject", "sequence"):
            assert (mine[column].to_numpy() == theirs[column].to_numpy()).all()
        assert theirs["is_neutral_frame"].all()
        held_out = {*index["subject"].iloc[data.rows("test")], *index["subject"].iloc[data.rows("val")]}
        assert not held_out & set(theirs["subject"])
        partner_of = dict(zip(rows, partners, strict=True))
        for batch in data.train_dataloader():
            paired = np.isin(batch["row"].numpy(), rows)
            assert (batch["has_reference"].numpy() == paired).all()
            expected = data.pack.pixels[[partner_of[row] for row in batch["row"].numpy()[paired].tolist()]]
            shown = transforms.prepare(torch.from_numpy(expected), data.spec)
            assert torch.equal(batch["reference"][torch.from_numpy(paired)], shown)
        assert all("reference" not in batch for batch in data.test_dataloader())


class WeightHistory(Callback):
    """Keep the weights after every epoch, and a checkpoint after one."""

    def __init__(self, save: int | None = None, file: Path | None = None) -> None:
        self.save, self.file = save, file
        self.states: list[dict[str, torch.Tensor]] = []
        self.logged: list[set[str]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: GCN) -> None:
        self.states.append({name: value.clone() for name, value in pl_module.state_dict().items()})
        self.logged.append({name for name in trainer.logged_metrics if name.startswith("train/")})
        if trainer.current_epoch == self.save:
            trainer.save_checkpoint(self.file)


@pytest.mark.parametrize("form", ["two-step", "two-step gan"])
def test_each_of_two_steps_leaves_the_rest_alone(form):
    method, history = make(form), WeightHistory()
    start = {name: value.clone() for name, value in method.state_dict().items()}
    train(method, 4, history)
    drawing = ("network.encoder1.", "network.decoder1.", "discriminator.")

    def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[bool]:
        """Return whether what changed belongs to the generator (or its judge), or not, or both."""
        names = [n for n in before if n.startswith(("network.", "discriminator."))]
        return {n.startswith(drawing) for n in names if not torch.equal(before[n], after[n])}

    assert changed(start, history.states[1]) == {True}
    assert changed(history.states[1], history.states[3]) == {False}
    assert "train/generation" in history.logged[1]
    assert "train/classification" not in history.logged[1]
    assert {"train/classification", "train/generation"} < history.logged[3]


@pytest.mark.parametrize("form", ["vae", "gan", "two-step", "positions", "residual"])
@pytest.mark.parametrize("epoch", [0, 2])
def test_resuming_at_an_epoch_changes_no_bit(form, epoch, tmp_path):
    file = tmp_path / "epoch.ckpt"
    whole, resumed = make(form), make(form, seed=7)
    train(whole, 4, WeightHistory(epoch, file))
    train(resumed, 4, resume=file)
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("form", FORMS)
def test_saved_weights_predict_the_same(form, tmp_path):
    method = make(form)
    method.training_step(make_batch(6), 0)  # moves the batch statistics
    save_weights(method, tmp_path / "weights.pt")
    image = make_batch(3, seed=5)["image"]
    with torch.no_grad():
        one, other = method.eval()(image), load_weights(tmp_path / "weights.pt")(image)
    assert torch.equal(one.logits, other.logits)
    assert one.extras.keys() == other.extras.keys()
    assert all(torch.equal(one.extras[name], other.extras[name]) for name in one.extras)


@pytest.mark.parametrize("step", ["first", "last"])
@pytest.mark.parametrize("form", FORMS)
def test_bf16_autocast_is_near_single_precision(form, step, monkeypatch):
    method = make(form)
    if step == "last":
        to_epoch(monkeypatch, method, 3)
    if method.network.latent is not None:
        method.network.latent.eval()  # else both draw their own noise
    batch = make_batch(8)
    exact = method.losses(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = method.losses(batch)
    assert exact.keys() == rough.keys()
    for name, value in rough.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact[name].item(), rel=0.05, abs=0.01)
    sum(rough.values()).backward()
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.grad is not None)


def to_epoch(monkeypatch, method: GCN, epoch: int) -> None:
    """Put a method without a trainer into an epoch."""
    monkeypatch.setattr(GCN, "current_epoch", epoch)
    method.on_train_epoch_start()


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_bfloat16_train(form):
    method = make(form).to(torch.bfloat16)
    batch = make_batch(4)
    for name in ("image", "reference"):
        batch[name] = batch[name].to(torch.bfloat16)
    parts = method.losses(batch)
    sum(parts.values()).backward()
    assert all(value.isfinite() for value in parts.values())
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.grad is not None)


def test_compiling_reaches_the_parts_that_train():
    method, compiled = make("vae"), []

    def count(graph, inputs):
        compiled.append(graph)
        return graph.forward

    method.network.compile(backend=count)
    method.losses(make_batch(4))
    assert len(compiled) >= 5  # both encoders, the latent code, both decoders, the classifier


def ddp_worker(rank: int, folder: str) -> None:
    """Train every form for two steps as one of two processes and save what came out.

    With two-step schedules the second is of the second step.
    """
    from torch.nn.parallel import DistributedDataParallel

    with joined(rank, folder):
        for form in DDP_FORMS:
            method = make(form, seed=rank)  # DDP must make the processes equal
            parallel = DistributedDataParallel(Step(method))
            optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
            for step in range(2):
                GCN.current_epoch = 3 * step
                method.on_train_epoch_start()
                batch = make_batch(4, seed=10 * step + rank)
                if rank == 1:
                    batch["has_reference"][:] = False
                    batch["label"][:] = -1
                optimizer.zero_grad()
                parallel(batch).backward()
                method.on_before_optimizer_step(optimizer)
                optimizer.step()
            torch.save([p.detach() for p in method.parameters()], f"{folder}/{form}-{rank}.pt")


@pytest.mark.long
def test_two_processes_stay_equal(tmp_path):
    run_two(__name__, tmp_path, seconds=240)
    for form in DDP_FORMS:
        first, second = (torch.load(tmp_path / f"{form}-{r}.pt", weights_only=True) for r in (0, 1))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        start = list(make(form).parameters())
        assert any(not torch.equal(a, b) for a, b in zip(first, start, strict=True))


@pytest.mark.parametrize(
    ("dataset", "protocol", "settings", "said"),
    [
        ("oulu", "6-4fold", (), None),
        ("oulu", "6-4fold", ("method.generator=gan", "method.schedule=two-step"), None),
        ("oulu", "7n-4fold", ("method.hide_pairs=true",), "hidden neutral frames of the same person"),
        ("oulu", "7n-4fold", ("method.hide_pairs=true", "method.generator=none"), None),
        ("rafdb", "7-official", (), "no neutral frames of the same person"),
        ("rafdb", "7-official", ("method.generator=none",), None),
        ("ckplus", "7-4fold", (), None),
        ("ckplus+rafdb", None, (), "of the training rows have a neutral frame of the same person"),
    ],
)
def test_record_says_whether_the_method_was_adapted(workspace, tmp_path, dataset, protocol, settings, said):
    planned = plan_one(
        workspace,
        method="gcn",
        dataset=dataset,
        protocol=protocol,
        fold=1,
        seed=0,
        profile="quick",
        overrides=(
            "method.width=0.1",
            "method.generator_weights=null",
            "method.hidden=8",
            "train.batch_size=16",
            *settings,
        ),
        max_epochs=2,
        targets="none",
    )
    store = Store(tmp_path)
    record = execute(planned, store, workspace)
    assert record.status == "done", record.error
    kept = store.run_dir("gcn", dataset, planned.key)
    assert kept.read_record().adapted == record.adapted
    assert record.adapted is None if said is None else said in record.adapted
    history = pd.read_csv(kept.path / "metrics.csv")
    assert history["train/total"].notna().all()
    assert history["train/classification"].notna().any()
    assert ("train/generation" in history) == ("method.generator=none" not in settings)
