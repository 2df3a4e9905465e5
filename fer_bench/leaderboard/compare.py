"""Two methods, or two runs, side by side: differences with intervals and exchange tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_bench.datasets import members_of
from fer_bench.errors import StoreError, UsageError, nearest
from fer_bench.evaluation import metrics
from fer_bench.evaluation.components import Combined
from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.exposure import Seen, seen_before
from fer_bench.evaluation.intervals import symmetric
from fer_bench.evaluation.pairs import MIN_SEEDS, common_seeds, compare
from fer_bench.evaluation.statistics import Interval
from fer_bench.evaluation.stored import read_scored
from fer_bench.leaderboard.tables import Section, build_board
from fer_bench.results.record import Record, read_record
from fer_bench.results.store import Store

TESTED = ("uar", "transfer")
APART = "not tested, "
"""Beginning of the note on a score that is not compared since a model saw its target before."""
OTHER_ROWS = "tested on other rows, crops, folds or seeds"


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        data: Data kind and profile, empty for runs.
        source: Dataset trained on.
        target: Dataset tested on, or `generalisation`.
        score: Title of the metric.
        first: Score of the first.
        second: Score of the second.
        difference: First minus second.
        interval: 95 % interval of the difference, None with under ten units.
        p: Of the exchange test of this pair alone; None where the rows differ or the metric has no test.
        units: Units of all targets.
        seeds: Seeds that both have.
        note: Why there is no test.
    """

    data: str
    source: str
    target: str
    score: str
    first: float
    second: float
    difference: float
    interval: Interval | None
    p: float | None
    units: int
    seeds: int
    note: str = ""


def compare_named(store: Store, first: str, second: str, named: Sequence[str]) -> list[Line]:
    """Compare two methods of a store, or two runs by key or record file.

    Args:
        store: The run store.
        first: Method name, run key (or its beginning), or the path of a `record.json` or its folder.
        second: The same kind of thing.
        named: Target list of the generalisation score.

    Raises:
        UsageError: A method and a run, an unknown name, or no test that both have.
        StoreError: Damaged records or predictions.
    """
    one, other = _find(store, first), _find(store, second)
    if isinstance(one, str) and isinstance(other, str):
        if one == other:
            raise UsageError("a method cannot be compared with itself", value=one, hint="two run keys can")
        lines = compare_methods(store, one, other, named)
    elif isinstance(one, tuple) and isinstance(other, tuple):
        lines = compare_runs(one, other)
    else:
        raise UsageError(
            "compare two methods or two runs", value=f"{first} {second}", hint="fer-bench compare gcn cafe"
        )
    if not lines:
        raise UsageError(
            "the two were not tested on a common dataset",
            value=f"{first} {second}",
            hint="fer-bench leaderboard",
        )
    return lines


def _find(store: Store, text: str) -> str | tuple[Store, Record]:
    path = Path(text)
    if path.suffix == ".json" or (path / "record.json").exists():
        file = path if path.suffix == ".json" else path / "record.json"
        record = read_record(file)
        root = file.absolute().parents[3] if len(file.absolute().parents) > 3 else file.parent
        return Store(root), record
    methods = {summary.method for summary in store.summaries().values()}
    if text in methods:
        return text
    keys = [run.path.name for run in store.run_dirs() if run.path.name.startswith(text)]
    if not keys:
        raise UsageError(
            f"{store.root} has no such method and no run whose key starts so",
            value=text,
            hint=nearest(text, methods) if methods else "fer-bench run --method gcn --dataset oulu",
        )
    return store, read_record(store.find(text).record_file)


def compare_methods(store: Store, first: str, second: str, named: Sequence[str]) -> list[Line]:
    """Compare two methods with their usual settings, per source, as the leaderboard does.

    Args:
        store: The run store.
        first: Method.
        second: Method.
        named: Target list of the generalisation score.
    """
    board = build_board(store, methods=(first, second), named_targets=named, only=(first, second))
    return [line for section in board.sections for line in _of_section(section, first, second)]


def _of_section(section: Section, first: str, second: str) -> list[Line]:
    data = f"{section.data_kind}, {section.profile}"
    lines = []
    for source in section.sources:
        one, other = section.cell(first, source), section.cell(second, source)
        if one is None or other is None:
            continue
        if one.in_domain and other.in_domain and one.own and other.own:
            line = _tested((data, source, source, "UAR"), one.own, other.own)
            lines.append(_unless_apart(line, one.apart_in_domain, other.apart_in_domain))
            lines += _untested(data, source, source, one.in_domain.estimate, other.in_domain.estimate)
        if one.comparable and other.comparable:
            line = _tested((data, source, "generalisation", "transfer"), one.comparable, other.comparable)
            lines.append(_unless_apart(line, one.apart_elsewhere, other.apart_elsewhere))
    found = {o.label: o for o in section.overall}
    mine, theirs = found.get(first), found.get(second)
    if mine and theirs and mine.comparable and theirs.comparable:
        place = data, "overall", "generalisation", "transfer"
        line = _tested(place, mine.comparable, theirs.comparable)
        lines.append(_unless_apart(line, mine.apart, theirs.apart))
    return lines


