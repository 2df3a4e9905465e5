"""Measure small networks beside their teacher: `docs/light-models.md`, with its table as csv and a figure.

A teacher is trained on drawn faces; each student once from labels alone (`erm` with the same network and
recipe) and once from the teacher as well (`distilled`). All are exported in float32 and in 8 bits, and each
export is timed in turn with its teacher's. What is stored already is not trained again.

    python benchmarks/light_models.py --runs-dir runs-light
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from light_models_page import write_page

from fer_bench import arithmetic
from fer_bench.config import RunOptions
from fer_bench.data.card import Protocol
from fer_bench.data.protocols import evaluation_rows, find_protocol
from fer_bench.datasets import members_of
from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.intervals import Value, average, difference
from fer_bench.evaluation.statistics import Answers
from fer_bench.inference.distillation import STUDENTS, prepare_lessons
from fer_bench.inference.export import export_onnx
from fer_bench.inference.latency import BATCHES, latency_ratios
from fer_bench.inference.model_card import model_card
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.inference.opening import open_checkpoint
from fer_bench.inference.quantise import export_int8
from fer_bench.inference.source_rows import SourceRows, open_source_rows
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.reopen import reopen
from fer_bench.runs.sweep import carry_out, open_sweep
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

ROOT = Path(__file__).parents[1]
RECIPE = ("mode", "dropout", "lr", "weight_decay", "warmup")
"""Settings that a student from labels alone takes from one with a teacher, besides those of training."""


@dataclass(frozen=True)
class Trained:
    """A finished run and what it is in the table.

    Attributes:
        kind: `teacher`, or the name of the student's network.
        taught: Whether it learned from the teacher; None for the teacher.
        record: Its record.
    """

    kind: str
    taught: bool | None
    record: Record


@dataclass(frozen=True)
class Tested:
    """The scores, size and time of one form of a trained network.

    Attributes:
        of: What was trained.
        bits: 32 or 8.
        answers: Its answers by target.
        size: Bytes of the export.
        latency: Time as a share of the teacher's in float32, by batch size.
    """

    of: Trained
    bits: int
    answers: dict[str, Answers]
    size: int
    latency: dict[int, float]


def train(given: argparse.Namespace, store: Store) -> Iterator[Trained]:
    """Yield the teachers and their students, trained if the store does not have them."""
    cell = {
        "methods": [given.teacher],
        "datasets": given.dataset,
        "seeds": given.seed,
        "targets": given.target,
        "profile": "quick",
        "device": "cpu",
    }
    for teacher in _carry_out(cell, store):
        yield Trained("teacher", None, teacher)
        folder = store.run_dir(teacher.method, teacher.dataset, teacher.key)
        model = open_checkpoint(folder.checkpoints / f"{teacher.headline}.pt", "cpu")
        for name in given.student:
            (student,) = _carry_out({**prepare_lessons(model, store, name).fields, "device": "cpu"}, store)
            yield Trained(name, True, student)
            (alone,) = _carry_out(_without_teacher(student), store)
            yield Trained(name, False, alone)


def _without_teacher(student: Record) -> dict[str, Any]:
    """Return the cell in which the same network learns by the same recipe from labels alone."""
    method, training = student.settings["method"], student.settings["train"]
    names = ("backbone", "size", *RECIPE)
    settings = [f"method.{name}={method[name]}" for name in names]
    settings += [f"train.{name}={training[name]}" for name in ("max_epochs", "batch_size", "epoch_rows")]
    own = members_of(student.dataset)
    return {
        "methods": ["erm"],
        "datasets": [student.dataset],
        "protocols": {student.dataset: student.protocol},
        "folds": [student.fold],
        "seeds": [student.seed],
        "profile": "quick",
        "targets": [target for target in student.targets if target not in own],
        "device": "cpu",
        "set": settings,
    }


def _carry_out(cell: dict[str, Any], store: Store) -> tuple[Record, ...]:
    planned = open_sweep(check_sweep(cell), find_roots(None), RunOptions(jobs=1))
    result = carry_out(planned, store)
    if not result.all_done:
        raise SystemExit("; ".join(bad.message for bad in result.bad_endings))
    return result.records


def test(trained: Sequence[Trained], store: Store, folder: Path) -> Iterator[Tested]:
    """Yield both forms of each network, the teacher of a source and seed before its students."""
    teacher: OnnxModel | None = None
    for number, each in enumerate(trained):
        record = each.record
        run = store.run_dir(record.method, record.dataset, record.key)
        opened = open_checkpoint(run.checkpoints / f"{record.headline}.pt", "cpu")
        rows = open_source_rows(opened, find_roots(None))
        described = model_card(opened.card, record)
        whole, small = (folder / f"{number}-{bits}.onnx" for bits in (32, 8))
        export_onnx(opened, described, rows.crops(rows.rows("val", 64)), whole)
        export_int8(whole, rows, described, small)
        forms = {32: OnnxModel(whole, "cpu", threads=1), 8: OnnxModel(small, "cpu", threads=1)}
        teacher = forms[32] if each.taught is None else teacher
        assert teacher is not None
        crops, workspace = rows.crops(rows.rows("val", 32)), reopen(record, find_roots(None))
        for bits, model in forms.items():
            yield Tested(
                each,
                bits,
                dict(_answers(model, record, workspace, rows.protocol)),
                model.path.stat().st_size,
                dict.fromkeys(BATCHES, 1.0) if model is teacher else latency_ratios(model, teacher, crops),
            )


def _answers(
    model: OnnxModel, record: Record, workspace: Workspace, own: Protocol
) -> Iterator[tuple[str, Answers]]:
    """Yield the answers of a model on the test rows of its source and of every target."""
    for target in record.targets:
        source = workspace.source(target)
        card, index = source.dataset.card, source.dataset.index
        protocol = find_protocol(card, record.protocol) if target == record.dataset else None
        _, rows = evaluation_rows(index, card, protocol, fold=record.fold, quick=True)
        there = SourceRows(record, source, workspace.pack(target, model.card.recipe.size), own, False)
        score = record.score(target, record.headline)
        assert score is not None
        yield target, answers(there.predictions(model, rows), score.label_set)


def table(tested: Sequence[Tested]) -> pd.DataFrame:
    """Return a row per source, network, way of learning and number of bits, averaged over seeds."""
    groups: dict[tuple[str, str, bool | None, int], list[Tested]] = {}
    for each in tested:
        groups.setdefault((each.of.record.dataset, each.of.kind, each.of.taught, each.bits), []).append(each)
    rows = []
    for (source, kind, taught, bits), group in groups.items():
        found = _estimates(group)
        cross = average([e.values["transfer"] for target, e in found.items() if target != source])
        alone = groups.get((source, kind, False, bits))
        gain = None if not taught or alone is None else _gain(found[source], _estimates(alone)[source])
        record = group[0].of.record
        rows.append(
            {
                "source": source,
                "network": kind if kind != "teacher" else f"teacher ({record.method})",
                "learns from": {None: "labels", True: "labels and teacher", False: "labels"}[taught],
                "bits": bits,
                "seeds": len(group),
                "parameters": record.parameters,
                "multiply_adds": record.multiply_adds,
                "size": sum(each.size for each in group) / len(group),
                **{
                    f"time_batch_{size}": sum(each.latency[size] for each in group) / len(group)
                    for size in BATCHES
                },
                **_columns("accuracy", found[source].values["accuracy"]),
                **_columns("uar", found[source].values["uar"]),
                **_columns("transfer", cross),
                **_columns("uar_gain", gain),
            }
        )
    return pd.DataFrame(rows)


def _estimates(group: Sequence[Tested]) -> dict[str, Estimate]:
    """Return the scores of one form of a network on every target, over its seeds."""
    seeds = [each.of.record.seed for each in group]
    targets = group[0].answers
    return {
        target: estimate([each.answers[target] for each in group], target, seeds=seeds) for target in targets
    }


def _gain(with_teacher: Estimate, alone: Estimate) -> Value | None:
    return difference(with_teacher.values["uar"], alone.values["uar"])


def _columns(name: str, value: Value | None) -> dict[str, float | None]:
    ends = None if value is None else value.interval
    return {
        name: None if value is None else value.value,
        f"{name}_low": None if ends is None else ends.low,
        f"{name}_high": None if ends is None else ends.high,
    }


def main() -> None:
    """Train what is missing, measure, and write table, figure and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs-light")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--teacher", default="cafe", help="Method of the teachers.")
    parser.add_argument("--student", nargs="+", default=list(STUDENTS))
    parser.add_argument("--dataset", nargs="+", default=["rafdb"])
    parser.add_argument("--target", nargs="+", default=["rafdb", "oulu", "affectnet7"])
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1])
    given = parser.parse_args()
    arithmetic.choose_portable()
    store = Store(given.runs_dir)
    with tempfile.TemporaryDirectory() as folder:
        tested = list(test(list(train(given, store)), store, Path(folder)))
    frame = table(tested)
    write_page(frame, tested[0].of.record, given.out)
    print((given.out / "light-models.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
