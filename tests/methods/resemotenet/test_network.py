"""The networks of resemotenet and its baselines: the authors' sizes and layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer_bench.methods.resemotenet.network import (
    BaselineNetwork,
    Convolution,
    ResEmoteNetwork,
    SqueezeExcitation,
)
from fer_bench.methods.size import count_parameters


@pytest.fixture(scope="module")
def full() -> ResEmoteNetwork:
    with torch.device("meta"):
        return ResEmoteNetwork(7)


def test_parameters_are_the_authors(full):
    assert count_parameters(full) == 80_238_599
    assert count_parameters(full.attention) == 8_192
    assert count_parameters(full.blocks) == 77_102_592
    assert count_parameters(full.head) == 2_756_103


def test_maps_have_the_authors_shapes(full):
    image = torch.zeros(2, 3, 64, 64, device="meta")
    maps = full.stem(image)
    assert maps.shape == (2, 256, 8, 8)
    shapes = []
    for block in full.blocks:
        maps = block(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(512, 4, 4), (1024, 2, 2), (2048, 1, 1)]
    assert full(image).shape == (2, 7)


def test_baselines_have_the_authors_parameters():
    with torch.device("meta"):
        plain, more, gated = (BaselineNetwork(7, kind) for kind in ("plain", "plain-se", "se"))
        unused = nn.Sequential(nn.Conv2d(512, 1024, 3), nn.BatchNorm2d(1024))
    assert count_parameters(plain) == 11_000_327
    assert count_parameters(more) == 11_000_327 + 2 * 1024 * 64 == 11_131_399
    assert count_parameters(gated) == 5_262_855
    # The authors' class also holds a fifth stage, whose 1024 channels the block of 512 cannot take.
    assert count_parameters(gated) + count_parameters(unused) == 9_984_519
    image = torch.zeros(2, 3, 64, 64, device="meta")
    assert plain.stem(image).shape == more.stem(image).shape == (2, 1024, 2, 2)
    assert gated.stem(image).shape == (2, 512, 4, 4)
    assert plain(image).shape == more(image).shape == gated(image).shape == (2, 7)
    assert [d.p for d in more.stem if isinstance(d, nn.Dropout)] == [0.2] * 4, "none before the block"


def test_dropout_is_where_the_authors_have_it(full):
    assert [d.p for d in full.stem if isinstance(d, nn.Dropout)] == [0.2, 0.2]
    assert [d.p for d in full.head if isinstance(d, nn.Dropout)] == [0.5, 0.5, 0.5]
    assert not isinstance(full.stem[-1], nn.Dropout)


def test_squeeze_excitation_by_hand():
    block = SqueezeExcitation(2, 1)
    with torch.no_grad():
        block.gate[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
        block.gate[2].weight.copy_(torch.tensor([[2.0], [0.0]]))
    maps = torch.stack([torch.full((2, 2), 3.0), torch.full((2, 2), 1.0)])[None]
    maps[0, 0, 0, 0] = 7.0  # channel means 4 and 1, so the hidden unit is 3
    gates = torch.tensor([1 / (1 + math.exp(-6)), 0.5])
    torch.testing.assert_close(block(maps), maps * gates[None, :, None, None])


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("side", "stride"), [(1, 1), (2, 2), (2, 1), (4, 2)])
def test_a_large_convolution_to_one_pixel_is_a_matrix_product(monkeypatch, side, stride, layout):
    monkeypatch.setattr(Convolution, "LARGE", 8 * 6 * 9)
    torch.manual_seed(0)
    ours = Convolution(6, 8, 3, stride=stride, padding=1).to(memory_format=layout)
    usual = nn.Conv2d(6, 8, 3, stride=stride, padding=1)
    usual.load_state_dict(ours.state_dict())
    maps = torch.randn(4, 6, side, side).to(memory_format=layout)
    ways = torch.randn(4, 8, *[(side - 1) // stride + 1] * 2)
    found = []
    products = count_products(ours, maps)
    for layer in (ours, usual):
        given = maps.clone().requires_grad_()
        (layer(given) * ways).sum().backward()
        found.append([layer(given), given.grad, layer.weight.grad, layer.bias.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert ours.weight.grad.stride() == ours.weight.stride()  # what an optimiser needs not copy
    fewer = {(1, 1): 9, (2, 2): 9 / 4}.get((side, stride), 1)
    assert count_products(usual, maps) / products == fewer


def test_small_convolutions_stay_as_they_are():
    layer, maps = Convolution(128, 256, 3, stride=2, padding=1), torch.randn(2, 128, 2, 2)
    assert torch.equal(layer(maps), nn.Conv2d.forward(layer, maps))
    quick = ResEmoteNetwork(7, width=0.125)
    assert all(m.weight.numel() < m.LARGE for m in quick.modules() if isinstance(m, Convolution))


def count_products(layer, maps):
    """Return the multiplications of a layer."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(maps)
    return counter.get_total_flops() // 2
