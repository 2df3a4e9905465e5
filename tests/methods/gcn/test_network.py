"""gcn's network: the paper's sizes, its layers by hand, and its forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_bench.methods.gcn.layers import Decoder, Encoder, convolve_doubled
from fer_bench.methods.gcn.network import CHANGE, GCNNetwork, contrast, unit_features
from fer_bench.methods.size import count_parameters
from tests.methods.gcn.small import make, make_batch


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
        ({"variant": "S0R0", "generator": "residual"}, PLAIN + 74_208 + 74_113),
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


@pytest.mark.parametrize("generator", ["residual", "ae", "vae", "none"])
def test_network_is_exportable(generator):
    network = make(generator=generator).network.eval()
    image = make_batch(2)["image"][:, :1].contiguous()
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for one, other in zip(program.module()(image[:1]), network(image[:1]), strict=True):
        assert (one is None and other is None) or torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_residual_generator_starts_as_the_identity_and_draws_a_bounded_change():
    method = make(generator="residual")
    image = make_batch(4)["image"][:, :1]
    assert torch.equal(method.network.generate(image).face, image)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    method.losses(make_batch(4))["generation"].backward()
    optimizer.step()
    assert not torch.equal(method.network.generate(image).face, image)  # it learns from the first step on
    nn.init.constant_(method.network.decoder1.convolutions[-1].bias, 100.0)
    torch.testing.assert_close(method.network.generate(image).face, image + CHANGE)


def test_flows_are_compared_with_what_they_are_given():
    method = make(variant="S1R0").eval()
    image, neutral = (make_batch(4)[name][:, :1] for name in ("image", "reference"))
    network = method.network
    generated = network.generate(image)
    flows = network.compare(image, generated, instead=neutral, neutral=image)
    code, _ = network.encoder2(neutral)
    torch.testing.assert_close(flows.reference.feature, unit_features(code))
    torch.testing.assert_close(flows.neutral.feature, flows.query.feature)
    apart = contrast(flows.query.feature, flows.reference.feature, network.distance)
    torch.testing.assert_close(flows.logits, network.classifier(apart))
    same = network.classifier(torch.zeros_like(apart))  # beside itself nothing differs
    torch.testing.assert_close(flows.neutral_logits, same)
