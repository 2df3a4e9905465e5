"""ssmfar: the exact network, each loss by hand, thresholds, two processes and learning."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.errors import UsageError
from fer_bench.methods.base import count_parameters
from fer_bench.methods.ssmfar import losses
from fer_bench.methods.ssmfar.method import SSMFAR, SSMFARSettings
from fer_bench.methods.ssmfar.network import ActionUnitHeads, SSMFARNetwork
from tests.data.toy import running_trainer
from tests.methods import ssmfar_toy

EIGHT = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "other")
THREE = EIGHT[:3]
LOG2, LOG3, LOG4 = math.log(2), math.log(3), math.log(4)
NAN = float("nan")


def make(task: Task | None = None, **settings: object) -> SSMFAR:
    torch.manual_seed(0)
    chosen = SSMFARSettings(**{"backbone": "narrow", "size": 32, "dropout": 0.0, **settings})
    return SSMFAR(task or full_task(), chosen, TrainSettings(max_epochs=1, batch_size=8))


def full_task(classes: tuple[str, ...] = THREE, unlabelled: int = 4) -> Task:
    return Task(
        classes,
        (4,) * len(classes),
        has_va=True,
        has_au=True,
        au_counts=((6, 2),) * 12,
        unlabelled=unlabelled,
    )


def make_batch(rows: int = 8, seed: int = 0) -> Batch:
    """Return a batch whose last half has no label, whose first row has neither affect nor units."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % 3
    label[rows // 2 :] = -1
    va = torch.rand(rows, 2, generator=generator) * 2 - 1
    va[0] = NAN
    au = torch.randint(0, 2, (rows, 12), generator=generator)
    au[0] = -1
    return {
        "image": torch.randn(rows, 3, 32, 32, generator=generator),
        "strong": torch.randn(rows, 3, 32, 32, generator=generator),
        "label": label,
        "va": va,
        "au": au,
        "row": torch.arange(rows),
    }


def test_parameters_are_the_authors():
    with torch.device("meta"):
        network = SSMFARNetwork(8, backbone="resnet18", with_va=True, with_au=True)
    assert count_parameters(network.backbone) == 11_176_512
    assert count_parameters(network) == 11_176_512 + 115_286


def test_shapes_at_the_authors_size():
    with torch.device("meta"):
        network = SSMFARNetwork(8, backbone="resnet18", with_va=True, with_au=True)
        found = network(torch.zeros(2, 3, 224, 224))
    assert (found.expression.shape, found.va.shape, found.au.shape) == ((2, 8), (2, 2), (2, 12))


@pytest.mark.parametrize(("has_va", "has_au"), [(False, False), (True, False), (False, True)])
def test_heads_are_absent_where_the_data_lack_them(has_va, has_au):
    task = Task(THREE, (4, 4, 4), has_va=has_va, has_au=has_au, au_counts=((1, 1),) * 12 if has_au else ())
    method = make(task)
    prediction = method.eval()(torch.zeros(2, 3, 32, 32))
    assert (prediction.va is not None, prediction.au is not None) == (has_va, has_au)
    method.train().training_step(make_batch(), 0).backward()
    assert all(p.grad is not None for p in method.parameters())


@pytest.mark.parametrize("scale", [1.0, 14.0])
def test_predictions_stay_in_range_and_heads_read_a_feature_of_the_set_length(scale):
    assert SSMFARSettings().feature_scale == 1.0
    method = make(feature_scale=scale).eval()
    with torch.no_grad():
        method.network.va[2].bias.copy_(torch.tensor([5.0, -5.0]))
        prediction = method(torch.randn(3, 3, 32, 32))
    assert prediction.va.tolist() == [[1.0, -1.0]] * 3
    seen = []
    method.network.expression.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    method(torch.randn(3, 3, 32, 32))
    torch.testing.assert_close(seen[0].norm(dim=1), torch.full((3,), scale))


def test_each_action_unit_reads_its_own_branch():
    heads = ActionUnitHeads(5)
    feature = torch.randn(4, 5)
    hidden = [
        F.relu(
            feature @ heads.branches.weight[16 * k : 16 * k + 16].T
            + heads.branches.bias[16 * k : 16 * k + 16]
        )
        for k in range(12)
    ]
    expected = torch.stack([h @ heads.weight[k] + heads.bias[k] for k, h in enumerate(hidden)], dim=1)
    torch.testing.assert_close(heads(feature), expected)


def test_class_weights_are_the_authors_list():
    counts = (23_976, 4_555, 3_168, 3_122, 18_135, 7_609, 5_228, 24_852)
    expected = [3.7807, 19.9001, 28.6127, 29.0343, 4.9983, 11.9129, 17.3384, 3.6474]
    assert losses.class_weights(counts).tolist() == pytest.approx(expected, abs=5e-5)
    labels = np.repeat(np.arange(8), counts)
    balanced = compute_class_weight("balanced", classes=np.arange(8), y=labels)  # N / (8 n_k)
    assert losses.class_weights(counts).tolist() == pytest.approx((8 * balanced).tolist())
    assert losses.class_weights((3, 0, 1)).tolist() == pytest.approx([4 / 3, 0, 4])


def test_weights_of_action_units_are_the_authors_list():
    positive = (18_713, 8_745, 20_342, 30_605, 41_337, 38_286, 26_783, 2_460, 2_980, 5_003, 70_584, 10_756)
    expected = [2.7605, 5.9071, 2.5395, 1.6879, 1.2497, 1.3493, 1.9288, 20.9992, 17.3349, 10.3254, 0.7319]
    found = losses.au_weights(tuple((103_316 - p, p) for p in positive)).tolist()
    assert found == pytest.approx([*expected, 4.8027], abs=5e-5)
    assert losses.au_weights(((5, 0),)).tolist() == [1]


def test_labelled_loss_by_hand():
    logits = torch.tensor([[0.0, LOG3], [5.0, 1.0], [0.0, 0.0]])
    label = torch.tensor([1, -1, 0])
    # Mean over two rows, not over the weights 4 and 10.
    expected = (10 * math.log(4 / 3) + 4 * LOG2) / 2
    assert losses.labelled_loss(logits, label, torch.tensor([4.0, 10.0])).item() == pytest.approx(expected)
    assert losses.labelled_loss(logits, torch.full((3,), -1), torch.ones(2)).item() == 0


def test_pseudo_labels_are_believed_from_the_threshold_of_their_class_on():
    logits = torch.tensor([[LOG4, 0.0], [0.0, LOG4], [LOG4, 0.0], [0.0, 0.0]])  # 0.8, 0.8, 0.8, 0.5
    unlabelled = torch.tensor([True, True, False, True])
    answer, believed = losses.pseudo_labels(logits, torch.tensor([0.79, 0.81]), unlabelled)
    assert answer[:3].tolist() == [0, 1, 0]
    assert believed.tolist() == [True, False, False, False]


def test_unlabelled_loss_by_hand():
    strong = torch.tensor([[0.0, LOG3], [0.0, 0.0], [3.0, 0.0]])
    unlabelled, believed = torch.tensor([True, True, False]), torch.tensor([True, False, False])
    found = losses.unlabelled_loss(
        strong, torch.tensor([1, 0, 0]), believed, unlabelled, torch.tensor([2.0, 6.0])
    )
    assert found.item() == pytest.approx(6 * math.log(4 / 3) / 2)  # over both unlabelled rows


def test_consistency_loss_by_hand():
    weak, strong = torch.tensor([[LOG3, 0.0], [9.0, 0.0]]), torch.tensor([[0.0, LOG3], [0.0, 9.0]])
    # p = (3/4, 1/4), q = (1/4, 3/4): KL each way is 3/4 log2 3 - 1/4 log2 3 = log2(3) / 2.
    found = losses.consistency_loss(weak, strong, torch.tensor([True, False]))
    assert found.item() == pytest.approx(math.log2(3))
    p, q = weak.softmax(1), strong.softmax(1)
    torch_way = (F.kl_div(q.log(), p, reduction="none") + F.kl_div(p.log(), q, reduction="none")).sum(
        1
    ) / LOG2
    both = losses.consistency_loss(weak, strong, torch.tensor([True, True]))
    torch.testing.assert_close(both, torch_way.mean())
    assert losses.consistency_loss(weak, strong, torch.zeros(2, dtype=torch.bool)).item() == 0


def test_consistency_reaches_both_views_and_pseudo_labels_none():
    weak, strong = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    losses.consistency_loss(weak, strong, torch.ones(4, dtype=torch.bool)).backward()
    assert weak.grad.abs().sum() > 0
    assert strong.grad.abs().sum() > 0
    assert not losses.pseudo_labels(weak, torch.zeros(3), torch.ones(4, dtype=torch.bool))[0].requires_grad


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("unlabelled_nonconfident", [False, False, True, False, True]),
        ("all", [True] * 5),
        # Of the unlabelled rows 1, 2, 4 the first is believed; these flags fall on 0, 1, 2; 3, 4 count.
        ("repo", [False, True, True, True, True]),
    ],
)
def test_consistency_rows(scope, expected):
    unlabelled = torch.tensor([False, True, True, False, True])
    believed = torch.tensor([False, True, False, False, False])
    assert losses.consistency_rows(unlabelled, believed, scope).tolist() == expected


