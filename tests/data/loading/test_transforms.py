from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading.transforms import (
    augment,
    decisions,
    move,
    noise_grid,
    normalise,
    prepare,
    to_float,
    uniforms,
)

PLAIN = InputSpec(size=16, mean=(0, 0, 0), std=(1, 1, 1))
NOTHING = Augmentation(flip=0)
ALL = Augmentation(crop_pad=2, erase=0.5, noise=0.5, noise_std=10, brightness=0.3, contrast=0.3)
ROWS = torch.arange(64)
BILINEAR = Image.Resampling.BILINEAR


def pictures(batch: int = 64, height: int = 16, width: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("seed", "epoch", "stream"), [(0, 0, 0), (1, 0, 0), (0, 7, 1), (123456789, 990, 2), (2**31 - 1, 5000, 2)]
)
def test_draws_are_uniform_over_rows_and_over_one_rows_numbers(seed, epoch, stream):
    over_rows = uniforms(seed, epoch, torch.arange(20000), 16, stream).numpy()
    assert over_rows.min() >= 0
    assert over_rows.max() < 1
    for column in over_rows.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-5
    within = uniforms(seed, epoch, torch.tensor([5]), 20000, stream)[0].numpy()
    assert stats.kstest(within, "uniform").pvalue > 1e-5
    correlation = np.corrcoef(over_rows.T) - np.eye(16)
    assert np.abs(correlation).max() < 0.04
    assert abs(np.corrcoef(over_rows[1:, 0], over_rows[:-1, 0])[0, 1]) < 0.04


def test_draws_do_not_depend_on_the_batch():
    rows = torch.tensor([9, 3, 70000, 3])
    together = uniforms(1, 2, rows, 8)
    assert torch.equal(together[1], together[3])
    for i, row in enumerate(rows):
        assert torch.equal(uniforms(1, 2, row[None], 8)[0], together[i])
    assert torch.equal(uniforms(1, 2, rows, 16)[:, :8], together)


@pytest.mark.parametrize("other", [(2, 2, 0), (1, 3, 0), (1, 2, 1)])
def test_draws_differ_by_seed_epoch_and_stream(other):
    first = uniforms(1, 2, torch.arange(2000), 4)
    second = uniforms(other[0], other[1], torch.arange(2000), 4, other[2])
    assert (first == second).float().mean() < 0.01
    assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 0.05


def test_no_two_seeds_and_epochs_share_their_draws():
    rows = torch.tensor([0, 1])
    seen = {
        tuple(uniforms(s, e, rows, 2, k).flatten().tolist())
        for s in range(12)
        for e in range(60)
        for k in range(3)
    }
    assert len(seen) == 12 * 60 * 3


def naive_move(image: np.ndarray, draws: np.ndarray, how: Augmentation) -> np.ndarray:
    """Pad with the border, crop at the drawn place, flip."""
    pad, (height, width) = how.crop_pad, image.shape[:2]
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    top, left = (min(int(d * (2 * pad + 1)), 2 * pad) for d in draws[1:3])
    cropped = padded[top : top + height, left : left + width]
    return cropped[:, ::-1] if draws[0] < how.flip else cropped


@pytest.mark.parametrize(
    "how", [Augmentation(), Augmentation(crop_pad=3), Augmentation(flip=0, crop_pad=1)], ids=str
)
def test_flips_and_crops_are_those_of_the_plain_recipe(how):
    images = pictures(64, 14, 18)
    draws = decisions(0, 1, ROWS)
    moved = move(images, draws, how)
    for image, draw, found in zip(images.numpy(), draws.numpy(), moved.numpy(), strict=True):
        assert np.array_equal(found, naive_move(image, draw, how))
    flipped = (draws[:, 0] < how.flip).sum()
    assert flipped == 0 if how.flip == 0 else 16 < flipped < 48


def test_every_shift_of_a_crop_happens():
    how = Augmentation(flip=0, crop_pad=2)
    grid = torch.zeros(1, 9, 9, 3, dtype=torch.uint8)
    grid[0, 4, 4] = 255
    moved = move(grid.expand(2000, -1, -1, -1), decisions(0, 0, torch.arange(2000)), how)
    places = {tuple(torch.nonzero(picture[..., 0])[0].tolist()) for picture in moved}
    assert places == {(y, x) for y in range(2, 7) for x in range(2, 7)}


def test_a_face_and_its_reference_move_alike():
    how = Augmentation(crop_pad=3)
    images = pictures(64)
    draws = decisions(3, 4, ROWS)
    difference = images.int() - move(images, draws, how).int()
    again = images.int() - move(images.clone(), decisions(3, 4, ROWS), how).int()
    assert torch.equal(difference, again)
    assert difference.any()


