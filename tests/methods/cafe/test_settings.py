"""The settings of cafe."""

from __future__ import annotations

import pytest

from fer_bench.config import build
from fer_bench.methods.cafe.method import CAFE
from fer_bench.methods.cafe.network import (
    DEFAULT_TOWER,
)
from fer_bench.methods.cafe.settings import CAFESettings


def test_paper_profile_is_the_authors():
    paper = CAFE.profiles["paper"]
    settings = build(CAFESettings, paper.method, "paper")
    assert (settings.separation, settings.diversity, settings.lr, settings.weight_decay) == (
        1.5,
        5,
        2e-4,
        1e-4,
    )
    assert (settings.tower, settings.backbone, settings.size) == (DEFAULT_TOWER, "resnet18", 224)
    assert (paper.train.max_epochs, paper.train.batch_size) == (60, 32)
    how = paper.train.augmentation
    assert (how.flip, how.erase, how.erase_area, how.noise) == (0.5, 0.5, (0.02, 0.25), 0.5)
    assert how.noise_std**2 == pytest.approx(30)
