"""Epoch means of losses are those of Lightning's own logging, over one process or several."""

import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from fer_bench.methods.epoch_losses import EpochLosses


class Both(LightningModule):
    """Log the same losses in both ways."""

    def __init__(self):
        super().__init__()
        self.weight, self.losses = torch.nn.Parameter(torch.zeros(())), EpochLosses()

    def training_step(self, batch, batch_idx):
        parts = {"a": (batch - self.weight).square().mean(), "b": batch.mean() + self.weight}
        self.losses.add(len(batch), parts)
        self.log_dict(parts, on_step=False, on_epoch=True, batch_size=len(batch))
        return sum(parts.values())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_train_epoch_end(self):
        self.taken = self.losses.take(lambda sums: sums)
        self.log_dict({f"ours/{name}": value for name, value in self.taken.items()})


def test_means_are_those_of_lightning():
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(Both(), DataLoader(values, batch_size=8))
    found = trainer.callback_metrics
    for name in ("a", "b"):
        assert found[f"ours/{name}"] == found[name]


def test_rows_weigh_alike_over_batches_and_processes():
    losses = EpochLosses()
    losses.add(3, {"x": torch.tensor(1.0)})
    losses.add(1, {"x": torch.tensor(5.0, requires_grad=True), "y": torch.tensor(7.0, dtype=torch.bfloat16)})
    other = torch.tensor([[16.0, 0.0], [4.0, 0.0]])  # of another process: sums, then rows
    found = losses.take(lambda own: own + other)
    assert {name: value.item() for name, value in found.items()} == {"x": 3.0, "y": 7.0}
    assert not found["x"].requires_grad
    assert losses.take(lambda own: own) == {}


def test_a_loss_that_is_not_finite_shows():
    losses = EpochLosses()
    losses.add(2, {"x": torch.tensor(float("nan"))})
    losses.add(2, {"x": torch.tensor(1.0)})
    assert losses.take(lambda own: own)["x"].isnan()
