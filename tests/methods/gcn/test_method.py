"""gcn: losses of a step, references, the schedule and learning."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Task
from fer_bench.errors import UsageError
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.schedule import cycle_share
from fer_bench.methods.gcn.settings import GCNSettings
from fer_bench.methods.size import count_parameters
from tests.methods.gcn.small import SEVEN, make, make_batch


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"variant": "S0R0"}, {"classification", "generation"}),
        ({"variant": "S1R0"}, {"classification", "generation", "contrastive"}),
        ({"variant": "S0R1"}, {"classification", "generation", "reconstruction"}),
        (
            {"variant": "S1R1"},
            {"classification", "generation", "contrastive", "reconstruction"},
        ),
        (
            {"variant": "S0R0", "similarity": "sharing"},
            {"classification", "generation", "contrastive"},
        ),
        ({"generator": "residual", "variant": "S0R0"}, {"classification", "generation"}),
        (
            {"variant": "S1R0", "neutral_flow": 13.0},
            {
                *("classification", "generation", "contrastive"),
                *("neutral_classification", "neutral_contrastive"),
            },
        ),
        ({"generator": "none"}, {"classification"}),
        ({"generator": "vae", "variant": "S0R0"}, {"classification", "generation", "divergence"}),
        (
            {"generator": "gan", "variant": "S0R0"},
            {"classification", "generation", "adversarial", "discriminator"},
        ),
    ],
)
def test_every_form_logs_its_losses_and_adds_them_weighted(monkeypatch, settings, names):
    weights = {
        "generation": 2.0,
        "reconstruction": 3.0,
        "contrastive": 5.0,
        "divergence": 7.0,
        "adversarial": 11.0,
    }
    weighed = {"neutral_classification": 13.0, "neutral_contrastive": 13.0 * 5.0}
    method = make(**weights, **settings)
    logged = {}
    monkeypatch.setattr(method, "log_losses", lambda size, **losses: logged.update(losses, size=size))
    shares = {}
    monkeypatch.setattr(method, "log_shares", lambda size, **found: shares.update(found))
    total = method.training_step(make_batch(4), 0)
    assert set(logged) == {*names, "total", "size"}
    assert set(shares) == ({"within_margin"} if "contrastive" in names else set())
    torch.testing.assert_close(total, sum((weights | weighed).get(n, 1.0) * logged[n] for n in names))
    torch.testing.assert_close(total, logged["total"])
    assert logged["size"] == 4
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_losses_of_a_step_are_those_of_its_flows():
    # Fixed batch norm, so that the flows can be computed again.
    method = make(pixel_loss="squared", margin=1.0).eval()
    batch = make_batch(4)
    batch["label"] = torch.tensor([0, 1, -1, 2])
    batch["has_reference"] = torch.tensor([True, False, True, False])
    parts = method.losses(batch)
    image, reference = batch["image"][:, :1], batch["reference"][:, :1]
    flows = method.network.flows(image)
    drawn = [
        ((face - truth) ** 2).mean(dim=(1, 2, 3))
        for face, truth in zip(
            method.network.reconstruct(flows.query, flows.reference), (image, reference), strict=True
        )
    ]
    known = [0, 2]
    torch.testing.assert_close(parts["generation"], ((flows.generated.face - reference) ** 2)[known].mean())
    torch.testing.assert_close(parts["reconstruction"], drawn[0].mean() + drawn[1][known].mean())
    distance = (flows.query.feature - flows.reference.feature).norm(dim=1)
    apart = (1.0 - distance).clamp(min=0) ** 2
    torch.testing.assert_close(parts["contrastive"], (distance[0] ** 2 + apart[1] + apart[3]) / 3)
    kept = torch.tensor([0, 1, 3])
    torch.testing.assert_close(
        parts["classification"], nn.functional.cross_entropy(flows.logits[kept], batch["label"][kept])
    )


def test_reference_pixels_of_rows_without_one_do_not_matter():
    method = make().eval()
    batch = make_batch(4)
    batch["label"] = torch.tensor([1, 2, 3, -1])
    batch["has_reference"] = torch.tensor([True, False, False, False])
    before = method.losses(batch)
    batch["reference"][1:] = 77.0
    after = method.losses(batch)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_hidden_pairs_leave_neutral_rows_their_own_reference():
    method = make(hide_pairs=True, pixel_loss="squared").eval()
    batch = make_batch(4)  # row 0 is neutral
    parts = method.losses(batch)
    image = batch["image"][:, :1]
    face = method.network.generate(image).face
    torch.testing.assert_close(parts["generation"], ((face - image)[0] ** 2).mean())


def test_generator_and_discriminator_train_against_each_other():
    method = make(generator="gan", variant="S0R0", generation=0.0)
    batch = make_batch(4)
    parts = method.losses(batch)
    judge = list(method.discriminator.parameters())
    drawer = [p for part in method.network.generator_parts() for p in part.parameters()]
    assert slopes(parts["adversarial"], judge) == 0
    assert slopes(parts["adversarial"], drawer) > 0
    assert slopes(parts["discriminator"], judge) > 0
    assert slopes(parts["discriminator"], drawer) == 0


def slopes(loss: torch.Tensor, parameters: list[nn.Parameter]) -> float:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return sum(float(g.abs().sum()) for g in found if g is not None)


def test_batch_without_any_reference_or_label_gives_a_finite_step():
    method = make(classes=SEVEN[1:])
    batch = make_batch(4)
    batch["has_reference"][:] = False
    batch["label"][:] = -1
    parts = method.losses(batch)
    assert [parts[n].item() for n in ("classification", "generation", "contrastive")] == [0, 0, 0]
    method.training_step(batch, 0).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_decoder2_and_references_are_for_training_only():
    method = make().eval()

    def refuse(*_: object) -> None:
        raise AssertionError("Decoder2 ran")

    method.network.decoder2.register_forward_hook(refuse)
    prediction = method(make_batch(2)["image"])
    assert prediction.extras["reference"].shape == (2, 1, 64, 64)
    method.validation_step({"image": make_batch(2)["image"], "label": torch.tensor([0, -1])}, 0)
    with pytest.raises(AssertionError, match="Decoder2 ran"):
        method.training_step(make_batch(2), 0)


def test_adaptation_is_told():
    paired, unpaired = Task(SEVEN, (1,) * 7, has_reference=True), Task(SEVEN, (1,) * 7)
    assert GCN.adaptation(paired, GCNSettings()) is None
    assert "no neutral frames" in GCN.adaptation(unpaired, GCNSettings())
    assert "its own reference" in GCN.adaptation(unpaired, GCNSettings())
    assert "no neutral rows" in GCN.adaptation(Task(SEVEN[1:], (1,) * 6), GCNSettings())
    assert "hidden neutral frames" in GCN.adaptation(paired, GCNSettings(hide_pairs=True))
    for task in (paired, unpaired):
        assert GCN.adaptation(task, GCNSettings(generator="none")) is None


def test_input_is_one_grey_channel_between_minus_one_and_one():
    spec = GCN.input_spec(GCNSettings())
    assert (spec.size, spec.grey, spec.mean, spec.std) == (64, True, (0.5,) * 3, (0.5,) * 3)
    method, image = make().eval(), make_batch(2)["image"]
    other = image.clone()
    other[:, 1:] = 0
    assert torch.equal(method(image).logits, method(other).logits)


def test_schedule_ends_with_the_training(monkeypatch):
    method = make(lr=0.01)
    method._trainer = type("T", (), {"estimated_stepping_batches": 20})()
    config = method.configure_optimizers()
    schedule = config["lr_scheduler"]["scheduler"]
    assert isinstance(schedule, LambdaLR)
    rates, betas = [], set()
    for _ in range(20):
        (group,) = config["optimizer"].param_groups
        rates.append(group["lr"])
        betas.add(group["betas"])
        config["optimizer"].step()
        schedule.step() if len(rates) < 20 else None
    assert len(betas) == 1
    assert rates == pytest.approx([0.01 * cycle_share(step, 20) for step in range(20)])
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] < 1e-6


def test_two_steps_have_a_cycle_each():
    method = make(schedule="two-step", step_one=0.4, lr=0.01, epochs=5)
    method._trainer = type("T", (), {"estimated_stepping_batches": 50})()
    config = method.configure_optimizers()
    rates, betas = [], set()
    for _ in range(50):
        rates.append([group["lr"] for group in config["optimizer"].param_groups])
        betas |= {group["betas"] for group in config["optimizer"].param_groups}
        config["optimizer"].step()
        config["lr_scheduler"]["scheduler"].step()
    first, second = zip(*rates, strict=True)
    other = make()
    other._trainer = method._trainer
    (group,) = other.configure_optimizers()["optimizer"].param_groups
    assert betas == {group["betas"]}  # neither schedule has a cycle of the momentum
    assert second[20:] == pytest.approx([0.01 * cycle_share(step, 30) for step in range(30)])
    assert all(a > 0 and b == 0 for a, b in rates[:20])
    assert all(a == 0 and b > 0 for a, b in rates[20:])
    assert max(first) == max(second) == pytest.approx(0.01)
    sizes = [sum(p.numel() for p in group["params"]) for group in config["optimizer"].param_groups]
    generator = sum(count_parameters(part) for part in method.network.generator_parts())
    assert sizes == [generator, count_parameters(method) - generator]


def test_two_steps_need_two_epochs():
    one = TrainSettings(max_epochs=1, batch_size=8)
    with pytest.raises(UsageError, match="two epochs"):
        GCN.resolve_train(GCNSettings(schedule="two-step"), one)
    assert GCN.resolve_train(GCNSettings(), one) is one
    for epochs in (2, 3, 20):
        assert 1 <= GCNSettings(schedule="two-step", step_one=0.01).first_epochs(epochs) < epochs
        assert 1 <= GCNSettings(schedule="two-step", step_one=0.99).first_epochs(epochs) < epochs


@pytest.mark.long
@pytest.mark.parametrize("generator", ["residual", "ae", "vae", "gan"])
def test_overfits_eight_images(generator):
    method = make(classes=SEVEN[1:], width=0.2, hidden=32, generator=generator)
    batch = make_batch(8)
    batch["label"] = torch.arange(8) % 6
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    first = method.losses(batch)
    for _ in range(80):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()
    last = method.losses(batch)
    assert last["classification"] < 0.1
    assert last["generation"] < first["generation"]
    assert last["reconstruction"] < first["reconstruction"]
    predicted = method.network.flows(batch["image"][:, :1]).logits.argmax(dim=1)
    assert torch.equal(predicted, batch["label"])
