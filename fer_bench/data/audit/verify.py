"""Check a dataset on disk and report everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.audit.copies import find_copies, names_of
from fer_bench.data.audit.counts import compare_counts, compare_folds
from fer_bench.data.audit.leaks import FINDINGS, store_leaks
from fer_bench.data.audit.report import MOST_NAMED, Report, Severity
from fer_bench.data.audit.scan import BEYOND, FINE, UNREADABLE, Scan
from fer_bench.data.card import Card, Folds
from fer_bench.data.protocols import assign_roles, find_protocol, refuse_untrainable
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.notes import Note
from fer_bench.data.reading.problems import Problem, collecting
from fer_bench.emotions import Emotion, aliases
from fer_bench.errors import FerBenchError
from fer_bench.files import cache_root

NAMED_SHARE = 0.2
"""Share of file names that give the label away from which it is reported."""
_THIS_COMMAND = "fer-bench data verify"
MANY_BEYOND = 0.05
"""Share of rows that reach far beyond their pictures above which loose boxes do not explain it."""
OTHER_PICTURES = "these are not the pictures that were annotated (scaled or cropped copies)"
SHORTEST_ALIAS = 3
"""Shorter names of an emotion (`an`, `su`) are also words and initials."""


def verify(
    open_dataset: Callable[[], FaceDataset],
    name: str,
    *,
    is_real: bool,
    progress: Callable[[int, int], None] | None = None,
    cache: Path | None = None,
    fresh: bool = False,
) -> Report:
    """Check layout, labels, counts, protocol and pictures of a dataset.

    A stopped check continues where it was: findings are kept in the cache, per row and for files of unchanged
    size and time.

    Args:
        open_dataset: Finds and opens the dataset; its errors become findings.
        name: Dataset name.
        is_real: Whether to compare with the published counts.
        progress: Called with rows checked and total rows.
        cache: Folder for the state of the check, the user's cache by default.
        fresh: Check every picture again.
    """
    report = Report(name, is_real=is_real)
    with collecting() as problems:
        try:
            dataset = open_dataset()
            report.rows = len(dataset.index)
        except FerBenchError as error:
            _report_problems(report, problems)
            report.add("error", _text_of(error), kind="layout")
            return report
    report.is_official = dataset.is_official
    report.folder = (cache or cache_root()) / FINDINGS
    index = dataset.index
    _report_problems(report, problems)
    for warning in dataset.warnings:
        report.add("warning", warning, kind="reader")
    for note in dataset.notes:
        text, names = (note.text, note.names) if isinstance(note, Note) else (note, ())
        report.add("note", text, kind="reader", names=names)
    if is_real:
        variants = find_protocol(dataset.card, None).variants
        counted = index[index["variant"].isin(list(variants))] if variants else index
        compare_counts(report, dataset.card, counted, dataset.layout)
        compare_folds(report, dataset.card, counted)
    _protocol(report, dataset.card, index, quick=not is_real)
    _names(report, index)
    scan = Scan(dataset, cache=cache, fresh=fresh)
    scan.run(progress)
    missing = {file for problem in problems for file in problem.missing}
    report.absent = sorted(file.relative_to(dataset.base).as_posix() for file in missing)
    _pictures(report, scan, missing)
    find_copies(report, dataset, scan.seen)
    store_leaks(report, scan.file, find_protocol(dataset.card, None, quick=not is_real).name)
    return report


def _report_problems(report: Report, problems: list[Problem]) -> None:
    """Report faults of single rows: those that affect most rows in full, the others as one number."""
    ordered = sorted(problems, key=lambda problem: -problem.rows)
    describe = f"compare with the official layout: fer-bench data describe {report.dataset}"
    for problem in ordered[:MOST_NAMED]:
        advice = describe if problem.kind == "layout" and problem.error.hint is None else ""
        report.add("error", _text_of(problem.error), problem.rows, kind=problem.kind, advice=advice)
    others = ordered[MOST_NAMED:]
    for kind, what in (
        ("layout", "more fault(s) like these in lists and annotations"),
        ("unreadable", "more file(s) that do not open"),
    ):
        mine = [problem for problem in others if problem.kind == kind]
        if mine:
            rows, names = sum(p.rows for p in mine), [str(p.error).partition("\n")[0] for p in mine]
            report.add("error", f"{len(mine)} {what}", rows, kind=kind, names=names)


def _text_of(error: FerBenchError | str) -> str:
    """Return an error's text without the advice to run this command."""
    return "\n".join(line for line in str(error).split("\n") if _THIS_COMMAND not in line)


def _protocol(report: Report, card: Card, index: pd.DataFrame, *, quick: bool) -> None:
    """Check the default protocol, or on synthetic data, which may have few people, that of `quick`."""
    protocol = find_protocol(card, None, quick=quick)
    try:
        roles = assign_roles(index, card, protocol)
        refuse_untrainable(index, roles, card, protocol)
    except FerBenchError as error:
        only_tests = index["split"].isin(["val", "test"]).all()  # such data are only for testing
        severity: Severity = "warning" if only_tests else "error"
        report.add(
            severity,
            f"the default protocol {protocol.name} cannot be used: {_text_of(error)}",
            kind="protocol",
            advice="a half-copied dataset looks like this; unpack it again, or take another protocol: "
            f"fer-bench data describe {card.name}"
            if report.is_real and report.is_official
            else "",
        )
        return
    labels = index["label"].to_numpy(object)
    for role in ("train",) if isinstance(protocol.split, Folds) else ("train", "test"):
        present = set(labels[roles == role])
        absent = [emotion.value for emotion in protocol.label_set if emotion.value not in present]
        if absent:
            report.add(
                "warning",
                f"no row of {', '.join(absent)} to {role} under {protocol.name}",
                kind="classes",
                advice="add pictures of them, or leave the class out: --drop NAME"
                if not report.is_official
                else "a half-copied dataset looks like this; unpack it again"
                if report.is_real
                else "small synthetic data look like this: fer-bench data synth --size quick --out DIR",
            )
    _crossing(report, index, roles)