def test_expression_loss_by_hand():
    parts = [torch.tensor(v) for v in (2.0, 4.0, 8.0)]
    assert losses.expression_loss(*parts, torch.tensor([False, True])).item() == 0.5 * (2 + 4) + 0.5 * 8
    assert losses.expression_loss(*parts, torch.tensor([False, False])).item() == 2


def test_action_unit_loss_by_hand():
    logits = torch.zeros(2, 12)
    logits[0, 0] = LOG3
    truth = torch.full((2, 12), -1)
    truth[0, 0], truth[0, 1], truth[1, 0] = 1, 0, 0
    positive = torch.full((12,), 5.0)
    expected = (5 * math.log(4 / 3) + LOG2 + LOG2) / 3
    assert losses.action_unit_loss(logits, truth, positive).item() == pytest.approx(expected)
    assert losses.action_unit_loss(logits, torch.full((2, 12), -1), positive).item() == 0


def test_affect_loss_by_hand():
    predicted = torch.tensor([[1.0, 0.0], [3.0, 0.5], [7.0, 7.0], [5.0, 1.0]])
    truth = torch.tensor([[1.0, 0.0], [2.0, 0.5], [NAN, 0.3], [3.0, 1.0]])
    # Valence 1, 3, 5 of 1, 2, 3: sample variances 4 and 1, covariance 2, means 3 and 2. Arousal is perfect.
    ccc = 2 * 2 / (4 + 1 + 1)
    assert losses.affect_loss(predicted, truth).item() == pytest.approx((1 - ccc) / 2, abs=1e-6)


