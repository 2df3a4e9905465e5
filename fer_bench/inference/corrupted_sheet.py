"""A sheet of test rows under every corruption at every strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_bench.data.crops.corruptions import STRENGTHS, Corruption
from fer_bench.errors import UsageError
from fer_bench.figures import figure_style, new_figure, save_figure
from fer_bench.inference.robustness import Work, corrupted_crops

FACES = 2


def draw_sheet(work: Work, corruptions: Sequence[Corruption], file: Path) -> None:
    """Draw some test rows of a run as they are, and under every corruption at every strength.

    Args:
        work: The run and its data.
        corruptions: Rows of the sheet.
        file: A PNG or JPEG file.

    Raises:
        UsageError: Another suffix.
    """
    if file.suffix not in (".png", ".jpg", ".jpeg"):
        raise UsageError("the sheet is a PNG or JPEG file", value=str(file), hint="--show seen.png")
    labels = work.dataset.index["label"].iloc[work.rows].to_numpy(object)
    _, firsts = np.unique(labels, return_index=True)
    rows = work.rows[np.sort(firsts)[:FACES]]
    kind = "SYNTHETIC DATA: " if work.record.data_kind == "synthetic" else ""
    with figure_style():
        figure = new_figure(1.1 + 1.5 * (STRENGTHS + 1), 0.93 * len(corruptions) + 0.4)
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)
        figure.suptitle(f"{kind}{work.meta.target}, {work.pack.recipe.text}; strengths 0 to 5", fontsize=9)
        places = figure.subplots(len(corruptions), STRENGTHS + 1, squeeze=False)
        for line, corruption in zip(places, corruptions, strict=True):
            corrupted = corrupted_crops(work.dataset, work.pack, rows, corruption, work.points)
            stages = [np.asarray(work.pack.pixels[rows]), *corrupted]
            for strength, (place, crops) in enumerate(zip(line, stages, strict=True)):
                place.imshow(np.concatenate([*crops], axis=1))
                place.set_xticks([])
                place.set_yticks([])
                place.spines[:].set_visible(False)
                if strength:
                    place.set_xlabel(f"{corruption.constants[strength - 1]:g}", fontsize=7, labelpad=1)
            line[0].set_ylabel(corruption.title, fontsize=8, rotation=0, ha="right", va="center")
        save_figure(figure, file)