def _crossing(report: Report, index: pd.DataFrame, roles: NDArray[np.str_]) -> None:
    used = pd.DataFrame({"group": index["group"], "subject": index["subject"], "role": roles})[roles != ""]
    sides = used.groupby("group")["role"].transform("nunique")
    if (sides > 1).any():
        report.add(
            "error",
            f"{used['group'][sides > 1].nunique()} group(s) are on both sides of the split",
            int((sides > 1).sum()),
            kind="group",
            advice="rows that belong together must be on one side; the reader or its lists are wrong",
        )
        return
    named = used[used["subject"].notna()]
    sides = named.groupby("subject")["role"].transform("nunique")
    if (sides > 1).any():
        first = str(named["subject"][sides > 1].iloc[0])
        report.add(
            "warning",
            f"{named['subject'][sides > 1].nunique()} subject(s) are on both sides of the split, "
            f"first {first!r}",
            int((sides > 1).sum()),
            kind="subject",
            advice="scores then measure people that were trained on; use a protocol that splits by subject",
        )


def _names(report: Report, index: pd.DataFrame) -> None:
    """Note file names that give the label away: most names of web pictures contain a query word."""
    labelled = index[index["label"].notna()]
    tells = {label: _word_of(Emotion(label)) for label in labelled["label"].unique()}
    telling = [
        path
        for path, label in zip(labelled["path"].to_list(), labelled["label"].to_list(), strict=True)
        if tells[label].search(path.rpartition("/")[2].rpartition(".")[0].casefold())
    ]
    if telling and len(telling) >= NAMED_SHARE * len(labelled):
        report.add(
            "note",
            "file names give the label away",
            len(telling),
            kind="names",
            names=telling,
            advice="no model here sees file names; hide them from raters and from tools that guess labels",
        )


def _word_of(emotion: Emotion) -> re.Pattern[str]:
    """Return what finds a name of an emotion as a whole word of small letters."""
    known = (re.escape(name) for name in aliases(emotion) if len(name) >= SHORTEST_ALIAS)
    return re.compile(rf"(?<![a-z])(?:{'|'.join(known)})(?![a-z])")


def _pictures(report: Report, scan: Scan, missing: set[Path]) -> None:
    """Report what the scan found; files that the reader reported as missing are not reported again."""
    if scan.resumed:
        report.add(
            "note",
            f"{scan.resumed} row(s) were checked before, and size and time of their files are unchanged",
            kind="resumed",
            advice="--fresh checks them again",
        )
    if scan.unsaved is not None:
        report.add("note", f"this check cannot be continued later: {scan.unsaved}", kind="resumed")
    base, index = scan.dataset.base, scan.dataset.index
    report.unreadable += sorted(path for path in scan.errors if base / path not in missing)
    for path in report.unreadable[:MOST_NAMED]:
        report.add("error", _text_of(scan.errors[path]), kind="unreadable")
    unreadable = (scan.seen["state"] == UNREADABLE) & scan.dataset.index["path"].isin(report.unreadable)
    broken = int(unreadable.sum())
    if broken:
        report.add(
            "error",
            f"{len(report.unreadable)} file(s) cannot be decoded",
            broken,
            kind="unreadable",
            names=report.unreadable if len(report.unreadable) > MOST_NAMED else (),
            advice="copy them again, or leave them out by name: fer-bench data verify --dataset "
            f"{report.dataset} --write-exclude FILE, then --exclude FILE when running",
        )
    fine = scan.seen["state"] == FINE
    constant, outside = int(scan.seen["constant"][fine].sum()), int(scan.seen["outside"][fine].sum())
    if constant:
        report.add(
            "warning",
            f"{constant} picture(s) have one colour only",
            constant,
            kind="constant",
            advice="nothing can be learnt from them"
            + ("; some official releases have a few" if report.is_official else ""),
            names=names_of(index, np.flatnonzero(fine & scan.seen["constant"])),
        )
    if outside:
        report.add(
            "warning",
            f"{outside} box(es) or landmark set(s) are outside the picture",
            outside,
            kind="outside",
            advice=OTHER_PICTURES,
            names=names_of(index, np.flatnonzero(fine & scan.seen["outside"])),
        )
    beyond = int(scan.seen["beyond"][fine].sum())
    if beyond > MANY_BEYOND * fine.sum():
        report.add(
            "warning",
            f"{beyond} box(es) or landmark set(s) reach beyond the picture by over {BEYOND:.0%} of its side",
            beyond,
            kind="outside",
            advice=OTHER_PICTURES,
            names=names_of(index, np.flatnonzero(fine & scan.seen["beyond"])),
        )
