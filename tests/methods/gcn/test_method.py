"""gcn: sizes, forms, references and learning."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from fer_bench.config import MethodSettings, TrainSettings, build
from fer_bench.data.batch import Batch, Task
from fer_bench.errors import UsageError
from fer_bench.methods.base import count_parameters
from fer_bench.methods.gcn import method as m
from fer_bench.methods.gcn.layers import Decoder, Encoder, convolve_doubled
from fer_bench.methods.gcn.method import GCN, GCNSettings
from fer_bench.methods.gcn.network import GCNNetwork, contrast, unit_features

SEVEN = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")


def make(classes: tuple[str, ...] = SEVEN, epochs: int = 1, **settings: object) -> GCN:
    torch.manual_seed(0)
    chosen = GCNSettings(**{"width": 0.1, "hidden": 16, **settings})
    train = TrainSettings(max_epochs=epochs, batch_size=8)
    return GCN(Task(classes, (1,) * len(classes), has_reference=True), chosen, train)


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
    assert flows.generated.face.shape == (2, 1, 64, 64)
    assert flows.query.code.shape == flows.reference.code.shape == (2, 96, 8, 8)
    assert flows.query.feature.shape == flows.reference.feature.shape == (2, 6144)
    assert [d.shape for d in network.reconstruct(flows.query, flows.reference)] == [(2, 1, 64, 64)] * 2
    for coder in (network.encoder1, network.encoder2):
        assert maps_after(coder, torch.zeros(2, 1, 64, 64)) == [(32, 64), (64, 32), (96, 16)]
    for decoder in (network.decoder1, network.decoder2):
        assert [layer.out_channels for layer in convolutions(decoder)] == [64, 32, 1]
        assert maps_after(decoder, torch.zeros(2, 96, 8, 8)) == [(64, 16), (32, 32)]
        assert decoder(torch.zeros(2, 96, 8, 8)).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_doubled_images_are_convolved_at_their_own_size(kernel, bias):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 2, kernel, padding=kernel // 2, bias=bias).double()
    image = torch.rand(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    doubled = image.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected, found = convolution(doubled), convolve_doubled(image, convolution)
    torch.testing.assert_close(found, expected)
    weights = torch.rand_like(expected)
    inputs = [image, *convolution.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def maps_after(module: nn.Module, given: torch.Tensor) -> list[tuple[int, int]]:
    """Return channels and side of what every convolution puts out."""
    found: list[tuple[int, int]] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:3])))
        for layer in convolutions(module)
    ]
    module(given)
    for hook in hooks:
        hook.remove()
    return found


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("kernel", "encoder_size", "decoder_size"), [(3, 74_208, 74_113), (5, 205_792, 205_697)]
)
def test_parameters_of_the_paper(kernel, encoder_size, decoder_size):
    network = GCNNetwork(7, kernel=kernel, batch_norm=False)
    classifier = 6144 * 512 + 512 + 512 * 7 + 7
    assert count_parameters(network.encoder1) == count_parameters(network.encoder2) == encoder_size
    assert count_parameters(network.decoder1) == count_parameters(network.decoder2) == decoder_size
    assert count_parameters(network.classifier) == classifier
    assert count_parameters(network) == 2 * (encoder_size + decoder_size) + classifier


PLAIN = 74_208 + 6144 * 512 + 512 + 512 * 7 + 7
LATENT = 2 * (96 * 96 + 96)
ADVERSARY = (2 * 32 + 32 * 64 + 64 * 96) * 16 + 32 + 64 + 96 + 96 * 9 + 1


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"generator": "none"}, PLAIN),
        ({"variant": "S0R0"}, PLAIN + 74_208 + 74_113),
        ({"variant": "S1R0"}, PLAIN + 74_208 + 74_113),
        ({"variant": "S0R1"}, PLAIN + 74_208 + 2 * 74_113),
        ({"variant": "S1R1", "unpool": "positions"}, PLAIN + 74_208 + 2 * 74_113),
        ({"variant": "S0R1", "similarity": "sharing"}, PLAIN + 2 * 74_208 + 2 * 74_113),
        ({"variant": "S1R1", "similarity": "sharing"}, PLAIN + 74_208 + 2 * 74_113),
        ({"generator": "vae"}, PLAIN + 74_208 + 2 * 74_113 + LATENT),
        ({"generator": "gan"}, PLAIN + 74_208 + 2 * 74_113 + ADVERSARY),
    ],
)
def test_parameters_of_every_form_at_full_width(settings, parameters):
    method = make(width=1.0, hidden=512, batch_norm=False, **settings)
    assert count_parameters(method) == parameters


def test_width_keeps_four_channels():
    network = GCNNetwork(7, width=0.05, hidden=8)
    assert [c.out_channels for c in convolutions(network.encoder2)] == [4, 4, 5]


def test_pooling_is_the_asked_kind():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    for kind, expected in (("average", [[2.5, 4.5], [10.5, 12.5]]), ("max", [[5.0, 7.0], [13.0, 15.0]])):
        coder = Encoder((1,), 1, kind, False)
        nn.init.ones_(coder.convolutions[0].weight)
        nn.init.zeros_(coder.convolutions[0].bias)
        assert coder(image)[0].squeeze().tolist() == expected


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
    torch.testing.assert_close(
        contrast(query, reference, "signed"), 2 * torch.tensor([[0.6, 0.2, -0.8, 0.0]])
    )


def test_unpooling_puts_values_where_the_maxima_were():
    coder, decoder = Encoder((1,), 1, "max", False, positions=True), Decoder((1,), 1, False)
    for module in (coder, decoder):
        nn.init.ones_(module.convolutions[0].weight)
        nn.init.zeros_(module.convolutions[0].bias)
    image = torch.tensor([[1.0, 9.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    code, positions = coder(image)
    assert code.item() == 9.0
    assert decoder(code, positions).squeeze().tolist() == [[0.0, 9.0], [0.0, 0.0]]
    assert decoder(code).squeeze().tolist() == [[9.0, 9.0], [9.0, 9.0]]


def test_positions_need_max_pooling():
    with pytest.raises(UsageError, match="needs pool=max"):
        build(GCNSettings, {"pool": "average", "unpool": "positions"}, "test")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"variant": "S0R0"}, {"classification", "generation"}),
        ({"variant": "S1R0"}, {"classification", "generation", "contrastive"}),
        ({"variant": "S0R1"}, {"classification", "generation", "reconstruction"}),
        ({"variant": "S1R1"}, {"classification", "generation", "contrastive", "reconstruction"}),
        ({"variant": "S0R0", "similarity": "sharing"}, {"classification", "generation", "contrastive"}),
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
    method = make(**weights, **settings)
    logged = {}
    monkeypatch.setattr(method, "log_losses", lambda size, **losses: logged.update(losses, size=size))
    total = method.training_step(make_batch(4), 0)
    assert set(logged) == {*names, "total", "size"}
    torch.testing.assert_close(total, sum(weights.get(n, 1.0) * logged[n] for n in names))
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


def test_plain_encoder_is_gcn_with_a_reference_of_zero():
    plain = make(generator="none").eval()
    image = make_batch(2)["image"]
    prediction = plain(image)
    assert prediction.extras == {}
    feature = plain.network.flows(image[:, :1]).query.feature
    expected = plain.network.classifier(contrast(feature, torch.zeros_like(feature), "absolute"))
    torch.testing.assert_close(prediction.logits, expected)


def test_vae_draws_in_training_and_takes_the_mean_in_evaluation():
    method = make(generator="vae")
    image = make_batch(2)["image"][:, :1]
    drawn = [method.network.generate(image).face for _ in range(2)]
    assert not torch.equal(*drawn)
    method.eval()
    assert torch.equal(method.network.generate(image).face, method.network.generate(image).face)


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


def test_contrastive_encoder_is_shared_by_both_flows():
    method = make().eval()
    flows = method.network.flows(make_batch(2)["image"][:, :1])
    torch.testing.assert_close(flows.reference.code, method.network.encoder2(flows.generated.face)[0])
    torch.testing.assert_close(flows.query.code, method.network.encoder2(make_batch(2)["image"][:, :1])[0])
    apart = make(variant="S0R1", similarity="sharing").eval()
    flows = apart.network.flows(make_batch(2)["image"][:, :1])
    own = apart.network.encoder2_reference(flows.generated.face)[0]
    torch.testing.assert_close(flows.reference.code, own)
    assert not torch.allclose(own, apart.network.encoder2(flows.generated.face)[0])


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


@pytest.mark.parametrize("generator", ["ae", "vae", "none"])
def test_network_is_exportable(generator):
    network = make(generator=generator).network.eval()
    image = make_batch(2)["image"][:, :1].contiguous()
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for one, other in zip(program.module()(image[:1]), network(image[:1]), strict=True):
        assert (one is None and other is None) or torch.allclose(one, other, rtol=1e-4, atol=1e-5)


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


def test_two_steps_have_a_cycle_each():
    method = make(schedule="two-step", step_one=0.4, lr=0.01, epochs=5)
    method._trainer = type("T", (), {"estimated_stepping_batches": 50})()
    config = method.configure_optimizers()
    rates = []
    for _ in range(50):
        rates.append([group["lr"] for group in config["optimizer"].param_groups])
        config["optimizer"].step()
        config["lr_scheduler"]["scheduler"].step()
    first, second = zip(*rates, strict=True)
    assert all(a > 0 and b == 0 for a, b in rates[:20])
    assert all(a == 0 and b > 0 for a, b in rates[20:])
    assert max(first) == max(second) == pytest.approx(0.01)
    sizes = [sum(p.numel() for p in group["params"]) for group in config["optimizer"].param_groups]
    generator = sum(count_parameters(part) for part in method.network.generator_parts())
    assert sizes == [generator, count_parameters(method) - generator]


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100])
def test_one_cycle_is_torchs(steps):
    rates = [m.one_cycle(step, steps) for step in range(steps)]
    assert max(rates) <= 1
    assert m.one_cycle(-1, steps) == m.one_cycle(steps, steps) == 0
    if steps > 3:  # torch divides by zero below
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
        schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=steps)
        expected = []
        for _ in range(steps):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step() if len(expected) < steps else None
        assert rates == pytest.approx(expected)


def test_two_steps_need_two_epochs():
    one = TrainSettings(max_epochs=1, batch_size=8)
    with pytest.raises(UsageError, match="two epochs"):
        GCN.resolve_train(GCNSettings(schedule="two-step"), one)
    assert GCN.resolve_train(GCNSettings(), one) is one
    for epochs in (2, 3, 20):
        assert 1 <= GCNSettings(schedule="two-step", step_one=0.01).first_epochs(epochs) < epochs
        assert 1 <= GCNSettings(schedule="two-step", step_one=0.99).first_epochs(epochs) < epochs


@pytest.mark.parametrize("generator", ["ae", "vae", "gan"])
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


def test_settings_are_closed():
    assert issubclass(GCNSettings, MethodSettings)
    with pytest.raises(UsageError, match="width"):
        build(GCNSettings, {"widht": 1}, "test")
