"""The page, table and figure of `light_models.py`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure
from fer_bench.files import write_text
from fer_bench.leaderboard.markup import decimal, percent, signed_percent, table, with_interval
from fer_bench.results.record import Record
from fer_bench.runs.environment import describe_without_torch

MARKS = {32: "o", 8: "s"}


def write_page(frame: pd.DataFrame, record: Record, folder: Path) -> None:
    """Write `light-models.csv`, `light-models.png` and `light-models.md`.

    Args:
        frame: From `light_models.table`.
        record: A run of it, for how large the drawing was.
        folder: Where they go.
    """
    write_text(folder / "light-models.csv", frame.round(4).to_csv(index=False))
    draw(frame, folder / "light-models.png")
    write_text(folder / "light-models.md", page(frame, record))


def draw(frame: pd.DataFrame, file: Path) -> None:
    """Draw UAR and transfer against time and size, one line of panels per source."""
    sources = list(dict.fromkeys(frame["source"]))
    ways = list(dict.fromkeys(zip(frame["network"], frame["learns from"], strict=True)))
    with figure_style():
        figure = new_figure(9.0, 2.8 * len(sources) + 0.6)
        panels = figure.subplots(len(sources), 3, squeeze=False)
        for line, source in zip(panels, sources, strict=True):
            for panel, (x, y, label) in zip(line, _AXES, strict=True):
                for number, way in enumerate(ways):
                    mine = frame[
                        (frame["source"] == source)
                        & (frame["network"] == way[0])
                        & (frame["learns from"] == way[1])
                    ]
                    values = mine["size"] / 2**20 if x == "size" else mine[x]
                    panel.plot(values, mine[y], color=COLOURS[number], linewidth=0.8)
                    for bits, mark in MARKS.items():
                        of = (mine["bits"] == bits).to_numpy()
                        text = f"{way[0]}, {way[1]}" if bits == 32 else None
                        panel.plot(values[of], mine[y][of], mark, color=COLOURS[number], label=text)
                panel.set_xlim(left=0)
                panel.set_xlabel(label)
                panel.set_ylabel(f"{source}: {'UAR' if y == 'uar' else 'transfer'}")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        save_figure(figure, file)


_AXES = (
    ("time_batch_1", "uar", "time at batch 1, teacher = 1"),
    ("size", "uar", "size of the file, MiB"),
    ("time_batch_1", "transfer", "time at batch 1, teacher = 1"),
)


def page(frame: pd.DataFrame, record: Record) -> str:
    """Return the page."""
    drawn = record.generator or {}
    seeds, sources = sorted(set(frame["seeds"])), list(dict.fromkeys(frame["source"]))
    processor = describe_without_torch()["cpu"]
    header = ["network", "learns from", "bits", "parameters", "MiB", "time, batch 1", "time, batch 32"]
    header += ["accuracy, %", "UAR, %", "transfer", "UAR gained from the teacher, points"]
    parts = [
        "# Light models",
        "",
        "**SYNTHETIC DATA.** Written by `python benchmarks/light_models.py`; no number is typed by hand.",
        f"Drawn faces of size `{drawn.get('size')}` ({record.rows.get('train')} training and "
        f"{record.rows.get('test')} test rows of {record.dataset}), profile `quick`, "
        f"{' and '.join(map(str, seeds))} seeds. This shows what the commands do and what to measure; it "
        "says nothing about how much real faces would lose.",
        "",
        "A student learns once from labels alone (`erm`) and once from the teacher as well (`fer-bench "
        "distill`), with the same network, recipe and seeds. Time is that of the export, as a share of the "
        "teacher's in float32, both in turn in one process on one thread of an "
        f"{processor}. In brackets: 95 % intervals over test people or pictures and seeds. Transfer is the "
        "mean over the other datasets. Circles in the figure are float32, squares 8 bits.",
        "",
        "![UAR and transfer against time and size](light-models.png)",
    ]
    for source in sources:
        rows = [_row(row) for _, row in frame[frame["source"] == source].iterrows()]
        parts += ["", f"## Trained on {source}", "", table(header, rows)]
    parts += ["", *_verdict(frame), ""]
    return "\n".join(parts)


def _row(row: pd.Series) -> list[str]:
    return [
        str(row["network"]),
        str(row["learns from"]),
        str(row["bits"]),
        f"{row['parameters']:,}",
        f"{row['size'] / 2**20:.2f}",
        f"{row['time_batch_1']:.2f}",
        f"{row['time_batch_32']:.2f}",
        percent(_value(row, "accuracy")),
        percent(_value(row, "uar")),
        decimal(_value(row, "transfer")),
        "" if (gain := _value(row, "uar_gain")) is None else with_interval(gain, signed_percent),
    ]


def _value(row: pd.Series, name: str) -> Value | None:
    if pd.isna(row[name]):
        return None
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return Value(row[name], None if pd.isna(low) else Interval(low, high))


def _verdict(frame: pd.DataFrame) -> list[str]:
    """Return what the table shows, whatever it shows."""
    taught = frame[(frame["bits"] == 32) & frame["uar_gain"].notna()]
    better = int((taught["uar_gain_low"] > 0).sum())
    worse = int((taught["uar_gain_high"] < 0).sum())
    whole = frame[frame["bits"] == 32].reset_index(drop=True)
    small = frame[frame["bits"] == 8].reset_index(drop=True)
    change = 100 * (small["uar"] - whole["uar"])
    speed = (small["time_batch_1"] / whole["time_batch_1"]).to_numpy()
    return [
        f"Of {len(taught)} students, {better} gained UAR from the teacher and {worse} lost some by more "
        "than their interval; the others are not shown to differ. 8 bits change UAR by "
        f"{change.min():+.1f} to {change.max():+.1f} points, the size to "
        f"{(small['size'] / whole['size']).max():.2f} of it at most, and the time at batch 1 to "
        f"{speed.min():.2f} to {speed.max():.2f} of that in float32."
    ]
