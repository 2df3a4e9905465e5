"""Print what labelled pictures of one's own say about a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fer_bench.evaluation.intervals import Value
    from fer_bench.evaluation.metrics import Metric
    from fer_bench.evaluation.recalibration import Recalibration
    from fer_bench.inference.own_report import Report

TITLES = {"none": "temperature", "labels": "and shares of the labels", "em": "and estimated shares"}
"""Calibrations in words."""


def print_report(report: Report, curve: Path | None) -> None:
    """Print a report.

    Args:
        report: From `own_report.report`.
        curve: Where its figure was written, None for nowhere.
    """
    _print_scores(report)
    _print_breakdown(report)
    _print_growth(report)
    if report.calibration is not None:
        _print_calibration(report.recalibrations, report.calibration)
    _print_abstaining(report, curve)
    for warning in report.outcome.record.warnings:
        if warning.startswith(f"{report.outcome.target}: "):
            typer.echo(f"  note: {warning}")
    typer.echo(f"  stored in {report.outcome.folder}")


def _print_scores(report: Report) -> None:
    from fer_bench.evaluation.metrics import shown_in

    tested, here = report.outcome, report.here
    score = tested.score
    kind = "  SYNTHETIC DATA" if tested.record.data_kind == "synthetic" else ""
    of = "" if tested.unit == "image" else f" of {here.units} {report.units}"
    typer.echo(f"{tested.target}: {score.n} pictures{of}, classes: {', '.join(score.label_set)}{kind}")
    if score.kept_share < 1:
        typer.echo(f"  {1 - score.kept_share:.0%} of the labelled pictures are of other classes and left out")
    shown = shown_in("cli", ranking_first=True)
    columns = {"here": {metric.name: _text(metric, here.values.get(metric.name)) for metric in shown}}
    for name, home in report.home.items():
        texts = {metric.name: _text(metric, home.values.get(metric.name)) for metric in shown}
        columns[f"{name}, same classes"] = texts
    if not report.home or any(set(one.classes) != set(score.label_set) for one in report.described):
        for one in report.described:
            title = f"{one.target}, its {len(one.classes)} classes"
            columns[title] = {name: metric.text for name, metric in one.metrics.items()}
    widths = [max(len(title), 24) for title in columns]
    heads = "  ".join(f"{title:{width}}" for title, width in zip(columns, widths, strict=True))
    typer.echo(f"  {'':10} {heads}".rstrip())
    for metric in shown:
        cells = (column.get(metric.name, "-") for column in columns.values())
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        typer.echo(f"  {metric.title:10} {line}".rstrip())
    if len(columns) > 1:
        typer.echo("  the first column is your pictures, the others test rows of what it was trained on")
    else:
        typer.echo("  no in-domain score is known for it")


def _text(metric: Metric, value: Value | None) -> str:
    if value is None:
        return "-"
    if value.interval is None:
        return metric.text(value.value)
    low, high = metric.number(value.interval.low), metric.number(value.interval.high)
    return f"{metric.text(value.value)} ({low} to {high})"


def _print_breakdown(report: Report) -> None:
    details = report.outcome.score.breakdown
    if details is None:
        return
    recalls = ", ".join(
        f"{name} {100 * one.recall:.0f}% of {one.n}"
        for name, one in details.per_class.items()
        if one.recall is not None
    )
    typer.echo(f"  recall: {recalls}")
    score = report.outcome.score
    if score.unrestricted_uar != score.uar:
        free = 100 * score.unrestricted_uar
        typer.echo(f"  UAR when it may answer every class that it knows: {free:.1f}%")
    for name, groups in details.groups.items():
        if groups.gap is not None:
            typer.echo(
                f"  by {name}: UAR from {groups.lowest} to {groups.highest} differs by "
                f"{100 * groups.gap:.1f} points over {groups.compared} groups"
            )
    if details.va_ccc is not None:
        typer.echo(f"  valence and arousal: mean CCC {details.va_ccc:.2f}")
    if details.au_f1 is not None:
        typer.echo(f"  action units: mean F1 {details.au_f1:.2f}")


def _print_growth(report: Report) -> None:
    from fer_bench.evaluation.precision import units_without_interval

    if report.growth is None:
        if more := units_without_interval(report.here.units):
            typer.echo(
                f"  no interval: {report.here.units} {report.units} are too few for one; "
                f"{more} more {report.units} give one"
            )
        return
    found = report.growth
    typer.echo(
        f"  half the interval of UAR: {found.more:,} more {report.units} like these "
        f"(it is {2 * 100 * found.half_width:.1f} points wide now)"
    )
    if found.by_class:
        fewest = ", ".join(f"{name} {count:,}" for name, count in found.by_class.items())
        typer.echo(f"  or, choosing classes, {sum(found.by_class.values()):,} more: {fewest}")


def _print_calibration(tried: Sequence[Recalibration], taken: Recalibration) -> None:
    first = tried[0]
    typer.echo(
        f"  calibration, each fitted on {first.folds - 1} of {first.folds} parts and tested on the other; "
        "the change in brackets"
    )
    heads = "  ".join(f"{TITLES[one.rule]:29}" for one in tried)
    typer.echo(f"    {'':12} {'as it is':>8}  {heads}".rstrip())
    for name, title, scale, digits in (
        ("nll", "NLL", 1, 3),
        ("ece", "ECE, %", 100, 1),
        ("uar", "UAR, %", 100, 1),
        ("accuracy", "accuracy, %", 100, 1),
    ):
        cells = []
        for one in tried:
            found = one.metrics[name]
            text = f"{scale * found.after.value:.{digits}f}"
            if (ends := found.difference.interval) is not None:
                text += f" ({scale * ends.low:+.{digits}f} to {scale * ends.high:+.{digits}f})"
            cells.append(f"{text:29}")
        before = f"{scale * first.metrics[name].before.value:.{digits}f}"
        typer.echo(f"    {title:12} {before:>8}  {'  '.join(cells)}".rstrip())
    temperatures = "  ".join(f"{one.calibrator.temperature:<29.2f}" for one in tried)
    typer.echo(f"    {'temperature':12} {1:>8.2f}  {temperatures}".rstrip())
    for one in tried:
        if one.rule != "none":
            shares = ", ".join(f"{c} {100 * one.source[c]:.0f}>{100 * s:.0f}" for c, s in one.target.items())
            typer.echo(f"    {TITLES[one.rule]}, % in training > here: {shares}")
    typer.echo(f"    taken: temperature{'' if taken.rule == 'none' else ' ' + TITLES[taken.rule]}")


def _print_abstaining(report: Report, curve: Path | None) -> None:
    found = report.abstaining
    which = "calibrated " if found.calibrated else ""
    ends = found.curve.aurc_interval
    interval = "" if ends is None else f" ({ends.low:.3f} to {ends.high:.3f})"
    typer.echo(
        f"  abstaining by {which}top probability: {100 * found.curve.error:.1f}% wrong if all are answered; "
        f"area under error against coverage {found.curve.aurc:.3f}{interval}, {found.curve.ideal:.3f} at best"
    )
    if (threshold := found.threshold) is not None:
        if threshold.probability is not None:
            bound = "" if threshold.bound is None else f", at most {100 * threshold.bound:.1f}% by itself"
            typer.echo(
                f"  --abstain-below {threshold.probability:g} keeps {100 * threshold.coverage:.0f}% of these "
                f"pictures with {100 * (threshold.error or 0):.1f}% wrong{bound}"
            )
        typer.echo(f"  {threshold.statement}")
        if found.calibrated:
            typer.echo(
                "  this threshold is for the calibrated copy (--write-to FILE), not for the model as it is"
            )
    if curve is not None:
        typer.echo(f"  error against coverage: {curve}")
