"""gcn's contrastive loss acts: on drawn faces most rows are within the default margin, from start to end."""

from __future__ import annotations

import pytest
import torch

from fer_bench.config import Augmentation
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.methods.gcn.method import GCN

ACTING = 0.5
"""Least share of expressive rows that the hinge acts on, at the start and after training."""
STEPS = 24


@pytest.mark.parametrize("profile", ["quick", "small", "paper"])
def test_the_hinge_acts_at_the_start_and_after_training(drawn_oulu, profile, monkeypatch):
    settings, train = GCN.profile(profile)
    small = {"width": 0.25, "hidden": 64} if settings.generator_weights is None else {}
    settings = settings.model_copy(update={**small, "lr": 3e-3})
    data = make_datamodule(
        drawn_oulu,
        spec=GCN.input_spec(settings),
        protocol="6-4fold",
        batch_size=8,
        with_reference=True,
        augmentation=Augmentation(flip=0.5, crop_pad=4),
    )
    torch.manual_seed(0)
    method = GCN(data.task, settings, train)
    method.load_pretrained()
    for log in ("log_losses", "log_shares"):
        monkeypatch.setattr(method, log, lambda *_, **__: None)
    optimizer = torch.optim.AdamW(method.parameters(), lr=settings.lr)
    method.on_train_epoch_start()
    shares, costs = [], []
    while len(shares) < STEPS:
        for batch in method.train_loader(data):
            parts = method.losses(batch)
            shares.append(float(parts["within_margin"]))
            costs.append(float(parts["contrastive"].detach()))
            optimizer.zero_grad()
            method.training_step(batch, 0).backward()
            method.on_before_optimizer_step(optimizer)
            optimizer.step()
    assert shares[0] >= ACTING
    assert sum(shares[-4:]) / 4 >= ACTING
    assert min(costs) > 0


def test_a_margin_below_the_distances_teaches_nothing_and_is_told(drawn_oulu):
    settings = GCN.profile("paper")[0].model_copy(update={"width": 0.25, "hidden": 64, "margin": 0.1})
    data = make_datamodule(
        drawn_oulu, spec=GCN.input_spec(settings), protocol="6-4fold", batch_size=8, with_reference=True
    )
    torch.manual_seed(0)
    parts = GCN(data.task, settings).losses(next(iter(data.train_dataloader())))
    assert parts["contrastive"] == parts["within_margin"] == 0
