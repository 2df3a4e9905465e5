import re
from dataclasses import replace

import numpy as np
import pytest

from fer_bench.inference.explain import Explanation
from fer_bench.inference.explain_page import draw, verdict, write_page


@pytest.fixture
def one():
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    mask = np.zeros((64, 64), bool)
    mask[40:] = True
    return Explanation(
        name="<b>face</b>.jpg",
        crop=np.zeros((64, 64, 3), np.uint8),
        shares={"happiness": 0.7, "anger": 0.3},
        predicted="happiness",
        units=(6, 12),
        region=mask,
        map=ramp,
        share=0.6,
        area=0.375,
        deletion=0.2,
        insertion=0.5,
        random_deletion=0.4,
        random_insertion=0.4,
    )


def test_the_verdict_compares_with_random_maps(one):
    assert verdict(one).endswith(
        "better than random maps; 60 % of the map on the regions of AU 6, 12, which are 38 % of the picture"
    )
    assert "no clear difference" in verdict(replace(one, deletion=0.5))
    assert "worse than random maps" in verdict(replace(one, deletion=0.5, insertion=0.1))
    assert "the map is empty" in verdict(replace(one, map=np.zeros((64, 64), np.float32)))
    assert "regions" not in verdict(replace(one, share=None))


def test_the_page_needs_no_other_file_and_runs_nothing(one, tmp_path):
    mask = np.linspace(0, 1, 8, dtype=np.float32)
    cafe = replace(one, mask=mask, groups={"happiness": (0, 3), "anger": (4, 7)})
    gcn = replace(one, reference=np.zeros((64, 64), np.uint8), difference=np.ones((64, 64), np.float32))
    write_page(tmp_path / "index.html", [one, cafe, gcn], ["a <model>"])
    text = (tmp_path / "index.html").read_text()
    assert text.count("data:image/png;base64,") == 3
    assert not re.search(r"<script|https?://", text)
    assert "&lt;b&gt;face&lt;/b&gt;.jpg" in text
    assert "<b>face" not in text


def test_the_picture_is_a_png(one, tmp_path):
    draw(one, tmp_path / "one.png", title="a model")
    first = (tmp_path / "one.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    draw(one, tmp_path / "one.png", title="a model")
    assert (tmp_path / "one.png").read_bytes() == first