def test_augmenting_a_row_does_not_depend_on_its_company():
    images = pictures()
    together = augment(images, ROWS, PLAIN, ALL, seed=1, epoch=2)
    halves = [augment(images[i : i + 32], ROWS[i : i + 32], PLAIN, ALL, seed=1, epoch=2) for i in (0, 32)]
    assert torch.equal(together, torch.cat(halves))
    turned = augment(images.flip(0), ROWS.flip(0), PLAIN, ALL, seed=1, epoch=2)
    assert torch.equal(together, turned.flip(0))
    assert not torch.equal(together, augment(images, ROWS, PLAIN, ALL, seed=1, epoch=3))
    assert not torch.equal(together, augment(images, ROWS, PLAIN, ALL, seed=2, epoch=2))


def test_without_augmentation_images_are_only_prepared():
    images = pictures()
    assert torch.equal(
        augment(images, ROWS, InputSpec(size=16), NOTHING, seed=0, epoch=0),
        prepare(images, InputSpec(size=16)),
    )


def test_preparation_is_scaling_and_normalisation():
    images = pictures(2, 4, 5)
    spec = InputSpec(size=16)
    found = prepare(images, spec)
    assert found.shape == (2, 3, 4, 5)
    assert found.dtype == torch.float32
    expected = (images.numpy()[1, 2, 3] / 255 - np.array(spec.mean)) / np.array(spec.std)
    assert found[1, :, 2, 3].numpy() == pytest.approx(expected, abs=1e-5)
    assert not found.requires_grad


def test_grey_is_the_bt_601_luma_in_three_channels():
    images = pictures(3, 4, 4)
    grey = prepare(images, PLAIN.model_copy(update={"grey": True}))
    expected = images.numpy() @ np.array([0.299, 0.587, 0.114]) / 255
    for channel in range(3):
        assert grey[:, channel].numpy() == pytest.approx(expected, abs=1e-6)
    white = normalise(torch.ones(1, 3, 2, 2), PLAIN.model_copy(update={"grey": True}))
    assert white == pytest.approx(torch.ones(1, 3, 2, 2).numpy(), abs=1e-6)


def test_erasing_sets_one_rectangle_of_the_asked_area_to_the_mean():
    how = Augmentation(flip=0, erase=0.5, erase_area=(0.05, 0.25))
    rows = torch.arange(400)
    images = torch.full((400, 40, 30, 3), 200, dtype=torch.uint8)
    erased = augment(images, rows, InputSpec(size=16, mean=(0.1, 0.1, 0.1)), how, seed=0, epoch=0) == 0
    assert torch.equal(erased[:, 0], erased[:, 2])
    area = erased[:, 0].float().mean(dim=(1, 2))
    assert 0.4 < (area > 0).float().mean() < 0.6
    hit = area[area > 0]
    assert hit.max() <= 0.25
    assert hit.min() > 0.05 * 0.6  # sides are rounded down to whole pixels
    assert hit.mean() == pytest.approx(0.15, abs=0.03)
    for mask in erased[area > 0, 0][:50]:
        y, x = torch.nonzero(mask).unbind(1)
        assert mask.sum() == (y.max() - y.min() + 1) * (x.max() - x.min() + 1)
    everywhere = erased[:, 0].any(dim=0)
    assert everywhere[0].any()
    assert everywhere[-1].any()
    assert everywhere[:, 0].any()
    assert everywhere[:, -1].any()


def test_erasing_everything_stays_inside_the_picture():
    how = Augmentation(flip=0, erase=1.0, erase_area=(1.0, 1.0))
    found = augment(pictures() | 1, ROWS, PLAIN, how, seed=0, epoch=0) == 0
    assert found.any(dim=1).any(dim=1).any(dim=1).all()
    assert found.float().mean(dim=(1, 2, 3)).max() <= 1


def test_noise_is_gaussian_of_the_asked_strength_in_the_asked_share():
    how = Augmentation(flip=0, noise=0.5, noise_std=20)
    images = torch.full((200, 24, 24, 3), 128, dtype=torch.uint8)
    change = (augment(images, torch.arange(200), PLAIN, how, seed=0, epoch=0) - 128 / 255) * 255
    noisy = change.abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 0.4 < noisy.float().mean() < 0.6
    values = change[noisy].flatten().numpy()
    assert stats.kstest(values[::37], "norm", args=(0, 20)).pvalue > 1e-4
    assert values.std() == pytest.approx(20, rel=0.02)
    flat = change[noisy].flatten(1)
    assert abs(np.corrcoef(flat[0], flat[1])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("native", "size", "std", "lag"), [(100, 224, 3.7, 0.76), (48, 64, None, None), (300, 64, None, None)]
)
def test_noise_is_that_of_the_picture_before_it_was_scaled(native, size, std, lag):
    """As if PIL scaled the noisy picture: the authors of cafe add noise to the file (RAF-DB: 100 pixels)."""
    how = Augmentation(flip=0, noise=1, noise_std=math.sqrt(30))
    grey = torch.full((24, size, size, 3), 128, dtype=torch.uint8)
    sides = torch.full((24, 2), float(native))
    ours = (augment(grey, torch.arange(24), PLAIN, how, seed=0, epoch=0, sides=sides) * 255).numpy()
    drawn = np.random.default_rng(0).normal(128, how.noise_std, (24, native, native)).astype(np.float32)
    wanted = np.stack([np.asarray(Image.fromarray(one).resize((size, size), BILINEAR)) for one in drawn])
    for found in (ours[:, 0], ours[:, 2]):
        inner = found[:, 4:-4, 4:-4]
        assert inner.std() == pytest.approx(wanted[:, 4:-4, 4:-4].std(), rel=0.03)
        assert neighbours(inner) == pytest.approx(neighbours(wanted[:, 4:-4, 4:-4]), abs=0.06)
        assert found[:, 0].std() == pytest.approx(wanted[:, 0].std(), rel=0.1)
    if std is not None:
        assert ours.std() == pytest.approx(std, abs=0.1)
        assert neighbours(ours[:, 1]) == pytest.approx(lag, abs=0.01)


