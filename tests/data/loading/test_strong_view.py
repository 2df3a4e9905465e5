from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading.strong_view import SLOPE, _pipeline, sheared, strong_view
from fer_bench.data.loading.union_module import make_datamodule
from tests.data.toy import running_trainer, toy_rows

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_a_view_depends_on_seed_epoch_and_row_alone():
    first = strong_view(PICTURE, 1, 2, 3)
    strong_view(PICTURE, 9, 9, 9)
    assert (strong_view(PICTURE, 1, 2, 3) == first).all()
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert (strong_view(PICTURE, *other) != first).any()


def test_views_are_pictures_of_the_same_size_and_most_differ_from_the_original():
    views = [strong_view(PICTURE, 0, 0, row) for row in range(60)]
    assert all(v.shape == PICTURE.shape and v.dtype == np.uint8 for v in views)
    assert np.mean([(v != PICTURE).any() for v in views]) > 0.95


def test_a_cutout_has_at_most_half_of_each_side():
    grey = np.full((40, 40, 3), 200, np.uint8)
    widest = 0
    for row in range(80):
        holes = (strong_view(grey, 0, 0, row) == (125, 123, 114)).all(axis=2)
        widest = max(widest, int(holes.any(axis=0).sum()), int(holes.any(axis=1).sum()))
    assert 10 < widest <= 20


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("slope", [-SLOPE, 0.17])
def test_shear_has_the_fixed_point_of_the_released_view(down, slope):
    """Which is Pillow's affine transform, about the top left corner of the first pixel."""
    y, x = np.mgrid[:40, :30]
    smooth = np.stack([6 * x, 5 * y, 3 * x + 2 * y], axis=2).astype(np.uint8)
    coefficients = (1, 0, 0, slope, 1, 0) if down else (1, slope, 0, 0, 1, 0)
    how = Image.Resampling.BILINEAR
    wanted = np.asarray(
        Image.fromarray(smooth).transform((30, 40), Image.Transform.AFFINE, coefficients, how)
    )
    found = sheared(smooth, slope, down=down)
    inside = (wanted > 0).all(axis=2) & (found > 0).all(axis=2)
    inside[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    inside[[0, -1]] = inside[:, [0, -1]] = False  # borders are mixed with black differently
    assert inside.mean() > 0.6
    assert np.abs(found.astype(int) - wanted)[inside].max() <= 1
    centre = sheared(np.roll(smooth, 0), slope, down=down)[20, 15].astype(int) - smooth[20, 15]
    assert np.abs(centre).max() > 10  # about the centre it would stay


def test_shears_of_the_pipeline_are_drawn_from_the_whole_range():
    slopes = []
    for operation in _pipeline().transforms[0].transforms:
        if type(operation).__name__ == "Shear":
            operation.set_random_seed(0)
            slopes.append([operation.get_params()["slope"] for _ in range(400)])
    assert len(slopes) == 2
    assert -SLOPE <= np.min(slopes) < -0.95 * SLOPE
    assert 0.95 * SLOPE < np.max(slopes) <= SLOPE


@pytest.mark.slow
def test_albumentations_is_imported_only_when_asked_and_asks_nobody():
    code = (
        "import sys, os, fer_bench.data.loading.datamodule, fer_bench.data.loading.strong_view as s\n"
        "import numpy as np\n"
        "assert 'albumentations' not in sys.modules\n"
        "s.strong_view(np.zeros((16, 16, 3), np.uint8), 0, 0, 0)\n"
        "assert os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1'"
    )
    env = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)


