"""Two methods, or two runs, side by side: differences with intervals and exchange tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_bench.datasets import members_of
from fer_bench.errors import StoreError, UsageError, nearest
from fer_bench.evaluation.estimates import Estimate, Value, answers, difference_interval, estimate
from fer_bench.evaluation.pairs import Comparable, compare, transfer_of, uar_of
from fer_bench.evaluation.statistics import Interval
from fer_bench.evaluation.stored import read_scored
from fer_bench.leaderboard.cells import in_domain_sum
from fer_bench.leaderboard.tables import Section, build_board
from fer_bench.results.record import Record, read_record
from fer_bench.results.store import Store


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        data: Data kind and profile, empty for runs.
        source: Dataset trained on.
        target: Dataset tested on, or `generalisation`.
        score: `UAR` or `transfer`.
        first: Score of the first.
        second: Score of the second.
        difference: First less second.
        interval: 95 % interval of the difference, None with under ten units.
        p: Of the exchange test of this pair alone; None where the rows differ.
        units: Units that were swapped.
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
    note: str = ""


def compare_named(store: Store, first: str, second: str, named: Sequence[str]) -> list[Line]:
    """Compare two methods of a store, or two runs given by key or by record file.

    Args:
        store: The run store.
        first: Method name, run key (or its beginning), or the path of a `record.json` or its folder.
        second: The same kind of thing.
        named: Target list of the generalisation score.

    Raises:
        UsageError: A method and a run, an unknown name, or nothing that both have.
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
            "the two have no test in common", value=f"{first} {second}", hint="fer-bench leaderboard"
        )
    return lines


def _find(store: Store, text: str) -> str | tuple[Store, Record]:
    path = Path(text)
    if path.suffix == ".json" or (path / "record.json").exists():
        file = path if path.suffix == ".json" else path / "record.json"
        record = read_record(file)
        root = file.absolute().parents[3] if len(file.absolute().parents) > 3 else file.parent
        return Store(root), record
    methods = {r.method for r in store.scan()[0]}
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
        if one.in_domain is not None and other.in_domain is not None:
            values = [c.in_domain.estimate.values["uar"] for c in (one, other) if c.in_domain]
            whole = in_domain_sum(one), in_domain_sum(other)
            assert whole[0] is not None
            assert whole[1] is not None
            lines.append(_line(data, source, source, "UAR", values[0], values[1], whole[0], whole[1]))
        if one.comparable is not None and other.comparable is not None:
            means = [c.generalisation.mean for c in (one, other)]
            values = [mean for mean in means if mean is not None]
            sums = one.comparable, other.comparable
            lines.append(_line(data, source, "generalisation", "transfer", values[0], values[1], *sums))
    found = {o.label: o for o in section.overall}
    mine, theirs = found.get(first), found.get(second)
    if mine is not None and theirs is not None and mine.mean is not None and theirs.mean is not None:
        assert mine.comparable is not None
        assert theirs.comparable is not None
        both = mine.comparable, theirs.comparable
        lines.append(_line(data, "overall", "generalisation", "transfer", mine.mean, theirs.mean, *both))
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
    lines = []
    sources = " | ".join(dict.fromkeys((one[1].dataset, other[1].dataset)))
    names = [s.target for s in one[1].scores if s.selection == one[1].headline]
    for target in names:
        scores = [record.score(target, record.headline) for _, record in (one, other)]
        if scores[0] is None or scores[1] is None:
            continue
        shared = tuple(name for name in scores[0].label_set if name in scores[1].label_set)
        estimates, said = [], []
        for store, record in (one, other):
            given = answers(read_scored(store, record, target, record.headline), shared)
            if not len(given.truth):
                raise StoreError("no row of the shared classes", file=store.root, value=target)
            estimates.append(estimate([given], target))
            said.append(given.answer)
        line = _uar_line("", sources, target, *estimates)
        if target not in {*members_of(one[1].dataset), *members_of(other[1].dataset)} and estimates[0].k > 1:
            line = _transfer_line(sources, target, *estimates)
        if one[1].key == other[1].key and line.interval and np.array_equal(said[0], said[1]):
            line = replace(line, interval=Interval(0.0, 0.0))  # no other units would tell a run from itself
        lines.append(line)
    return lines


def _uar_line(data: str, source: str, target: str, one: Estimate, other: Estimate) -> Line:
    values = one.values["uar"], other.values["uar"]
    assert one.terms is not None
    assert other.terms is not None
    sums = uar_of(one.terms, values[0].value), uar_of(other.terms, values[1].value)
    return _line(data, source, target, "UAR", *values, *sums)


def _transfer_line(source: str, target: str, one: Estimate, other: Estimate) -> Line:
    values = one.values["transfer"], other.values["transfer"]
    assert one.terms is not None
    assert other.terms is not None
    sums = transfer_of(one.terms, values[0].value), transfer_of(other.terms, values[1].value)
    return _line("", source, target, "transfer", *values, *sums)


def _line(
    data: str,
    source: str,
    target: str,
    score: str,
    first: Value,
    second: Value,
    one: Comparable,
    other: Comparable,
) -> Line:
    line = Line(
        data=data,
        source=source,
        target=target,
        score=score,
        first=first.value,
        second=second.value,
        difference=first.value - second.value,
        interval=None,
        p=None,
        units=len(one.units),
    )
    if one.rows != other.rows:
        return replace(line, note="tested on other rows, crops, folds or seeds")
    (test,) = compare({"first": one, "second": other}).tests
    return replace(line, interval=difference_interval(first, second), p=test.p)
