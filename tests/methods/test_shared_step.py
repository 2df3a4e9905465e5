"""Losses and gradients of two real processes are those of one with the rows of both."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fer_bench.config import TrainSettings, build
from fer_bench.data.batch import Batch, Task
from fer_bench.methods import BUILT_IN, get
from fer_bench.methods.base import Method
from fer_bench.methods.shared_step import of_first_process, step_mean, step_sum
from fer_bench.runs.training.callbacks import RowWeightingCallback
from tests.methods.test_base import TINY
from tests.methods.two_processes import Step, joined, run_two

CLASSES = ("neutral", "happiness", "surprise")
TASK = Task(
    CLASSES,
    (4, 5, 6),
    has_va=True,
    has_au=True,
    has_reference=True,
    au_counts=((4, 3),) * 12,
    unlabelled=4,
)
ROWS = 9
LABELS = (0, -1, 1, -1, 2, -1, 2, 1, 0)
"""Of the rows of the second process (every other one) three lack a label, of those of the first none does."""
CASES = {
    **{name: (name, {}) for name in BUILT_IN},
    "gcn with a GAN": ("gcn", {"generator": "gan"}),
    "gcn with true neutral frames": ("gcn", {"neutral_flow": 1.0}),
    "ssmfar, every row consistent": ("ssmfar", {"consistency_scope": "all"}),
    "ssmfar, mixed": ("ssmfar", {"batches": "mixed"}),
    "ssmfar with an oracle": ("ssmfar", {"unlabelled_rows": "oracle"}),
}


def method_of(case: str) -> Method:
    """Return a small method without what depends on a process's own rows: batch statistics and dropout."""
    name, more = CASES[case]
    kind = get(name)
    torch.manual_seed(0)
    settings = build(kind.settings_type, {**TINY[name], **more}, "test")
    method = kind(TASK, settings, TrainSettings(max_epochs=1, batch_size=4))
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if name == "ssmfar":
        method.thresholds.copy_(torch.tensor([0.0, 1.0, 0.0]))  # so that some pseudo-labels are believed
    return method


def batch_of(method: Method) -> Batch:
    generator = torch.Generator().manual_seed(1)
    size = method.input_spec(method.settings).size
    image, reference, strong = torch.randn(3, ROWS, 3, size, size, generator=generator)
    va = torch.rand(ROWS, 2, generator=generator) * 2 - 1
    va[1::4] = torch.nan
    au = torch.randint(-1, 2, (ROWS, 12), generator=generator)
    au[::2, 3] = -1
    return {
        "image": image,
        "reference": reference,
        "strong": strong,
        "has_reference": torch.arange(ROWS) % 4 == 1,  # in the second process alone
        "label": torch.tensor(LABELS),
        "hidden_label": torch.where(torch.tensor(LABELS) < 0, torch.arange(ROWS) % 3, -1),
        "va": va,
        "au": au,
    }


def step(method: Method, batch: Batch, forward: nn.Module, *, together: bool) -> dict[str, torch.Tensor]:
    """Return gradients and logged losses of a step, weighted as runs do."""
    loss = forward(batch)
    if together:
        weighting, trainer = RowWeightingCallback(), SimpleNamespace(world_size=2)
        weighting.on_train_batch_start(trainer, method, batch, 0)
        weighting.on_before_backward(trainer, method, loss)
    loss.backward()
    found = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}

    def add(sums: torch.Tensor) -> torch.Tensor:
        if together:
            torch.distributed.all_reduce(sums)
        return sums

    return {**found, **method.epoch_losses.take(add)}


def ddp_worker(rank: int, folder: str) -> None:
    """Take one step of every case with this process's share of the rows, and save what came out."""
    from torch.nn.parallel import DistributedDataParallel

    with joined(rank, folder):
        found = {}
        for case in CASES:
            method = method_of(case)
            own = {name: value[rank::2] for name, value in batch_of(method).items()}
            forward = DistributedDataParallel(Step(method), find_unused_parameters=True)
            torch.manual_seed(5 + rank)
            found[case] = step(method, own, forward, together=True)
        values = torch.arange(5.0)[rank::2].requires_grad_()
        mean = step_mean(values, torch.tensor([True, True, False])[: len(values)])
        mean.backward()
        found["mean"] = {"value": mean.detach(), "gradient": values.grad}
        found["sum"] = {"value": step_sum(torch.tensor([rank + 1, 2 * rank]), 4)}
        found["draw"] = {"value": of_first_process(torch.tensor([float(rank)]))}
        torch.save(found, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    run_two(__name__, folder, seconds=400)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.long
def test_two_processes_step_as_one(found, case):
    method = method_of(case)
    torch.manual_seed(5)  # random draws that hold for a step are those of the first process
    wanted = step(method, batch_of(method), Step(method), together=False)
    assert "train/total" in wanted
    for own in found:
        assert own[case].keys() == wanted.keys()
        for name, value in wanted.items():
            scale = max(1e-3, float(value.abs().max()))
            torch.testing.assert_close(own[case][name] / scale, value / scale, rtol=0, atol=2e-4, msg=name)


def test_the_comparison_tells_means_of_each_process(found, monkeypatch):
    """Were labelled rows counted by each process on its own, the loss would be another one."""
    method, batch = method_of("resemotenet"), None
    batch = batch_of(method)
    whole = method.training_step(batch, 0).detach()
    parts = [method.training_step({n: v[rank::2] for n, v in batch.items()}, 0).detach() for rank in (0, 1)]
    apart = (5 * parts[0] + 4 * parts[1]) / 9
    assert abs(apart - whole) > 1e-3
    torch.testing.assert_close(found[0]["resemotenet"]["train/total"], whole, rtol=1e-5, atol=1e-5)


def test_means_sums_and_draws_of_two_processes(found):
    first, second = found
    # Of 0, 2, 4 and 1, 3 the first two of each process count: 0, 2, 1 and 3.
    assert first["mean"]["value"] == second["mean"]["value"] == 1.5
    # Weighted by rows (3 and 2 of 5) and averaged, these are the gradients 1/4 of the mean.
    torch.testing.assert_close(first["mean"]["gradient"] * 3 / 5, torch.tensor([0.25, 0.25, 0.0]))
    torch.testing.assert_close(second["mean"]["gradient"] * 2 / 5, torch.tensor([0.25, 0.25]))
    assert first["sum"]["value"].tolist() == second["sum"]["value"].tolist() == [3, 2]
    assert first["draw"]["value"] == second["draw"]["value"] == 0


def test_alone_nothing_changes():
    values, counts = torch.arange(4.0, requires_grad=True), torch.tensor([True, False, True, False])
    assert step_mean(values, counts) == 1
    assert step_mean(values, torch.zeros(4, dtype=torch.bool)) == 0
    assert step_sum(values, 4) is values
    assert of_first_process(values) is values
