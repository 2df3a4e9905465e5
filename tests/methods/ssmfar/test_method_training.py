"""ssmfar trained on a made-up dataset: thresholds, resuming, loader processes and two processes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint

from fer_bench.methods.ssmfar import losses
from fer_bench.methods.ssmfar.method import SSMFAR
from tests.data.toy import running_trainer
from tests.methods import ssmfar_toy


def ddp_worker(rank: int, folder: str) -> None:
    """Fit two epochs as one of two processes on hidden labels, and save the state."""
    from lightning.pytorch.strategies import DDPStrategy

    torch.set_num_threads(1)
    losses.FLOOR = 0.0  # else all thresholds of so short a training are the floor
    method, data = ssmfar_toy.method_and_data(Path(folder), seed=rank)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(process_group_backend="gloo"),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(method, datamodule=data)
    torch.save(method.state_dict(), f"{folder}/{rank}.pt")


@pytest.mark.long
def test_two_processes_agree_on_thresholds_and_weights(tmp_path):
    ssmfar_toy.write(tmp_path)
    command = f"import sys; from {__name__} import ddp_worker; ddp_worker(int(sys.argv[1]), sys.argv[2])"
    path = os.pathsep.join(sys.path)
    common = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    common |= {"WORLD_SIZE": "2", "FER_BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", command, str(rank), str(tmp_path)],
            env={**common, "LOCAL_RANK": str(rank), "NODE_RANK": "0", "RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    try:
        assert [w.wait(timeout=120) for w in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    counters = ("running_mean", "running_var")  # batch norm sees each process's own rows
    for name, value in first.items():
        assert name.endswith(counters) or torch.equal(value, second[name]), name
    method, data = ssmfar_toy.method_and_data(tmp_path)
    assert torch.equal(first["class_weights"], method.class_weights)
    assert data.task.unlabelled > 0
    assert (first["thresholds"] > 0).any()


class MetricsHistory(Checkpoint):
    """Save after the method's own end of epoch, as runs do, and remember the metrics."""

    def __init__(self, file: Path) -> None:
        self.file, self.metrics = file, []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: SSMFAR) -> None:
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.file)


def fit(
    root: Path, history: MetricsHistory, *, seed: int = 0, resume: Path | None = None, **options: object
) -> SSMFAR:
    method, data = ssmfar_toy.method_and_data(root, seed=seed, **options)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[history],
        default_root_dir=str(root),
    )
    trainer.fit(method, datamodule=data, ckpt_path=resume, weights_only=True)
    return method


@pytest.fixture(scope="module")
def toy_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    ssmfar_toy.write(root)
    return root


def test_thresholds_follow_a_hand_count_and_resuming_changes_no_bit(toy_root, tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "FLOOR", 0.0)
    history = MetricsHistory(tmp_path / "first.ckpt")
    whole = fit(toy_root, history)
    resumed = fit(toy_root, MetricsHistory(tmp_path / "other.ckpt"), seed=5, resume=tmp_path / "first.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

    data = whole.trainer.datamodule
    data.trainer = running_trainer(global_rank=0, world_size=1, current_epoch=1)  # the last epoch
    probability, right = torch.zeros(6), torch.zeros(6)
    whole.eval()
    with torch.no_grad():
        for batch in data.labelled_views(torch.device("cpu")):
            for row, label in zip(whole(batch["image"]).logits.softmax(1), batch["label"], strict=True):
                if row.argmax() == label:
                    probability[label] += row.max()
                    right[label] += 1
    expected = 0.97 * probability / right.clamp(min=1) / (1 + math.exp(-2))
    torch.testing.assert_close(whole.thresholds, expected)
    shown = [history.metrics[-1][f"threshold/{name}"] for name in data.classes]
    assert shown == pytest.approx(expected.tolist())


def test_loader_processes_change_nothing(toy_root, tmp_path):
    one = fit(toy_root, MetricsHistory(tmp_path / "one.ckpt"))
    other = fit(toy_root, MetricsHistory(tmp_path / "other.ckpt"), workers=1)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("control", ["oracle", "skip"])
def test_controls_train_and_log_what_they_use(control, toy_root, tmp_path):
    history = MetricsHistory(tmp_path / "control.ckpt")
    method = fit(toy_root, history, unlabelled_rows=control)
    logged = {name for name in history.metrics[-1] if name.startswith(("train/", "share/", "threshold/"))}
    own = {"train/expr", "train/labelled", "train/va", "train/total"}
    assert logged == (own | {"train/unlabelled"} if control == "oracle" else own)
    assert any(text.startswith("a control") for text in SSMFAR.caveats(method.settings))
    assert all(p.isfinite().all() for p in method.parameters())


def test_the_share_of_believed_rows_is_not_a_loss(toy_root, tmp_path):
    """It is 0 in so short a training, which a loss would be warned of for."""
    history = MetricsHistory(tmp_path / "share.ckpt")
    fit(toy_root, history)
    assert history.metrics[-1]["share/believed"] == 0
    assert "train/believed" not in history.metrics[-1]
    assert history.metrics[-1]["train/unlabelled"] == 0  # this one is, and rightly


def test_fully_labelled_rows_train_the_supervised_part_alone(toy_root, tmp_path):
    history = MetricsHistory(tmp_path / "full.ckpt")
    method = fit(toy_root, history, fraction=1.0)
    assert method.task.unlabelled == 0
    assert not any(name.startswith(("threshold/", "train/unlabelled")) for name in history.metrics[-1])
    assert "train/va" in history.metrics[-1]


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
