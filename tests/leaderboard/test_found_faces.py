import re

import pytest

from fer_bench.leaderboard.found_faces import sentence


def test_the_measured_share_stands_beside_the_detector_that_was_used():
    text = sentence(["whole 64px v1", "box, else MTCNN +20% 64px v2"])
    assert re.search(r"MTCNN finds \d+ to 100 % as drawn, \d+ to 100 % turned 45°, ", text)
    assert "cascade" not in text
    assert "no face" not in text
    assert "cascade (weak) finds " in sentence(["detect by cascade (weak) +20% 64px v2"])


@pytest.mark.parametrize("recipes", [[], ["whole 64px v1", "fit 48px v1"]])
def test_without_a_detector_nothing_is_said(recipes):
    assert sentence(recipes) == ""