def neighbours(found: np.ndarray) -> float:
    """Return the correlation of a pixel with the one to its right, and with the one below it, averaged."""
    found = found - found.mean()
    right, below = found[..., 1:] * found[..., :-1], found[:, 1:] * found[:, :-1]
    return float((right.mean() + below.mean()) / 2 / found.var())


def test_noise_follows_each_side_of_each_face():
    """Faces that are not square, of one size and another, whatever is beside them in a batch."""
    how = Augmentation(flip=0, noise=1, noise_std=9)
    grey, rows = torch.full((3, 32, 32, 3), 128, dtype=torch.uint8), torch.arange(3)
    sides = torch.tensor([[8.0, 32.0], [32.0, 8.0], [500.0, 20.4]])
    native = {"grid": noise_grid(sides.numpy(), 32)}
    whole = augment(grey, rows, PLAIN, how, seed=0, epoch=0, sides=sides, **native)
    for one in range(3):
        at = slice(one, one + 1)
        alone = augment(grey[at], rows[at], PLAIN, how, seed=0, epoch=0, sides=sides[at], **native)
        torch.testing.assert_close(alone, whole[at])
    across, down = (whole.diff(dim=axis).abs().mean(dim=(1, 2, 3)) for axis in (3, 2))
    assert across[0] < 0.5 * down[0]
    assert down[1] < 0.5 * across[1]
    assert native["grid"] == 64
    assert noise_grid(sides[:2].numpy(), 32) == 32


def test_noise_of_a_face_that_was_not_scaled_is_that_of_its_crop():
    how = Augmentation(flip=0, noise=1, noise_std=9)
    native = {"sides": torch.full((8, 2), 16.0), "grid": 16}
    given = (pictures()[:8], ROWS[:8], PLAIN, how)
    assert torch.equal(augment(*given, seed=0, epoch=0), augment(*given, seed=0, epoch=0, **native))


def test_noise_and_light_stay_within_black_and_white():
    how = Augmentation(flip=0, noise=1, noise_std=80, brightness=0.9, contrast=0.9)
    found = augment(pictures(), ROWS, PLAIN, how, seed=0, epoch=0)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.isfinite().all()


def test_brightness_scales_the_mean_and_contrast_the_distance_from_it():
    images = pictures().clamp(90, 150)
    plain = to_float(images)
    bright = augment(images, ROWS, PLAIN, Augmentation(flip=0, brightness=0.2), seed=0, epoch=0)
    gain = bright.mean(dim=(1, 2, 3)) / plain.mean(dim=(1, 2, 3))
    assert gain.min() >= 0.8 - 1e-4
    assert gain.max() <= 1.2 + 1e-4
    assert gain.max() - gain.min() > 0.3
    assert bright.std(dim=(1, 2, 3)) == pytest.approx(plain.std(dim=(1, 2, 3)).numpy(), abs=1e-4)
    crisp = augment(images, ROWS, PLAIN, Augmentation(flip=0, contrast=0.2), seed=0, epoch=0)
    spread = crisp.std(dim=(1, 2, 3)) / plain.std(dim=(1, 2, 3))
    assert spread.min() >= 0.8 - 1e-4
    assert spread.max() <= 1.2 + 1e-4
    assert spread.max() - spread.min() > 0.3
    assert crisp.mean(dim=(1, 2, 3)).numpy() == pytest.approx(plain.mean(dim=(1, 2, 3)).numpy(), abs=1e-4)


def test_the_packed_images_are_not_changed():
    images = pictures()
    before = images.clone()
    augment(images, ROWS, InputSpec(size=16, grey=True), ALL, seed=0, epoch=0)
    assert torch.equal(images, before)
    assert math.isclose(float(to_float(images).max()), 1.0)
