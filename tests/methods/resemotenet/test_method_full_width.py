"""The `paper` recipe at full width, which takes some minutes of a core: only where it is asked for."""

from __future__ import annotations

import os

import pytest

from tests.methods.drawn_faces import draw_folder
from tests.methods.test_base_recipes import assert_beats_chance, train

ASKED = "FER_BENCH_FULL_WIDTH"
RECIPE = ("method.plateau_patience=50", "train.max_epochs=20")
"""An epoch of so few faces has 19 steps, where RAF-DB's has 690: hence the patience."""


@pytest.mark.skipif(ASKED not in os.environ, reason=f"five minutes of an idle core: {ASKED}=1 asks for it")
def test_all_80_million_weights_learn(tmp_path):
    drawn = draw_folder(tmp_path / "faces", people=100, tested=20)
    right = train(drawn, "resemotenet", "paper", RECIPE, tmp_path)
    print(f"{sum(right)} of {len(right)} faces of 40 people that it never saw")
    assert_beats_chance(right)
