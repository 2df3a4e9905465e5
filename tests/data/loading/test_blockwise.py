"""On a CPU batches are worked on in blocks; numbers and memory layout are those of the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading import blockwise
from fer_bench.data.loading.transforms import augment, decisions, move, prepare, uniforms

CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
SPECS = [
    InputSpec(size=16, grey=grey, **numbers)
    for grey in (False, True)
    for numbers in ({}, CLIP, {"mean": (0.5,) * 3, "std": (0.5,) * 3})
]
SHAPES = [(1, 16, 16), (9, 14, 18), (5, 17, 16)]


def crops(batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)


def plain(images: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Whole batches at a time, as on a GPU."""
    pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 255
    if spec.grey:
        weights = torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)
        pixels = (pixels * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    mean, std = torch.tensor(spec.mean).view(1, 3, 1, 1), torch.tensor(spec.std).view(1, 3, 1, 1)
    return (pixels - mean) / std


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare every bit, and how the numbers lie in memory: convolutions round by it."""
    assert torch.equal(found, wanted)
    assert found.stride() == wanted.stride()
    assert found.data_ptr() % blockwise.ALIGNED == 0


@pytest.fixture(params=[1, 3 * 14 * 18 * 4, 1 << 18], ids=["one crop", "four crops", "all"])
def block(request, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", request.param)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_value_of_every_channel_is_that_of_the_plain_formula(spec):
    values = torch.arange(256, dtype=torch.uint8)
    each = torch.stack([values, values.roll(85), values.roll(170)], dim=1).view(1, 16, 16, 3)
    many = torch.cat([each, crops(40, 16, 16)])  # 10,000 colours more, of which grey mixes the channels
    assert_same(prepare(many, spec), plain(many, spec))


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spec", SPECS[1::3], ids=str)
def test_blocks_of_any_size_give_the_same(shape, spec):
    images = crops(*shape)
    before = images.clone()
    assert_same(prepare(images, spec), plain(images, spec))
    assert torch.equal(images, before)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        Augmentation(),
        Augmentation(flip=0),
        Augmentation(flip=1, crop_pad=3),
        Augmentation(crop_pad=20),
        Augmentation(crop_pad=2, brightness=0.3),
        Augmentation(crop_pad=2, erase=0.7, brightness=0.3, contrast=0.3),
        Augmentation(noise=0.5, noise_std=9, contrast=0.2),
    ],
    ids=str,
)
def test_augmented_batches_are_those_of_other_devices(grey, how, monkeypatch):
    images, rows = crops(9, 16, 16), torch.arange(100, 109)
    before = images.clone()
    spec = InputSpec(size=16, grey=grey)
    options = {"seed": 1, "epoch": 2, "sides": torch.rand(9, 2) * 30 + 5}
    found = augment(images, rows, spec, how, **options)
    assert torch.equal(images, before)
    monkeypatch.setattr(blockwise, "on_cpu", lambda images: False)
    assert_same(found, augment(images, rows, spec, how, **options))


@pytest.mark.parametrize("pad", [0, 1, 5, 30])
def test_crops_are_moved_as_the_index_of_every_pixel_says(pad, monkeypatch):
    images, draws = crops(64, 11, 7), decisions(0, 0, torch.arange(64))
    how = Augmentation(crop_pad=pad)
    found = move(images, draws, how)
    monkeypatch.setattr(blockwise, "on_cpu", lambda images: False)
    assert torch.equal(found, move(images, draws, how))
    assert found.is_contiguous()


@pytest.mark.parametrize(
    ("seed", "epoch", "stream"), [(0, 0, 0), (7, 99, 2), (2**31 + 3, 5000, 1), (-1, 0, 0)]
)
def test_draws_are_those_of_other_devices(seed, epoch, stream, monkeypatch):
    rows = torch.tensor([0, 1, 5, 70_000, 2**40, -1])
    found = uniforms(seed, epoch, rows, 1000, stream)
    monkeypatch.setattr(blockwise, "on_cpu", lambda images: False)
    assert torch.equal(found, uniforms(seed, epoch, rows, 1000, stream))


def test_one_picture_seen_as_many_and_none_at_all_are_moved():
    one = crops(1, 9, 9)
    draws = decisions(0, 0, torch.arange(32))
    how = Augmentation(crop_pad=2)
    assert torch.equal(
        move(one.expand(32, -1, -1, -1), draws, how), move(one.repeat(32, 1, 1, 1), draws, how)
    )
    assert move(one[:0], draws[:0], how).shape == (0, 9, 9, 3)
    assert prepare(one[:0], InputSpec(size=16)).shape == (0, 3, 9, 9)


def test_no_batch_is_held_twice_as_floats(monkeypatch):
    """Besides the result only blocks and crops of a byte per number are made."""
    made: list[int] = []
    fresh = np.empty

    def counted(shape, *args, **options):
        found = fresh(shape, *args, **options)
        made.append(found.nbytes)
        return found

    images = crops(32, 32, 32)
    monkeypatch.setattr(blockwise.np, "empty", counted)
    augment(images, torch.arange(32), SPECS[0], Augmentation(crop_pad=2, brightness=0.2), seed=0, epoch=0)
    floats = 4 * images.numel()
    assert sum(made) < 1.5 * floats
    assert max(made) == pytest.approx(floats, rel=0.01)
