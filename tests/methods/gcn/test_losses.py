"""The losses of gcn, each against a hand computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from fer_bench.methods.base import classification_loss
from fer_bench.methods.gcn import losses
from fer_bench.methods.gcn.layers import Gaussian


def test_classification_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -2.0], [0.0, 0.0]])
    label = torch.tensor([1, -1, 0])
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert classification_loss(logits, label).item() == pytest.approx(expected)


def test_generation_loss_by_hand():
    generated, target = torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    target[0] = torch.tensor([[1.0, 2.0], [0.0, 0.0]])  # 5 / 4
    target[1] = 100.0
    target[2, 0, 0, 0] = 3.0  # 9 / 4
    loss = losses.generation_loss(generated, target, torch.tensor([True, False, True]))
    assert loss.item() == pytest.approx((5 / 4 + 9 / 4) / 2)


def test_reconstruction_loss_by_hand():
    zeros = torch.zeros(2, 1, 2, 2)
    image = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)])
    target = torch.stack([torch.full((1, 2, 2), 2.0), torch.full((1, 2, 2), 50.0)])
    loss = losses.reconstruction_loss(zeros, image, zeros, target, torch.tensor([True, False]))
    assert loss.item() == pytest.approx((1 + 9) / 2 + 4)


def test_contrastive_loss_by_hand():
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    reference = torch.tensor([[0.8, 0.6], [0.8, 0.6], [0.0, -1.0], [0.0, 1.0]])
    labelled = torch.tensor([True, True, True, False])
    neutral = torch.tensor([True, False, False, False])
    squared = 0.2**2 + 0.6**2
    # Neutral: d^2. Expressive, too near: (margin - d)^2. Expressive, d = sqrt(3.6) beyond the margin: 0.
    expected = (squared + (1.0 - math.sqrt(squared)) ** 2 + 0.0) / 3
    assert losses.contrastive_loss(query, reference, labelled, neutral, 1.0).item() == pytest.approx(expected)


def test_contrastive_loss_has_a_finite_slope_at_distance_zero():
    query = torch.tensor([[0.6, 0.8]], requires_grad=True)
    losses.contrastive_loss(
        query, query.detach().clone(), torch.tensor([True]), torch.tensor([False]), 1.0
    ).backward()
    assert query.grad.isfinite().all()


def test_masked_mean_of_nothing_is_zero_with_a_gradient():
    values = torch.ones(3, requires_grad=True)
    loss = losses.masked_mean(values, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(values.grad, torch.zeros(3))


def test_neutral_row_without_reference_is_its_own():
    image, reference = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    target, known = losses.true_reference(
        image, reference, torch.tensor([True, False, False]), torch.tensor([True, True, False])
    )
    assert known.tolist() == [True, True, False]
    assert torch.equal(target[0], reference[0])
    assert torch.equal(target[1], image[1])


def test_absolute_pixel_errors_by_hand():
    generated, target = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    target[0] = torch.tensor([[1.0, -2.0], [0.0, 0.0]])  # 3 / 4
    target[1, 0, 0, 0] = 3.0
    known = torch.tensor([True, False])
    assert losses.generation_loss(generated, target, known, "absolute").item() == pytest.approx(3 / 4)
    both = losses.reconstruction_loss(generated, target, generated, target, known, "absolute")
    assert both.item() == pytest.approx((3 / 4 + 3 / 4) / 2 + 3 / 4)


def test_divergence_by_hand_and_by_torch():
    mean, log_variance = torch.tensor([1.0, -2.0]), torch.tensor([0.0, math.log(4.0)])
    latent = Gaussian(mean.view(1, 2, 1, 1), log_variance.view(1, 2, 1, 1))
    by_hand = 0.5 * (1 + 1 - 1 - 0) + 0.5 * (4 + 4 - 1 - math.log(4.0))
    assert losses.divergence_loss(latent, 8).item() == pytest.approx(by_hand / 8)
    one, other = Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros(2), torch.ones(2))
    assert by_hand == pytest.approx(kl_divergence(one, other).sum().item())


def test_adversarial_and_discriminator_losses_by_hand():
    logits = torch.tensor([0.0, math.log(3.0)]).view(2, 1, 1, 1)  # real with probability 1/2 and 3/4
    assert losses.adversarial_loss(logits).item() == pytest.approx((-math.log(1 / 2) - math.log(3 / 4)) / 2)
    loss = losses.discriminator_loss(logits, logits, torch.tensor([False, True]))
    real, drawn = -math.log(3 / 4), (-math.log(1 / 2) - math.log(1 / 4)) / 2
    assert loss.item() == pytest.approx((real + drawn) / 2)


def test_losses_of_pixels_and_distances_are_float32_under_autocast():
    image = torch.rand(2, 1, 4, 4).to(torch.bfloat16)
    known = torch.tensor([True, True])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        drawn = losses.generation_loss(image, torch.zeros_like(image), known)
        query = torch.tensor([[1.0, 0.0]]).repeat(2, 1)
        near = torch.tensor([[math.cos(1e-3), math.sin(1e-3)]]).repeat(2, 1)
        apart = losses.contrastive_loss(query, near, known, ~known, 1.0)
    assert drawn.dtype == apart.dtype == torch.float32
    # bf16 has eight bits: it would round the distance of 0.001 away.
    assert apart.item() == pytest.approx((1 - 2 * math.sin(5e-4)) ** 2, rel=1e-6)


def test_share_within_the_margin_by_hand():
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    reference = torch.tensor([[0.8, 0.6], [0.0, 1.0], [0.8, 0.6], [0.6, 0.8]])  # 0.63, 1.41, 0.63, 0.89
    expressive = torch.tensor([True, True, False, True])
    for margin, share in ((0.5, 0.0), (0.7, 1 / 3), (1.0, 2 / 3), (1.5, 1.0)):
        found = losses.within_margin(query, reference, expressive, margin)
        assert found.item() == pytest.approx(share)
        acts = losses.contrastive_loss(query, reference, expressive, ~expressive, margin) > 0
        assert acts.item() == (share > 0)


def test_neutral_flow_by_hand():
    query, reference, neutral = (torch.tensor([[*pair]] * 3) for pair in ((1.0, 0.0), (0.8, 0.6), (0.6, 0.8)))
    known, labelled = torch.tensor([True, True, False]), torch.tensor([True, True, True])
    is_neutral = torch.tensor([False, True, False])
    near, far = 0.2**2 + 0.2**2, 0.4**2 + 0.8**2
    expected = near + ((1.2 - math.sqrt(far)) ** 2 + far) / 2
    found = losses.neutral_flow_loss(
        query, reference, neutral, is_known=known, is_labelled=labelled, is_neutral=is_neutral, margin=1.2
    )
    assert found.item() == pytest.approx(expected)
