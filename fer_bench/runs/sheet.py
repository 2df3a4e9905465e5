"""A sheet of what an outside model sees after preprocessing, beside its answers."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.protocols import evaluation_rows
from fer_bench.errors import UsageError
from fer_bench.figures import figure_style, new_figure, save_figure
from fer_bench.files import write_text
from fer_bench.models.card import ModelCard
from fer_bench.models.preprocess import Crops, network_input, shown_input
from fer_bench.runs.outside import Prepared

FACES = 24
COLUMNS = 4


@dataclass(frozen=True)
class Sheet:
    """What a model sees and answers.

    Attributes:
        facts: Lines about the network's input.
        labels: Label of each face.
        samples: Its sample id.
        crops: uint8 [N, S, S, 3], the packed crops.
        seen: uint8 [N, S, S, 3], what the network gets: its first channel red, its third blue.
        classes: The model's emotions.
        shares: Their probabilities [N, K].
    """

    facts: tuple[str, ...]
    labels: tuple[str, ...]
    samples: tuple[str, ...]
    crops: Crops
    seen: Crops
    classes: tuple[str, ...]
    shares: NDArray[np.float64]


def make_sheet(ready: Prepared) -> Sheet:
    """Return what a model sees of some faces of the first target, as many of each class as there is room for.

    Args:
        ready: The model and the datasets.

    Raises:
        DataError: The model cannot be computed, or its answers are not what its card says.
    """
    model, targets, workspace = ready.model, ready.targets, ready.workspace
    name, card = targets.names[0], model.card
    dataset, pack = workspace.source(name).dataset, workspace.pack(name, card.input.size)
    _, rows = evaluation_rows(dataset.index, dataset.card, None, quick=ready.profile == "quick")
    chosen = _spread(dataset.index.iloc[rows]["label"], FACES)
    index, crops = dataset.index.iloc[rows[chosen]], np.asarray(pack.pixels[rows[chosen]])
    logits = model.logits(model.answer(crops)).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    drawn = "SYNTHETIC DATA: " if targets.kind == "synthetic" else ""
    facts = [f"{drawn}{card.name} on {name}; crops: {pack.recipe.text}"]
    facts.append("Left the crop, right what the network gets; above them label and answer.")
    seen = crops
    if model.kind != "entry point":
        values = network_input(crops, card.input)
        seen = shown_input(values, card.input)
        facts.append(_of_values(values, card))
        if card.input.colour == "bgr":
            facts.append("The network gets blue first: shown as red, green, blue, its faces look blue.")
    else:
        facts.append("The package takes the crops as they are and prepares them itself.")
    return Sheet(
        facts=tuple(facts),
        labels=tuple(map(str, index["label"])),
        samples=tuple(map(str, index["sample_id"])),
        crops=crops,
        seen=seen,
        classes=card.labels,
        shares=powers / powers.sum(axis=1, keepdims=True),
    )


def _spread(labels: pd.Series, most: int) -> NDArray[np.int64]:
    """Return positions of at most so many rows, as many of each label, spread over its rows."""
    groups = [np.flatnonzero(labels == label) for label in sorted(labels.dropna().unique())]
    each = max(1, most // max(1, len(groups)))
    picked = [group[np.linspace(0, len(group) - 1, min(each, len(group))).astype(int)] for group in groups]
    return np.sort(np.concatenate(picked)[:most]).astype(np.int64)


def _of_values(values: NDArray[np.float32], card: ModelCard) -> str:
    channels = values.swapaxes(0, 1) if card.input.layout == "nchw" else np.moveaxis(values, -1, 0)
    means = ", ".join(f"{channel.mean():.2f}" for channel in channels)
    spec = card.input
    return (
        f"Network input {spec.layout} {'x'.join(map(str, spec.shape))}, {spec.colour}: values "
        f"{values.min():.2f} to {values.max():.2f}, mean per channel {means}"
    )


def write_sheet(ready: Prepared, file: Path) -> Sheet:
    """Write a sheet of what a model sees.

    Args:
        ready: The model and the datasets.
        file: A PNG file, or an HTML page with the picture and all probabilities.

    Raises:
        UsageError: Another suffix.
        DataError: See `make_sheet`.
    """
    if file.suffix not in (".png", ".html"):
        raise UsageError("a sheet is a PNG file or an HTML page", value=str(file), hint="--show seen.png")
    sheet = make_sheet(ready)
    if file.suffix == ".png":
        _draw(sheet, file)
        return sheet
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "sheet.png"
        _draw(sheet, picture)
        write_text(file, _page(sheet, picture.read_bytes()))
    return sheet


def _draw(sheet: Sheet, file: Path) -> None:
    count = len(sheet.labels)
    lines = -(-count // COLUMNS)
    with figure_style():
        figure = new_figure(2.3 * COLUMNS, 1.35 * lines + 0.3 * len(sheet.facts) + 0.2)
        figure.suptitle("\n".join(sheet.facts), fontsize=8, x=0.01, ha="left")
        for at, place in enumerate(figure.subplots(lines, COLUMNS, squeeze=False).flat):
            place.axis("off")
            if at >= count:
                continue
            gap = np.full((sheet.crops.shape[1], max(1, sheet.crops.shape[2] // 20), 3), 255, np.uint8)
            place.imshow(np.concatenate([sheet.crops[at], gap, sheet.seen[at]], axis=1))
            best = int(sheet.shares[at].argmax())
            right = sheet.classes[best] == sheet.labels[at]
            place.set_title(
                f"{sheet.labels[at]} → {sheet.classes[best]} {100 * sheet.shares[at, best]:.0f} %",
                fontsize=7,
                color="black" if right else "#d55e00",
            )
        save_figure(figure, file)


def _page(sheet: Sheet, picture: bytes) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    rows = [
        row([sample, label, *(f"{100 * share:.1f}" for share in shares)], "td")
        for sample, label, shares in zip(sheet.samples, sheet.labels, sheet.shares, strict=True)
    ]
    facts = "".join(f"<p>{html.escape(fact)}</p>" for fact in sheet.facts)
    header = row(["sample", "label", *(f"{name} (%)" for name in sheet.classes)], "th")
    data = base64.b64encode(picture).decode()
    return (
        '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>What the network sees</title>\n'
        "<style>body{font:14px sans-serif}td,th{padding:2px 8px;text-align:right}</style>\n"
        f'{facts}\n<img alt="crops beside network input" src="data:image/png;base64,{data}">\n'
        f"<table>{header}{''.join(rows)}</table></html>\n"
    )
