"""The table of what framing brings: means over seeds, an interval over photos, and its place on the page."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def framing(load_benchmark):
    return load_benchmark("framing")


@pytest.fixture
def found(framing):
    """Two seeds, 100 photos; framed is right where the template is, and on ten photos more."""
    rows = []
    for seed in (0, 1):
        for number in range(100):
            for way, right in zip(framing.WAYS, (number < 60, number < 50, number < 20), strict=True):
                rows.append(("rafdb", seed, way, f"{number}.jpg", right))
    return pd.DataFrame(rows, columns=["source", "seed", "way", "file", "right"])


def test_gain_and_interval(framing, found):
    (row,) = framing.summary(found).to_dict("records")
    assert (row["seeds"], row["photos"]) == (2, 100)
    assert [row[way] for way in framing.WAYS] == pytest.approx([0.6, 0.5, 0.2])
    assert row["gain"] == pytest.approx(0.1)
    half = 1.96 * np.sqrt(0.1 * 0.9 / 100)
    assert row["low"] == pytest.approx(0.1 - half, abs=0.015)
    assert row["high"] == pytest.approx(0.1 + half, abs=0.015)


def test_the_page_keeps_the_rest(framing, found, tmp_path):
    text, page = framing.section(framing.summary(found), "erm"), tmp_path / "predict.md"
    page.write_text("a\n<!-- framing -->\nold\n<!-- /framing -->\nb\n", encoding="utf-8")
    framing.write_section(page, "framing", text)
    once = page.read_text(encoding="utf-8")
    assert once.startswith("a\n")
    assert once.endswith("<!-- /framing -->\nb\n")
    assert "old" not in once
    framing.write_section(page, "framing", text)
    assert page.read_text(encoding="utf-8") == once
    assert "| rafdb | 2 | 100 | 60.0 | 50.0 | 20.0 | +10.0 [" in once
    assert "SYNTHETIC" in once