class TestDataModule:
    @pytest.fixture
    def build(self, make_toy):
        rows = toy_rows(8)
        for row in rows:
            if row["is_neutral_frame"] and row["subject"] in ("S02", "S03", "S04"):
                row["label"], row["valence"], row["arousal"] = None, 0.5, -0.5
        toy = make_toy(rows)

        def module(**options):
            return make_datamodule(toy, **{"spec": InputSpec(size=20), "batch_size": 8, **options})

        return module

    @staticmethod
    def batches(data, epoch=0):
        data.trainer = running_trainer(global_rank=0, world_size=1, training=True, current_epoch=epoch)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return [data.on_after_batch_transfer(batch, 0) for batch in loader]

    def test_rows_without_label_train_only_when_asked_for(self, build):
        plain, more = build(), build(with_unlabelled=True)
        extra = set(more.rows("train")) - set(plain.rows("train"))
        assert extra
        assert plain.task.unlabelled == 0
        assert more.task.unlabelled == len(extra)
        assert plain.task.class_counts == more.task.class_counts
        assert not plain.task.has_va
        assert more.task.has_va
        labels = {
            int(r): int(v) for b in self.batches(more) for r, v in zip(b["row"], b["label"], strict=True)
        }
        assert {row for row, label in labels.items() if label < 0} == extra

    @pytest.mark.parametrize("unlabelled", [True, False])
    def test_hidden_labels_are_seen_nowhere_and_only_training_rows_change(self, build, unlabelled):
        whole, part = build(), build(label_fraction=0.5, with_unlabelled=unlabelled)
        for role in ("val", "test"):
            assert (whole.rows(role) == part.rows(role)).all()
        for loader in ("val_dataloader", "test_dataloader"):
            for one, other in zip(getattr(whole, loader)(), getattr(part, loader)(), strict=True):
                assert torch.equal(one["label"], other["label"])
        hidden = set(np.flatnonzero(part.hidden))
        assert hidden <= set(whole.rows("train"))
        assert sum(part.task.class_counts) == len(whole.rows("train")) - len(hidden)
        seen = {int(r): int(v) for b in self.batches(part) for r, v in zip(b["row"], b["label"], strict=True)}
        if unlabelled:
            assert hidden < set(seen)
            assert all(seen[row] == -1 for row in hidden)
        else:
            assert not hidden & set(seen)
            assert min(seen.values()) >= 0
        views = torch.cat([b["row"] for b in part.labelled_views(torch.device("cpu"))])
        assert set(views.tolist()) == set(whole.rows("train")) - hidden

    def test_subjects_lose_their_labels_as_a_whole(self, build):
        data = build(label_fraction=0.5)
        index = data.dataset.index
        train = np.isin(np.arange(len(index)), build().rows("train"))
        for subject in index["subject"].unique():
            assert len(set(data.hidden[train & (index["subject"] == subject).to_numpy()])) <= 1

    def test_strong_views_come_where_rows_lack_a_label(self, build):
        assert "strong" not in self.batches(build(with_strong=True))[0]
        assert "strong" not in self.batches(build(with_unlabelled=True))[0]
        data = build(with_strong=True, with_unlabelled=True)
        batch = self.batches(data)[0]
        assert batch["strong"].shape == batch["image"].shape
        assert batch["strong"].dtype == torch.float32
        few = build(with_strong=True, with_unlabelled=True, batch_size=2)
        assert all("strong" in b for b in self.batches(few))  # processes that share a step need it in all
        assert "strong" not in next(iter(data.val_dataloader()))
        assert all("strong" not in b for b in data.labelled_views(torch.device("cpu")))

    def test_strong_views_do_not_depend_on_the_batch_they_come_in(self, build):
        options = {
            "with_strong": True,
            "with_unlabelled": True,
            "augmentation": Augmentation(flip=0.5, crop_pad=2),
        }

        def by_row(data, epoch):
            return {
                int(row): view
                for b in self.batches(data, epoch)
                if "strong" in b
                for row, view in zip(b["row"], b["strong"], strict=True)
            }

        small, large = by_row(build(batch_size=8, **options), 1), by_row(build(batch_size=40, **options), 1)
        assert all(torch.equal(view, large[row]) for row, view in small.items())
        later = by_row(build(batch_size=8, **options), 2)
        assert any(not torch.equal(view, later[row]) for row, view in small.items())

    def test_views_for_thresholds_are_at_most_as_many_as_an_epoch_has(self, build):
        data = build(epoch_rows=20)
        data.trainer = running_trainer(global_rank=0, world_size=1, training=True, current_epoch=3)
        rows = torch.cat([b["row"] for b in data.labelled_views(torch.device("cpu"))]).tolist()
        assert len(rows) == len(set(rows)) == 20
        halves = []
        for rank in (0, 1):
            data.trainer = running_trainer(global_rank=rank, world_size=2, training=True, current_epoch=3)
            halves += torch.cat([b["row"] for b in data.labelled_views(torch.device("cpu"))]).tolist()
        assert sorted(halves) == sorted(rows)