@pytest.mark.parametrize("known", [0, 1])
def test_affect_loss_of_fewer_than_two_rows_is_zero_with_a_finite_gradient(known):
    predicted = torch.randn(4, 2, requires_grad=True)
    truth = torch.full((4, 2), NAN)
    truth[:known] = 0.5
    loss = losses.affect_loss(predicted, truth)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad.abs().sum() == 0


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 50])
def test_thresholds_by_hand(epoch):
    factor = {1: 0.709, 2: 0.854, 3: 0.924, 4: 0.953, 50: 0.97}[epoch]
    found = losses.adaptive_thresholds(torch.tensor([3.0, 1.9, 0.0]), torch.tensor([3.0, 2.0, 0.0]), epoch)
    expected = [max(0.8, factor), max(0.8, factor * 0.95), 0.8]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


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
    assert parts["consistency"].item() == 0  # nobody is left that is not believed


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


def test_network_is_exportable():
    network = make().network.eval()
    image = torch.rand(2, 3, 32, 32)
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for one, other in zip(program.module()(image[:1]), network(image[:1]), strict=True):
        torch.testing.assert_close(one, other)


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


class Keep(Checkpoint):
    """Save after the method's own end of epoch, as runs do, and remember the metrics."""

    def __init__(self, file: Path) -> None:
        self.file, self.metrics = file, []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: SSMFAR) -> None:
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.file)


def fit(root: Path, keep: Keep, *, seed: int = 0, resume: Path | None = None, **options: object) -> SSMFAR:
    method, data = ssmfar_toy.method_and_data(root, seed=seed, **options)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[keep],
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
    keep = Keep(tmp_path / "first.ckpt")
    whole = fit(toy_root, keep)
    resumed = fit(toy_root, Keep(tmp_path / "other.ckpt"), seed=5, resume=tmp_path / "first.ckpt")
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
    shown = [keep.metrics[-1][f"threshold/{name}"] for name in data.classes]
    assert shown == pytest.approx(expected.tolist())


def test_loader_processes_change_nothing(toy_root, tmp_path):
    one = fit(toy_root, Keep(tmp_path / "one.ckpt"))
    other = fit(toy_root, Keep(tmp_path / "other.ckpt"), workers=1)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_fully_labelled_rows_train_the_supervised_part_alone(toy_root, tmp_path):
    keep = Keep(tmp_path / "full.ckpt")
    method = fit(toy_root, keep, fraction=1.0)
    assert method.task.unlabelled == 0
    assert not any(name.startswith(("threshold/", "train/unlabelled")) for name in keep.metrics[-1])
    assert "train/va" in keep.metrics[-1]


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
