"""cafe: its losses, its schedule, two processes and learning."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fer_bench.errors import UsageError
from fer_bench.methods.cafe import losses
from tests.methods.cafe.small import make, make_batch, state_of
from tests.methods.two_processes import Step, joined, run_two


def test_training_step_is_the_weighted_sum_of_its_parts():
    method, batch = make(), make_batch()
    torch.manual_seed(1)
    parts = method.losses(batch)
    torch.manual_seed(1)
    total = method.training_step(batch, 0)
    torch.testing.assert_close(total, parts["cls"] + 1.5 * parts["sep"] + 5 * parts["div"])
    assert set(make(separation=0, diversity=0).losses(batch)) == {"cls"}


def test_losses_are_those_of_the_masked_feature():
    method, batch = make().eval(), make_batch()
    torch.manual_seed(2)
    parts = method.losses(batch)
    found = method.network(batch["image"])
    torch.manual_seed(2)
    kept = losses.draw_kept(192, 3, torch.device("cpu"))
    torch.testing.assert_close(parts["cls"], F.cross_entropy(found.logits, batch["label"]))
    dropped = losses.group_maxima(found.feature * kept, 3)
    torch.testing.assert_close(parts["sep"], F.cross_entropy(dropped, batch["label"]))
    torch.testing.assert_close(parts["div"], 1 - losses.group_maxima(found.feature, 3).mean() / 64)


def test_inference_by_groups():
    method = make(inference="groups").eval()
    image = make_batch()["image"]
    torch.testing.assert_close(method(image).logits, losses.group_maxima(method.network(image).feature, 3))


def ddp_worker(rank: int, folder: str) -> None:
    """Train two steps as one of two processes; the tower must not change, the rest is saved."""
    from torch.nn.parallel import DistributedDataParallel

    with joined(rank, folder):
        method = make()
        before = state_of(method.network.tower)
        parallel = DistributedDataParallel(Step(method)).train()
        optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-2)
        for step in range(2):
            optimizer.zero_grad()
            parallel(make_batch(4, seed=10 * step + rank)).backward()
            optimizer.step()
        assert not any(module.training for module in method.network.tower.modules())
        after = method.network.tower.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        torch.save([p.detach() for p in method.network.parameters()], f"{folder}/{rank}.pt")


@pytest.mark.long
def test_two_processes_leave_the_tower_frozen_and_agree_on_the_rest(tmp_path):
    run_two(__name__, tmp_path, seconds=180)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    start = list(make().network.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(first, start, strict=True))


def test_overfits_eight_images():
    method = make()
    batch = make_batch()
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()
    assert method.losses(batch)["cls"] < 0.1


def test_the_rate_decays_by_a_tenth_per_epoch():
    config = make(recipe="paper").configure_optimizers()
    adam, schedule = config["optimizer"], config["lr_scheduler"]
    learning = {id(p) for group in adam.param_groups for p in group["params"]}
    assert learning == {id(p) for p in make_list(schedule.optimizer)}
    adam.step()
    schedule.step()
    assert adam.param_groups[0]["lr"] == pytest.approx(0.9 * 2e-4)


def make_list(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def test_more_classes_than_channels_are_refused():
    with pytest.raises(UsageError, match="one channel per class"):
        make(tuple(f"c{i}" for i in range(193)))
