"""Measure what a real neutral reference gives gcn, on drawn people: a section of its README.

The test rows of stored runs of gcn are predicted with the generated reference, with the neutral first frame
of the same sequence, and with that of another person.

    python benchmarks/enrolment.py --runs-dir runs --dataset oulu --dataset ckplus
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from readme_section import figure_table, write_section
from sweep_runs import finished_on

from fer_bench.data.loading.batches import reference_rows
from fer_bench.errors import DataError
from fer_bench.evaluation.intervals import Value, change
from fer_bench.evaluation.robustness import ranking_value
from fer_bench.evaluation.stored import read_scored
from fer_bench.inference.enrolment import compare, reference_feature
from fer_bench.inference.opening import checkpoint_of, open_face_model
from fer_bench.leaderboard.in_domain import pool
from fer_bench.leaderboard.markup import percent, signed_percent, with_interval
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.reopen import reopen
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

ROOT = Path(__file__).parents[1]
README = ROOT / "fer_bench" / "methods" / "gcn" / "README.md"
REFERENCES = ("generated", "own neutral frame", "another person's neutral frame")
Models = list[tuple[Record, Predictions]]


def predict(store: Store, record: Record, workspace: Workspace) -> dict[str, Predictions]:
    """Return a run's predictions of its test rows with a neutral frame, with each kind of reference."""
    stored = read_scored(store, record, record.dataset, record.headline)
    model = checkpoint_of(open_face_model(store.run_dir("gcn", record.dataset, record.key).path, "cpu"))
    dataset = workspace.source(record.dataset).dataset
    pack = workspace.pack(record.dataset, model.card.recipe.size)
    if pack.pixel_hash != stored.meta.pixels:
        raise DataError("the crops are not those that the run was tested on", value=record.dataset)
    index = dataset.index
    rows = index["sample_id"].reset_index(drop=True)
    positions = rows.reset_index().set_index("sample_id")["index"]
    places = positions[stored.frame["sample_id"]].to_numpy(np.int64)
    own = reference_rows(index)[places]
    kept = own >= 0
    places, own = places[kept], own[kept]
    frame = stored.frame[kept].reset_index(drop=True)
    given = {"own neutral frame": own, "another person's neutral frame": _others(index["subject"], own)}
    found = {"generated": replace(stored, frame=frame)}
    for name, partners in given.items():
        logits = np.empty((len(places), len(record.classes)), np.float32)
        for partner in np.unique(partners):
            alike = partners == partner
            images = model.images(np.asarray(pack.pixels[[partner]]))[:, :1]
            crops = np.asarray(pack.pixels[places[alike]])
            logits[alike] = compare(model, crops, reference_feature(model, images))
        columns = {f"logit_{name}": logits[:, at] for at, name in enumerate(record.classes)}
        found[name] = replace(stored, frame=frame.assign(**columns))
    return found


def _others(subjects: Sequence[str], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row the neutral frame of the next person of the test rows."""
    people = np.asarray(subjects, object)[own]
    names = sorted(set(people))
    first = {name: own[np.flatnonzero(people == name)[0]] for name in names}
    following = {name: first[names[(at + 1) % len(names)]] for at, name in enumerate(names)}
    return np.array([following[name] for name in people])


def measure(store: Store, dataset: str, workspace: Workspace | None = None) -> list[list[str]]:
    """Return the lines of the table for a source."""
    records = finished_on(store, [dataset], "gcn")
    workspace = workspace or reopen(records[0], find_roots(None))
    models: dict[str, Models] = {name: [] for name in REFERENCES}
    for record in records:
        for name, predictions in predict(store, record, workspace).items():
            models[name].append((record, predictions))
    values: dict[str, Value] = {}
    for name in REFERENCES:
        pooled = pool(models[name], records[0].classes)
        values[name] = ranking_value(pooled, dataset, "gcn")
    count = len(models["generated"][0][1].frame)
    people = models["generated"][0][1].frame["unit"].nunique()
    where = f"{dataset}: {count} rows, {people} people, {len(records)} seeds"
    lines = []
    for name in REFERENCES:
        gain = change(values[name], values["generated"]) if name != "generated" else None
        shown = with_interval(gain, signed_percent) if gain is not None else ""
        lines.append([where, name, percent(values[name]), shown])
    return lines


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return the section of the README."""
    rows = [[f"{where}; {name}", uar, gain] for where, name, uar, gain in lines]
    return "\n".join(figure_table(["test rows; reference", "UAR, %", "gain over generated, points"], rows))


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", action="append", help="Default: oulu and ckplus.")
    parser.add_argument("--out", type=Path, default=README)
    arguments = parser.parse_args()
    store = Store(arguments.runs_dir)
    lines = [line for name in arguments.dataset or ["oulu", "ckplus"] for line in measure(store, name)]
    write_section(arguments.out, "enrolment", table(lines))
    print(table(lines))


if __name__ == "__main__":
    main()
