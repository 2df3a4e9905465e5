"""How many faces each detector finds, from `benchmarks/alignment.py`: what `no face found` is worth."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas as pd

from fer_bench.data.crops.recipe import NAMES

FILE = Path(__file__).with_name("found_faces.csv")
NO_FACE = "no face"
"""The view of pictures without anybody."""


def sentence(recipes: Iterable[str]) -> str:
    """Say which share of drawn faces the detectors of some recipes find, by view; nothing without one.

    Args:
        recipes: Crop recipes, as records name them.
    """
    texts, rates = list(recipes), _rates()
    said = []
    for detector, title in NAMES.items():
        views = rates.get(detector)
        if views and any(title in text for text in texts):
            spans = (f"{_span(low, high)} {view}" for view, (low, high) in views.items())
            said.append(f"{title} finds {', '.join(spans)}")
    if not said:
        return ""
    return f"Of drawn faces, by camera: {'; '.join(said)}. Of people: unknown (`fer-bench docs alignment`)."


@cache
def _rates() -> dict[str, dict[str, tuple[float, float]]]:
    """Return the lowest and highest share found over the cameras, by detector and view."""
    table = pd.read_csv(FILE)
    table = table[table["view"] != NO_FACE]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for (detector, view), rows in table.groupby(["detector", "view"], sort=False):
        share = rows["found"]
        found.setdefault(str(detector), {})[str(view)] = float(share.min()), float(share.max())
    return found


def _span(low: float, high: float) -> str:
    first, last = f"{100 * low:.0f}", f"{100 * high:.0f}"
    return f"{first} %" if first == last else f"{first} to {last} %"
