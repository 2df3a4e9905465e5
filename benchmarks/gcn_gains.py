"""gcn's gain against the number of people in training: the same variants with more and fewer of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from gcn_arms import Arm, read_arms
from gcn_people import People, mean_errors
from gcn_scores import (
    AGAINST,
    ENROLLED,
    PLAIN,
    PRETRAINED,
    ROWS,
    SCRATCH,
    above,
    common_runs,
    score,
    trained_models,
)
from more_people import drawn_people, size_of
from readme_section import figure_table

from fer_bench.config import SweepConfig
from fer_bench.data.loading.label_fraction import hidden_rows
from fer_bench.data.protocols import find_protocol, in_label_set
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.evaluation.estimates import Estimate
from fer_bench.evaluation.intervals import Value
from fer_bench.leaderboard.markup import percent
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.synthetic.stand_in import stand_in
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

SHARES = ("a quarter", "half")
"""What the names of the variants with fewer people begin with in the sweep file."""
MORE = 80
"""People of the larger drawing."""
LINES = ROWS[:5]
"""Lines that are compared: with what each variant is meant for."""
OWN = LINES[4][0]
PAIRS = (
    (SCRATCH, AGAINST[0]),
    (PRETRAINED, AGAINST[0]),
    (AGAINST[1], AGAINST[0]),
    (PRETRAINED, AGAINST[1]),
    (OWN, AGAINST[1]),
)
"""Gains: a line, and what it is compared with."""
SHORT = {AGAINST[1]: "control", OWN: ENROLLED}
"""Names of lines within names of gains, and of the figure."""


@dataclass(frozen=True)
class Point:
    """The variants with one number of people.

    Attributes:
        people: People in training, mean over folds.
        rows: Labelled pictures of theirs, likewise.
        arms: Runs by variant, of the folds and seeds that all have.
        scores: Of each line.
        error: Generation error of gcn from scratch.
    """

    people: float
    rows: float
    arms: Mapping[str, Arm]
    scores: Mapping[str, Estimate]
    error: float


def read_points(
    store: Store, evidence: SweepConfig, fewer: SweepConfig, people: Sequence[People], size: str
) -> list[Point]:
    """Return the points that a store has finished runs of, those of fewest people first.

    Args:
        store: Where the runs are.
        evidence: The sweep of all people.
        fewer: The sweep with parts of them.
        people: Who is tested.
        size: Size of the stand-in.
    """
    parts = read_arms(store, fewer, size).get("oulu", {})
    found = [
        {name.removeprefix(f"{share}, "): arm for name, arm in parts.items() if name.startswith(share)}
        for share in SHARES
    ]
    found += [read_arms(store, evidence, each).get("oulu", {}) for each in (size, size_of(MORE))]
    whole = [common_runs(arms) for arms in found if len(arms) == len({name for _, name, _ in LINES})]
    return sorted(
        (_point(store, arms, people) for arms in whole if any(arm.records for arm in arms.values())),
        key=lambda point: point.people,
    )


def _point(store: Store, arms: Mapping[str, Arm], people: Sequence[People]) -> Point:
    models = trained_models(store, arms)
    records = [each.record for each in models[SCRATCH]]
    dataset = drawn_dataset((records[0].generator or {})["size"])
    seen = [training_rows(dataset, record) for record in records]
    error = mean_errors(models[SCRATCH], people[0])
    assert error is not None
    return Point(
        people=float(np.mean([rows["subject"].nunique() for rows in seen])),
        rows=float(np.mean([len(rows) for rows in seen])),
        arms=arms,
        scores=score(models, people, LINES),
        error=error.generated,
    )


def drawn_dataset(size: str) -> FaceDataset:
    """Return the drawn Oulu-CASIA of a size, or of `MORE` people."""
    roots = find_roots(str(drawn_people(MORE) if size == size_of(MORE) else stand_in("oulu", size)))
    return Workspace(roots).source("oulu").dataset


def training_rows(dataset: FaceDataset, record: Record) -> pd.DataFrame:
    """Return the rows of the index that a run was trained on: those whose label it was shown."""
    protocol = find_protocol(dataset.card, record.protocol)
    hidden = hidden_rows(dataset, protocol, record.fold, record.settings["train"]["label_fraction"])
    wanted = in_label_set(dataset.index, protocol) & ~hidden
    found: pd.DataFrame = dataset.index[wanted & (dataset.roles(protocol, record.fold) == "train")]
    return found


def gains_table(points: Sequence[Point]) -> str:
    """Return the table: UAR of every line and the gains, by the number of people in training."""
    header = ["people in training", *(f"{point.people:.0f}" for point in points)]
    rows = [["labelled pictures", *(f"{point.rows:.0f}" for point in points)]]
    rows += [["seeds x folds", *(_repetitions(point) for point in points)]]
    rows += [
        [SHORT.get(name, name), *(percent(point.scores[name].values["uar"]) for point in points)]
        for name, *_ in LINES
    ]
    for first, second in PAIRS:
        name = f"{SHORT.get(first, first)} minus {SHORT.get(second, second)}"
        rows.append([name, *(gain(point, first, second) for point in points)])
    rows.append([f"generation error of {SCRATCH}", *(f"{point.error:.4f}" for point in points)])
    return "\n".join(figure_table(header, rows))


def gain(point: Point, first: str, second: str) -> str:
    """Return how far one line is above another at a point, with its interval."""
    return above(point.scores[first].values["uar"], point.scores[second].values["uar"])


def _repetitions(point: Point) -> str:
    arm = point.arms[PLAIN]
    return f"{arm.seeds()} x {len({fold for fold, _ in arm.records})}"


def curves(points: Sequence[Point]) -> dict[str, list[tuple[float, Value]]]:
    """Return people in training and UAR by line, for the figure."""
    return {
        SHORT.get(name, name): [(point.people, point.scores[name].values["uar"]) for point in points]
        for name, *_ in LINES
    }