def compare_runs(one: tuple[Store, Record], other: tuple[Store, Record]) -> list[Line]:
    """Compare two runs on every dataset that both were tested on, over the classes that both were scored on.

    Args:
        one: A run and its store.
        other: Another.

    Raises:
        StoreError: Damaged predictions.
    """
    if one[1].data_kind != other[1].data_kind:
        raise UsageError("runs on real and synthetic data are never compared")
    lines: list[Line] = []
    sources = " | ".join(dict.fromkeys((one[1].dataset, other[1].dataset)))
    own = {*members_of(one[1].dataset), *members_of(other[1].dataset)}
    for target in [s.target for s in one[1].scores if s.selection == one[1].headline]:
        scores = [record.score(target, record.headline) for _, record in (one, other)]
        if scores[0] is None or scores[1] is None:
            continue
        shared = tuple(name for name in scores[0].label_set if name in scores[1].label_set)
        given = []
        for store, record in (one, other):
            given.append(answers(read_scored(store, record, target, record.headline), shared))
            if not len(given[-1].truth):
                raise StoreError("no row of the shared classes", file=store.root, value=target)
        estimates = [estimate([said], target) for said in given]
        crossed = target not in own and estimates[0].k > 1
        name, title = ("transfer", "transfer") if crossed else ("uar", "UAR")
        first, second = (e.values[name].combined for e in estimates)
        if first is None or second is None:
            continue
        line = _tested(("", sources, target, title), first, second, least_seeds=1)
        found = [_unless_apart(line, *(seen_before(record, target) for _, record in (one, other)))]
        found += _untested("", sources, target, *estimates)
        if one[1].key == other[1].key and np.array_equal(given[0].answer, given[1].answer):
            # a run never differs from itself
            found = [replace(x, interval=Interval(0.0, 0.0)) if x.interval else x for x in found]
        lines += found
    return lines


def _difference(place: tuple[str, str, str, str], first: Combined, second: Combined) -> Line:
    """Compare two scores on the seeds that both have, without a test.

    Args:
        place: Data, source, target and title of the score.
        first: A score.
        second: Another.
    """
    seeds = common_seeds(first, second)
    units = sum(len(part.units) for part in first.parts)
    values = first.value, second.value
    line = Line(*place, *values, values[0] - values[1], interval=None, p=None, units=units, seeds=len(seeds))
    if first.rows != second.rows:
        return replace(line, note=OTHER_ROWS)
    if not seeds:
        return replace(line, note="no common seed")
    one, other = first.on(seeds), second.on(seeds)
    line = replace(line, first=one.value, second=other.value, difference=one.value - other.value)
    return replace(line, interval=symmetric(one.minus(other)).interval)


def _tested(
    place: tuple[str, str, str, str], first: Combined, second: Combined, *, least_seeds: int = MIN_SEEDS
) -> Line:
    """Compare two scores on the seeds that both have, with an exchange test where these are enough.

    Args:
        place: Data, source, target and title of the score.
        first: A score.
        second: Another.
        least_seeds: Common seeds that the test needs.
    """
    line = _difference(place, first, second)
    if line.note:
        return line
    tests = compare({"first": first, "second": second}, least_seeds).tests
    if not tests:
        few = f"provisional: {line.seeds} common {'seed' if line.seeds == 1 else 'seeds'}, not tested"
        return replace(line, note=few)
    return replace(line, p=tests[0].p)


def _unless_apart(line: Line, first: Seen | None, second: Seen | None) -> Line:
    """Return a comparison without its test where one of the two saw before what the other did not.

    Args:
        line: The comparison.
        first: What the first saw before.
        second: What the second saw before.
    """
    if first == second:
        return line
    told = (f"{which}: {seen.reason}" for which, seen in (("first", first), ("second", second)) if seen)
    return replace(line, p=None, note=f"{APART}{', '.join(told)}")


def _untested(data: str, source: str, target: str, one: Estimate, other: Estimate) -> list[Line]:
    """Compare two estimates by the metrics that have intervals of differences and no test."""
    lines = []
    for metric in metrics.shown_in("compare"):
        first, second = one.values.get(metric.name), other.values.get(metric.name)
        if metric.name in TESTED or first is None or second is None:
            continue
        if first.combined is None or second.combined is None:
            continue
        note = "not tested" if metric.higher_is_better else "lower is better, not tested"
        line = _difference((data, source, target, metric.title), first.combined, second.combined)
        lines.append(line if line.note else replace(line, note=note))
    return lines
