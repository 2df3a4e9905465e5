"""ssmfar: losses of a step, batches that lack something, recipes and learning."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fer_bench.data.batch import Task
from fer_bench.errors import UsageError
from fer_bench.methods.ssmfar.method import SSMFAR
from fer_bench.methods.ssmfar.settings import SSMFARSettings
from tests.methods.ssmfar.small import NAN, THREE, full_task, make, make_batch


def test_training_step_is_the_sum_of_its_parts():
    method, batch = make(), make_batch()
    parts = method.losses(batch)
    assert set(parts) == {"expr", "labelled", "unlabelled", "consistency", "believed", "va", "au"}
    total = method.training_step(batch, 0)
    torch.testing.assert_close(total, parts["expr"] + parts["va"] + parts["au"])
    whole = 0.5 * (parts["labelled"] + parts["unlabelled"]) + 0.5 * parts["consistency"]
    torch.testing.assert_close(parts["expr"], whole)


def test_labels_of_unlabelled_rows_cannot_leak():
    """What the batch holds at rows that do not count changes nothing."""
    method, batch = make(), make_batch()
    before = method.losses(batch)
    batch["va"][0], batch["au"][0] = torch.tensor([NAN, 0.3]), -1
    after = method.losses(batch)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize("lacking", ["label", "unlabelled", "va", "au", "strong"])
def test_batches_that_lack_something_work(lacking):
    method, batch = make(), make_batch()
    if lacking == "label":
        batch["label"][:] = -1
    elif lacking == "unlabelled":
        batch["label"][:] = 0
    elif lacking == "va":
        batch["va"][:] = NAN
    elif lacking == "au":
        batch["au"][:] = -1
    else:
        del batch["strong"]
    loss = method.training_step(batch, 0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    if lacking == "unlabelled":
        parts = method.losses(batch)
        torch.testing.assert_close(parts["expr"], parts["labelled"])


@pytest.mark.parametrize("scope", ["unlabelled_nonconfident", "all", "repo"])
def test_bf16_autocast_with_all_parts(scope):
    method = make(consistency_scope=scope)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method.training_step(make_batch(), 0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_overfits_eight_images():
    method = make()
    batch = make_batch()
    batch["label"] = torch.arange(8) % 3
    batch["au"][0], batch["va"][0] = 1, 0.5
    del batch["strong"]
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()
    parts = method.losses(batch)
    assert parts["labelled"] < 0.3
    assert parts["va"] < 0.1
    assert parts["au"] < 0.3


def test_believed_pseudo_labels_are_learnt():
    """Rows without label follow the weak view's answer when thresholds allow it."""
    method, batch = make(), make_batch()
    method.thresholds.zero_()
    parts = method.losses(batch)
    assert parts["believed"].item() == 1
    assert parts["unlabelled"].item() > 0
    assert parts["consistency"].item() == 0  # every row is believed


def test_paper_profile_is_the_papers():
    profile = SSMFAR.profiles["paper"]
    settings = SSMFARSettings(**profile.method)
    assert (profile.train.max_epochs, profile.train.batch_size, profile.train.augmentation.crop_pad) == (
        50,
        256,
        8,
    )
    assert (settings.backbone, settings.size, settings.dropout) == ("resnet18", 224, 0.5)
    adam = make(recipe="paper", lr=settings.lr).configure_optimizers()
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.param_groups[0]["lr"], adam.param_groups[0]["weight_decay"]) == (5e-4, 0)


def test_one_cycle_recipe():
    method = make(recipe="one-cycle", lr=0.01)
    method._trainer = SimpleNamespace(estimated_stepping_batches=20)
    assert method.configure_optimizers()["lr_scheduler"]["scheduler"].total_steps == 20


def test_adaptation_says_what_is_missing():
    assert SSMFAR.adaptation(full_task(), SSMFARSettings()) is None
    said = SSMFAR.adaptation(Task(THREE, (1, 1, 1)), SSMFARSettings())
    assert said.count(";") == 2
    assert "supervised part alone" in said


def test_unlabelled_rows_without_a_data_module_are_refused():
    method = make()
    method._trainer = SimpleNamespace(callback_metrics={}, current_epoch=0)
    with pytest.raises(UsageError, match="FaceDataModule"):
        method.on_train_epoch_end()
