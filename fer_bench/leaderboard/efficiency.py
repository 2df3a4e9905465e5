"""What the methods of a section cost to train and to predict with, beside what they score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from fer_bench.evaluation.intervals import Value, average
from fer_bench.leaderboard.sections.baseline import BASELINE
from fer_bench.results.efficiency import BATCHES, Efficiency, Predicting
from fer_bench.results.record import Record

if TYPE_CHECKING:
    from fer_bench.leaderboard.tables import Section

TRAINING = ("cpu_train", "cpu_validate")
"""What training takes of a record's CPU time: steps, and the validation after each epoch."""


@dataclass(frozen=True)
class Cost:
    """What one method with some settings costs.

    Attributes:
        label: The method.
        trained: Trainable parameters, as the records say; 0 where unknown.
        multiply_adds: Of a picture, from the crop to the answer; 0 where unknown.
        parameters: Parameters that predicting reads; None where it was not measured.
        relative: CPU time of a call as a multiple of the reference's, by pictures per call.
        milliseconds: Time of a call on the GPU, by pictures per call.
        memory: Most bytes that predicting holds, by device.
        training: CPU time of training as a multiple of the reference's: the median over runs of the same
            source, fold and seed on the same processor.
        score: What is compared with the cost; None without one.
    """

    label: str
    trained: int
    multiply_adds: int
    parameters: int | None = None
    relative: Mapping[int, float] = field(default_factory=dict)
    milliseconds: Mapping[int, float] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    training: float | None = None
    score: Value | None = None


@dataclass(frozen=True)
class Point:
    """A method in a plot: its cost, its score, and whether it is compared with others."""

    label: str
    cost: float
    score: Value
    compared: bool


@dataclass(frozen=True)
class Axis:
    """One kind of cost, and the methods that have it."""

    title: str
    points: tuple[Point, ...]

    @property
    def front(self) -> tuple[Point, ...]:
        """Return the methods compared that none beats at no higher cost, the cheapest first.

        By the scores as they are: whether a difference is more than chance, tests say.
        """
        best: list[Point] = []
        ready = [one for one in self.points if one.compared]
        for one in sorted(ready, key=lambda p: (p.cost, -p.score.value, p.label)):
            if not best or one.score.value > best[-1].score.value:
                best.append(one)
        return tuple(best)

    @property
    def limits(self) -> tuple[float, float]:
        """Return where a logarithmic axis begins and ends, with room for names to the right of points."""
        found = [point.cost for point in self.points]
        return min(found) / 1.6, max(found) * 2.2

    @property
    def steps(self) -> list[tuple[float, float]]:
        """Return the line of the front: cost and score of its methods, and how it goes on to the right."""
        best = [(point.cost, point.score.value) for point in self.front]
        return [*best, (self.limits[1], best[-1][1])] if best else []


