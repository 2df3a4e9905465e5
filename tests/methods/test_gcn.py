"""gcn: sizes, losses against hand computations, references and learning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from fer_bench.config import MethodSettings, TrainSettings, build
from fer_bench.data.batch import Batch, Task
from fer_bench.errors import UsageError
from fer_bench.methods.base import count_parameters
from fer_bench.methods.gcn import method as m
from fer_bench.methods.gcn.method import GCN, GCNSettings
from fer_bench.methods.gcn.network import GCNNetwork, contrast, encoder, unit_features

SEVEN = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
TRAIN = TrainSettings(max_epochs=1, batch_size=8)


def make(classes: tuple[str, ...] = SEVEN, **settings: object) -> GCN:
    torch.manual_seed(0)
    chosen = GCNSettings(**{"width": 0.1, "hidden": 16, **settings})
    return GCN(Task(classes, (1,) * len(classes), has_reference=True), chosen, TRAIN)


def make_batch(rows: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(3)
    image, reference = torch.rand(2, rows, 1, 64, 64, generator=generator).repeat(1, 1, 3, 1, 1) * 2 - 1
    return {
        "image": image,
        "reference": reference,
        "has_reference": torch.ones(rows, dtype=torch.bool),
        "label": torch.arange(rows) % len(SEVEN),
    }


def test_sizes_of_the_paper():
    network = GCNNetwork(7)
    flows = network.flows(torch.zeros(2, 1, 64, 64))
    assert flows.logits.shape == (2, 7)
    assert flows.reference.shape == (2, 1, 64, 64)
    assert flows.query_code.shape == flows.reference_code.shape == (2, 96, 8, 8)
    assert flows.query_feature.shape == flows.reference_feature.shape == (2, 6144)
    assert network.reconstruct(flows.query_code).shape == (2, 1, 64, 64)
    shapes = [
        tuple(layer(torch.zeros(1, layer.in_channels, 64, 64)).shape[1:2])
        for layer in convolutions(network.encoder1)
    ]
    assert shapes == [(32,), (64,), (96,)]
    assert [c.out_channels for c in convolutions(network.decoder1)] == [64, 32, 1]


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("kernel", "encoder_size", "decoder_size"), [(3, 74_208, 74_113), (5, 205_792, 205_697)]
)
def test_parameters_of_the_paper(kernel, encoder_size, decoder_size):
    network = GCNNetwork(7, kernel=kernel, batch_norm=False)
    assert count_parameters(network.encoder1) == count_parameters(network.encoder2) == encoder_size
    assert count_parameters(network.decoder1) == count_parameters(network.decoder2) == decoder_size
    assert count_parameters(network.classifier) == 6144 * 512 + 512 + 512 * 7 + 7


def test_width_keeps_four_channels():
    network = GCNNetwork(7, width=0.05, hidden=8)
    assert [c.out_channels for c in convolutions(network.encoder2)] == [4, 4, 5]


def test_pooling_is_the_asked_kind():
    assert any(isinstance(layer, nn.AvgPool2d) for layer in encoder((4, 4, 4), 3, "average", True))
    assert not any(isinstance(layer, nn.AvgPool2d) for layer in encoder((4, 4, 4), 3, "max", True))


def test_even_kernel_is_refused():
    with pytest.raises(UsageError, match="kernel must be odd"):
        build(GCNSettings, {"kernel": 4}, "test")


def test_features_have_unit_length_even_in_half_precision():
    code = torch.rand(3, 5, 8, 8).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = unit_features(code)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(
        features, code.float().flatten(1) / code.float().flatten(1).norm(dim=1, keepdim=True)
    )
    assert unit_features(torch.zeros(1, 5, 8, 8)).isfinite().all()


def test_contrast_by_hand():
    query, reference = torch.tensor([[0.6, 0.8, 0.0, 0.0]]), torch.tensor([[0.0, 0.6, 0.8, 0.0]])
    torch.testing.assert_close(
        contrast(query, reference, "absolute"), 2 * torch.tensor([[0.6, 0.2, 0.8, 0.0]])
    )
    torch.testing.assert_close(
        contrast(query, reference, "squared"), 4 * torch.tensor([[0.36, 0.04, 0.64, 0.0]])
    )


def test_classification_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -2.0], [0.0, 0.0]])
    label = torch.tensor([1, -1, 0])
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert m.classification_loss(logits, label).item() == pytest.approx(expected)


def test_generation_loss_by_hand():
    generated, target = torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    target[0] = torch.tensor([[1.0, 2.0], [0.0, 0.0]])  # 5 / 4
    target[1] = 100.0
    target[2, 0, 0, 0] = 3.0  # 9 / 4
    loss = m.generation_loss(generated, target, torch.tensor([True, False, True]))
    assert loss.item() == pytest.approx((5 / 4 + 9 / 4) / 2)


def test_reconstruction_loss_by_hand():
    zeros = torch.zeros(2, 1, 2, 2)
    image = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)])
    target = torch.stack([torch.full((1, 2, 2), 2.0), torch.full((1, 2, 2), 50.0)])
    loss = m.reconstruction_loss(zeros, image, zeros, target, torch.tensor([True, False]))
    assert loss.item() == pytest.approx((1 + 9) / 2 + 4)


def test_contrastive_loss_by_hand():
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    reference = torch.tensor([[0.8, 0.6], [0.8, 0.6], [0.0, -1.0], [0.0, 1.0]])
    labelled = torch.tensor([True, True, True, False])
    neutral = torch.tensor([True, False, False, False])
    squared = 0.2**2 + 0.6**2
    # Neutral: d^2. Expressive, too near: (margin - d)^2. Expressive, d = sqrt(3.6) beyond the margin: 0.
    expected = (squared + (1.0 - math.sqrt(squared)) ** 2 + 0.0) / 3
    assert m.contrastive_loss(query, reference, labelled, neutral, 1.0).item() == pytest.approx(expected)


def test_contrastive_loss_has_a_finite_slope_at_distance_zero():
    query = torch.tensor([[0.6, 0.8]], requires_grad=True)
    m.contrastive_loss(
        query, query.detach().clone(), torch.tensor([True]), torch.tensor([False]), 1.0
    ).backward()
    assert query.grad.isfinite().all()


def test_masked_mean_of_nothing_is_zero_with_a_gradient():
    values = torch.ones(3, requires_grad=True)
    loss = m.masked_mean(values, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(values.grad, torch.zeros(3))


def test_step_adds_the_weighted_losses_and_logs_each(monkeypatch):
    method = make(generation=2.0, reconstruction=3.0, contrastive=5.0)
    logged = {}
    monkeypatch.setattr(method, "log_losses", lambda size, **losses: logged.update(losses, size=size))
    total = method.training_step(make_batch(4), 0)
    assert set(logged) == {"cls", "gen", "con", "rec", "total", "size"}
    expected = logged["cls"] + 2 * logged["gen"] + 5 * logged["con"] + 3 * logged["rec"]
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(total, logged["total"])
    assert logged["size"] == 4


def test_losses_of_a_step_are_those_of_its_flows():
    method = make().eval()  # fixed batch norm, so that the flows can be computed again
    batch = make_batch(4)
    batch["label"] = torch.tensor([0, 1, -1, 2])
    batch["has_reference"] = torch.tensor([True, False, True, False])
    parts = method.losses(batch)
    image, reference = batch["image"][:, :1], batch["reference"][:, :1]
    flows = method.network.flows(image)
    drawn = [
        ((method.network.reconstruct(c) - t) ** 2).mean(dim=(1, 2, 3))
        for c, t in ((flows.query_code, image), (flows.reference_code, reference))
    ]
    known = [0, 2]
    torch.testing.assert_close(parts.gen, ((flows.reference - reference) ** 2)[known].mean())
    torch.testing.assert_close(parts.rec, drawn[0].mean() + drawn[1][known].mean())
    distance = (flows.query_feature - flows.reference_feature).norm(dim=1)
    apart = (1.0 - distance).clamp(min=0) ** 2
    torch.testing.assert_close(parts.con, (distance[0] ** 2 + apart[1] + apart[3]) / 3)
    kept = torch.tensor([0, 1, 3])
    torch.testing.assert_close(
        parts.cls, nn.functional.cross_entropy(flows.logits[kept], batch["label"][kept])
    )


def test_reference_pixels_of_rows_without_one_do_not_matter():
    method = make().eval()
    batch = make_batch(4)
    batch["label"] = torch.tensor([1, 2, 3, -1])
    batch["has_reference"] = torch.tensor([True, False, False, False])
    before = method.losses(batch)
    batch["reference"][1:] = 77.0
    assert all(torch.equal(a, b) for a, b in zip(before, method.losses(batch), strict=True))


def test_neutral_row_without_reference_is_its_own():
    image, reference = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    target, known = m.reference_target(
        image, reference, torch.tensor([True, False, False]), torch.tensor([True, True, False])
    )
    assert known.tolist() == [True, True, False]
    assert torch.equal(target[0], reference[0])
    assert torch.equal(target[1], image[1])


def test_batch_without_any_reference_or_label_gives_a_finite_step():
    method = make(classes=SEVEN[1:])
    batch = make_batch(4)
    batch["has_reference"][:] = False
    batch["label"][:] = -1
    parts = method.losses(batch)
    assert parts.cls.item() == parts.gen.item() == parts.con.item() == 0
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


def test_contrastive_encoder_is_shared_by_both_flows():
    method = make().eval()
    flows = method.network.flows(make_batch(2)["image"][:, :1])
    torch.testing.assert_close(flows.reference_code, method.network.encoder2(flows.reference))
    torch.testing.assert_close(flows.query_code, method.network.encoder2(make_batch(2)["image"][:, :1]))


def test_adaptation_is_told():
    assert GCN.adaptation(Task(SEVEN, (1,) * 7, has_reference=True)) is None
    assert "its own reference" in GCN.adaptation(Task(SEVEN, (1,) * 7))
    assert "nor rows labelled neutral" in GCN.adaptation(Task(SEVEN[1:], (1,) * 6))


def test_input_is_one_grey_channel_between_minus_one_and_one():
    spec = GCN.input_spec(GCNSettings())
    assert (spec.size, spec.grey, spec.mean, spec.std) == (64, True, (0.5,) * 3, (0.5,) * 3)
    method, image = make().eval(), make_batch(2)["image"]
    other = image.clone()
    other[:, 1:] = 0
    assert torch.equal(method(image).logits, method(other).logits)


def test_network_is_exportable():
    network = make().network.eval()
    image = make_batch(2)["image"][:, :1].contiguous()
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for one, other in zip(program.module()(image[:1]), network(image[:1]), strict=True):
        torch.testing.assert_close(one, other)


def test_schedule_ends_with_the_training(monkeypatch):
    method = make(lr=0.01)
    method._trainer = type("T", (), {"estimated_stepping_batches": 20})()
    config = method.configure_optimizers()
    schedule = config["lr_scheduler"]["scheduler"]
    assert isinstance(schedule, OneCycleLR)
    rates = []
    for _ in range(20):
        rates.append(config["optimizer"].param_groups[0]["lr"])
        config["optimizer"].step()
        schedule.step() if len(rates) < 20 else None
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] < 1e-6


def test_overfits_eight_images():
    method = make(classes=SEVEN[1:], lr=0.01, width=0.2, hidden=32)
    batch = make_batch(8)
    batch["label"] = torch.arange(8) % 6
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    first = method.losses(batch)
    for _ in range(80):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()
    last = method.losses(batch)
    assert last.cls < 0.1
    assert last.gen < first.gen
    assert last.rec < first.rec
    predicted = method.network.flows(batch["image"][:, :1]).logits.argmax(dim=1)
    assert torch.equal(predicted, batch["label"])


def test_settings_are_closed():
    assert issubclass(GCNSettings, MethodSettings)
    with pytest.raises(UsageError, match="width"):
        build(GCNSettings, {"widht": 1}, "test")
