"""Explanations as pictures and as one page that needs no other file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure
from fer_bench.files import write_text
from fer_bench.inference.explain import Explanation

REGION = "#ff3b30"


def draw(one: Explanation, file: Path | io.BytesIO, *, title: str = "") -> None:
    """Draw an explanation: the face, the map with the units' regions, what is particular to the method.

    Args:
        one: The explanation.
        file: A PNG file, or a buffer for one.
        title: Line above it.
    """
    panels = 3 + 2 * (one.reference is not None) + (one.mask is not None)
    with figure_style():
        figure = new_figure(2.1 * panels + 0.6, 2.7)
        figure.suptitle(title, fontsize=8, x=0.01, ha="left")
        places = list(figure.subplots(1, panels))
        _show(places[0], one.crop, one.name)
        _show(places[1], one.crop, f"map of {one.predicted}")
        places[1].imshow(one.map, cmap="viridis", alpha=0.55, vmin=0, vmax=1)
        if one.region is not None:
            places[1].contour(one.region, levels=[0.5], colors=REGION, linewidths=1)
        at = 2
        if one.reference is not None and one.difference is not None:
            _show(places[2], one.reference, "generated reference", cmap="gray", vmin=0, vmax=255)
            _show(places[3], one.difference, "difference", cmap="magma", vmin=0)
            at = 4
        if one.mask is not None:
            _mask(places[at], one)
            at += 1
        _shares(places[at], one)
        if isinstance(file, Path):
            save_figure(figure, file)
        else:
            figure.savefig(file, format="png", metadata={"Software": None})


def _show(place: Any, picture: Any, title: str, **more: Any) -> None:
    place.imshow(picture, **more)
    place.set_title(title if len(title) <= 28 else f"…{title[-27:]}", fontsize=8)
    place.axis("off")


def _shares(place: Any, one: Explanation) -> None:
    names = list(one.shares)
    colours = [COLOURS[1] if name == one.predicted else COLOURS[0] for name in names]
    place.barh(names, [one.shares[name] for name in names], color=colours)
    place.set_xlim(0, 1)
    place.invert_yaxis()
    place.tick_params(labelsize=7)
    place.set_title("probability", fontsize=8)


def _mask(place: Any, one: Explanation) -> None:
    """Plot the mask per channel, sorted within each class's group; the explained class's is coloured."""
    assert one.mask is not None
    for name, (first, last) in one.groups.items():
        values = np.sort(one.mask[first : last + 1])[::-1]
        colour = COLOURS[1] if name == one.predicted else "#b0b0b0"
        place.fill_between(np.arange(first, last + 1), values, color=colour, step="mid", linewidth=0)
        place.text((first + last) / 2, -0.03, name[:3], fontsize=6, ha="center", va="top")
    place.set_xticks([])
    place.set_ylim(0, 1)
    place.tick_params(labelsize=7)
    place.set_title("mask per channel, by class", fontsize=8)


def verdict(one: Explanation) -> str:
    """Return in words what the map is worth: beside random maps, and beside the area of the regions."""
    if not one.map.any():
        return f"the map is empty: no feature of this layer speaks for {one.predicted}"
    lower, higher = one.deletion < one.random_deletion, one.insertion > one.random_insertion
    word = {
        2: "better than random maps",
        1: "no clear difference from random maps",
        0: "worse than random maps",
    }
    text = (
        f"deletion {one.deletion:.2f} (random maps {one.random_deletion:.2f}), "
        f"insertion {one.insertion:.2f} (random maps {one.random_insertion:.2f}): {word[lower + higher]}"
    )
    if one.share is not None and one.area is not None:
        units = ", ".join(map(str, one.units))
        text += f"; {100 * one.share:.0f} % of the map on the regions of AU {units}, which are "
        text += f"{100 * one.area:.0f} % of the picture"
    return text


def write_page(file: Path, found: Sequence[Explanation], facts: Sequence[str]) -> None:
    """Write explanations as one HTML page with all pictures inside.

    Args:
        file: The page.
        found: The explanations.
        facts: Lines at the top.
    """
    parts = []
    for one in found:
        buffer = io.BytesIO()
        draw(one, buffer)
        data = base64.b64encode(buffer.getvalue()).decode()
        alt = html.escape(f"{one.name}: {one.predicted}", quote=True)
        parts.append(
            f"<section><h2>{html.escape(one.name)}: {html.escape(one.predicted)} "
            f"{100 * one.shares[one.predicted]:.0f} %</h2>"
            f'<img alt="{alt}" src="data:image/png;base64,{data}">'
            f"<p>{html.escape(verdict(one))}</p></section>"
        )
    lines = "".join(f"<p>{html.escape(fact)}</p>" for fact in facts)
    write_text(
        file,
        '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Explanations</title>\n'
        "<style>body{font:14px sans-serif;max-width:1100px;margin:1em auto}img{max-width:100%}"
        "h2{font-size:1.05em;margin:1.5em 0 .3em}p{margin:.3em 0}</style>\n"
        f"{lines}\n{''.join(parts)}</html>\n",
    )