@dataclass(frozen=True)
class Costs:
    """The costs of a section's methods.

    Attributes:
        rows: In the order of all tables.
        scored: What their score is: `mean transfer to other datasets`, or UAR on the own ones.
        compared: Methods that may be compared by it.
        reference: The method that times on a CPU are multiples of; nothing where no time is known.
        core_seconds: Median CPU time of its training runs, None where no record tells.
        runs: Number of these runs.
        processors: CPU of these runs.
        measured: Measurements of predicting that the rows come from.
        failed: Why models of this section could not be measured.
    """

    rows: tuple[Cost, ...]
    scored: str
    compared: frozenset[str]
    reference: str
    core_seconds: float | None
    runs: int
    processors: tuple[str, ...]
    measured: tuple[Efficiency, ...]
    failed: tuple[str, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Return the kinds of cost that two methods with a score have."""
        mine = f"multiples of {self.reference}'s"
        found = (
            Axis("multiply-adds of a picture, million", self._points(lambda c: c.multiply_adds / 1e6)),
            Axis(f"CPU time of predicting a picture, {mine}", self._points(lambda c: c.relative.get(1))),
            Axis("GPU time of predicting a picture, ms", self._points(lambda c: c.milliseconds.get(1))),
            Axis(f"CPU time of training, {mine}", self._points(lambda c: c.training)),
        )
        return tuple(axis for axis in found if len(axis.points) > 1)

    def _points(self, cost: Callable[[Cost], float | None]) -> tuple[Point, ...]:
        found = ((one, cost(one)) for one in self.rows)
        return tuple(
            Point(one.label, x, one.score, one.label in self.compared)
            for one, x in found
            if x and one.score is not None
        )


def costs(section: Section) -> Costs:
    """Return what the methods of a section cost.

    A measurement counts for a row where it is of one of the row's runs: not where code, data or settings
    changed and the runs were made again.

    Args:
        section: The section.
    """
    records = {
        label: [r for cell in section.cells if cell.label == label for r in cell.records]
        for label in section.labels
    }
    keys = {record.key: label for label, found in records.items() for record in found}
    by_device = {one.device: _by_label(one, keys) for one in section.efficiencies}
    on_cpu, on_gpu = by_device.get("cpu", {}), by_device.get("cuda", {})
    times = {label: _training(found) for label, found in records.items()}
    reference = _reference(section.labels, on_cpu, times)
    scores, scored, compared = _scores(section)
    rows = []
    for label, found in records.items():
        one = on_cpu.get(label) or on_gpu.get(label)
        rows.append(
            Cost(
                label=label,
                trained=max((r.parameters for r in found), default=0),
                multiply_adds=max((r.multiply_adds for r in found), default=0),
                parameters=None if one is None else one.parameters,
                relative=_relative(on_cpu.get(label), on_cpu.get(reference)),
                milliseconds=_milliseconds(on_gpu.get(label)),
                memory={
                    device: max(by[label].memory.values())
                    for device, by in by_device.items()
                    if label in by and by[label].memory
                },
                training=_ratio(times[label], times.get(reference, {})),
                score=scores.get(label),
            )
        )
    own = times.get(reference, {})
    mine = {r.key for r in section.records}
    return Costs(
        rows=tuple(rows),
        scored=scored,
        compared=compared,
        reference=reference,
        core_seconds=median(own.values()) if own else None,
        runs=len(own),
        processors=tuple(sorted({processor for *_, processor in own})),
        measured=tuple(one for one in section.efficiencies if any(m.key in keys for m in one.models)),
        failed=tuple(why for one in section.efficiencies for key, why in one.failed.items() if key in mine),
    )


def _by_label(found: Efficiency, keys: Mapping[str, str]) -> dict[str, Predicting]:
    return {keys[one.key]: one for one in reversed(found.models) if one.key in keys}


_Unit = tuple[str, str, int, int, str]


def _training(records: Sequence[Record]) -> dict[_Unit, float]:
    """Return the CPU-seconds of training by source, protocol, fold, seed and processor, without GPU runs."""
    found: dict[_Unit, float] = {}
    for r in records:
        seconds = sum(r.timing.get(part, 0.0) for part in TRAINING)
        if seconds > 0 and r.settings.get("device") != "cuda":
            found[r.dataset, r.protocol, r.fold, r.seed, str(r.environment.get("cpu"))] = seconds
    return found


def _reference(
    labels: Sequence[str], on_cpu: Mapping[str, Predicting], times: Mapping[str, Mapping[_Unit, float]]
) -> str:
    """Return the baseline, else the method with the fastest large call, else the first with a time."""
    if BASELINE in on_cpu or times.get(BASELINE):
        return BASELINE
    if on_cpu:
        return min(on_cpu, key=lambda label: (on_cpu[label].seconds[max(BATCHES)], label))
    return next((label for label in labels if times[label]), "")


def _relative(mine: Predicting | None, reference: Predicting | None) -> dict[int, float]:
    if mine is None or reference is None:
        return {}
    return {n: s / reference.seconds[n] for n, s in mine.seconds.items() if reference.seconds.get(n)}


def _milliseconds(mine: Predicting | None) -> dict[int, float]:
    return {} if mine is None else {n: 1000 * s for n, s in mine.seconds.items()}


def _ratio(mine: Mapping[_Unit, float], reference: Mapping[_Unit, float]) -> float | None:
    found = [seconds / reference[unit] for unit, seconds in mine.items() if unit in reference]
    return median(found) if found else None


def _scores(section: Section) -> tuple[dict[str, Value], str, frozenset[str]]:
    """Return the score of each method, what it is, and which methods are compared by it."""
    means = {mine.label: mine.mean for mine in section.overall if mine.mean is not None}
    if means:
        compared = frozenset(section.overall_column.scores)
        return means, "mean transfer to other datasets", compared
    usual = [c for c in section.cells if c.usual and c.headline and not c.is_union]
    own = {(c.label, c.source): c.in_domain.estimate.values["uar"] for c in usual if c.in_domain is not None}
    labels = dict.fromkeys(label for label, _ in own)
    common = [s for s in section.sources if all((label, s) in own for label in labels)]
    apart = {c.label for c in usual if c.apart_in_domain is not None and c.source in common}
    scores = {label: average([own[label, s] for s in common]) for label in labels} if common else {}
    return scores, "mean UAR on the own dataset", frozenset({*scores} - apart)
