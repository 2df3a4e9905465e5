"""The markdown board: `README.md`, the numbers as CSV, and the figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fer_bench import datasets, methods
from fer_bench.datasets import members_of
from fer_bench.evaluation import coverage, metrics
from fer_bench.evaluation.estimates import SMALL_CLASS
from fer_bench.evaluation.pairs import DRAWS, EXACT_UNITS, Column
from fer_bench.evaluation.statistics import LEVEL, MIN_UNITS, RESAMPLES
from fer_bench.evaluation.transfer import MIN_IN_DOMAIN
from fer_bench.files import canonical, short_hash, write_text
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.claims import claimed
from fer_bench.leaderboard.diagnostics import affect, beyond, calibration, overlaps
from fer_bench.leaderboard.exports import cells_csv, generalisation_csv, pairs_csv, results_csv
from fer_bench.leaderboard.markup import decimal, escape, percent, points, stacked, table, with_interval
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.plots import draw_in_domain, draw_transfer
from fer_bench.leaderboard.tables import OPEN, Board, Section, build_board
from fer_bench.leaderboard.wording import above_guessing, conclusion, list_of, plain_difference
from fer_bench.results.record import Record
from fer_bench.results.store import Store

_ENVIRONMENT = (
    "fer_bench",
    "commit",
    "python",
    "torch",
    "lightning",
    "timm",
    "numpy",
    "platform",
    "cpu",
    "gpu",
)


def write_leaderboard(store: Store, out: Path) -> list[Path]:
    """Write the board of a store; the same store gives the same bytes.

    Args:
        store: The run store.
        out: Folder of `README.md`, `results.csv` (one row per run, target and selection), `cells.csv` (one
            row per method, source and target, with intervals), `generalisation.csv` (one row per method
            and source), `pairs.csv` (one row per test of two methods) and `figures/`.

    Returns:
        The files, `README.md` first.
    """
    board = build_board(store, methods=methods.names(), named_targets=datasets.MAIN_SEVEN)
    slugs = _slugs(board.sections)
    figures: list[Path] = []
    shown: dict[str, dict[str, str]] = {}
    for section, slug in zip(board.sections, slugs, strict=True):
        shown[slug] = {}
        for name, draw in (("in-domain", draw_in_domain), ("transfer", draw_transfer)):
            path = out / "figures" / f"{slug}-{name}.png"
            if draw(section, path):
                figures.append(path)
                shown[slug][name] = f"figures/{path.name}"
    for old in sorted((out / "figures").glob("*.png")):
        if old not in figures and re.fullmatch(r"(real|synthetic)-.*-(in-domain|transfer)\.png", old.name):
            old.unlink()  # of a section that the store no longer has
    texts = {
        "README.md": render(board, shown),
        "results.csv": results_csv(r for s in board.sections for r in s.records),
        "cells.csv": cells_csv(board),
        "generalisation.csv": generalisation_csv(board),
        "pairs.csv": pairs_csv(board),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts] + figures


def _slugs(sections: Sequence[Section]) -> list[str]:
    """Return a short name per section, with the generator's hash where two would share one."""
    names = [f"{s.data_kind}-{s.profile}" for s in sections]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name}-{short_hash(section.generator, 8)}"
        for name, section in zip(names, sections, strict=True)
    ]


def render(board: Board, figures: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of `README.md`.

    Args:
        board: The tables.
        figures: Per section name: `in-domain` and `transfer` -> path of the figure.
    """
    environment = Environment(
        loader=PackageLoader("fer_bench.leaderboard"),
        autoescape=False,  # markdown, not HTML: every text of a record goes through `escape`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["esc"] = escape
    template = environment.get_template("README.md.j2")
    sections = [
        _section(section, slug, figures.get(slug, {}), board.named_targets)
        for section, slug in zip(board.sections, _slugs(board.sections), strict=True)
    ]
    text = template.render(
        sections=sections,
        problems=table(
            ("file below the store", "problem"), [(p.file, p.message) for p in board.problems], raw=()
        ),
        any_problem=bool(board.problems),
        synthetic=bool(board.sections) and all(s.data_kind == "synthetic" for s in board.sections),
        methods=board.methods,
        named=board.named_targets,
        level=round(100 * LEVEL),
        resamples=RESAMPLES,
        min_units=MIN_UNITS,
        small=SMALL_CLASS,
        min_in_domain=MIN_IN_DOMAIN,
        coverage=coverage.found(),
        draws=DRAWS,
        exact=EXACT_UNITS,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _rank(column: Column, label: str) -> int | None:
    """Return a method's rank where there is another to compare it with."""
    return column.ranks.get(label) if len(column.ranks) > 1 else None


def folds_text(cell: Cell) -> str:
    """Return which folds a cell holds: `fold 1 of 4`, `all 10 folds`, or `-` for a fixed split."""
    total = max(r.folds for r in cell.records)
    if total == 1:
        return "-"
    if len(cell.folds) == total:
        return f"all {total} folds"
    word = "fold" if len(cell.folds) == 1 else "folds"
    return f"{word} {', '.join(map(str, cell.folds))} of {total}"


def _section(section: Section, slug: str, figures: Mapping[str, str], named: Sequence[str]) -> dict[str, Any]:
    adapted: dict[tuple[str, str], list[str]] = {}
    for cell in section.cells:
        if cell.adapted:
            adapted.setdefault((cell.label, cell.adapted), []).append(cell.source)
    common = next((o.sources for o in section.overall if o.sources), ())
    notes = Notes(section)
    return {
        "slug": slug,
        "data_kind": section.data_kind,
        "profile": section.profile,
        "generator": _generator(section.generator),
        "figures": figures,
        "any_done": bool(section.cells),
        "glance": _glance(section, notes),
        "notes": notes.lines(),
        "overall_said": escape(conclusion(section.overall_column, "test units", plain_difference))
        if section.overall_column.ranks
        else "",
        "in_domain": _in_domain_wide(section, notes),
        "in_domain_said": _said(section.own_columns, section),
        "in_domain_full": _in_domain_full(section, notes),
        "in_domain_full_said": overlaps(section),
        "beyond": beyond(section),
        "affect": affect(section),
        "calibration": calibration(section),
        "claimed": claimed(section),
        "adapted": [(label, ", ".join(sources), text) for (label, text), sources in adapted.items()],
        "generalisation": _generalisation(section, notes),
        "generalisation_said": _said_of_means(section),
        "one_seed": all(len(c.seeds) == 1 for c in section.cells),
        "seeds": _seeds(section),
        "common": common,
        "variants": any(not c.usual for c in section.cells),
        "unions": any(c.is_union for c in section.cells),
        "matrices": [
            (label, _matrix(section, label), _said_of_pairs(section, label))
            for label in section.labels
            if _has_cross(section, label)
        ],
        "pairs": _pairs(section),
        "rare": _rare(section),
        "never_cross": sorted(" and ".join(sorted(p)) for p in section.excluded if p <= {*section.targets}),
        "ran": _ran(section, named),
        "unfinished": _unfinished(section.records),
        "not_run": [(m, ", ".join(names)) for m, names in section.not_run.items() if names],
        "missing": [(*key, str(count)) for key, count in section.missing.items()],
        "environment": _environment(section),
        "cost": _cost(section),
        "data": _data(section),
        "mixed_data": section.several_versions,
        "runs": len(section.records),
    }


def _generator(generator: Mapping[str, Any] | None) -> str:
    if not generator:
        return ""
    return ", ".join(f"{k} {v if isinstance(v, str) else canonical(v)}" for k, v in generator.items())


def _glance(section: Section, notes: Notes) -> str:
    """Return one line per method with its usual settings: what can be said of it over all datasets."""
    rows = []
    for mine in section.overall:
        best = section.overall_column
        row = [f"**{escape(mine.label)}**{notes.of_method(mine.label)}"]
        row.append(stacked(decimal(mine.mean), bold=mine.label in best.winners, rank=_rank(best, mine.label)))
        row.append(_share(mine.retention))
        for columns in (section.own_columns, section.general_columns):
            apart = [c for c in columns.values() if c.winners and mine.label in c.ranks]
            first = sum(mine.label in c.winners for c in apart)
            row.append(f"{first} of {len(apart)}" if apart else "-")
        done = {c.source for c in section.cells if c.label == mine.label and c.in_domain}
        rows.append([*row, str(len(done))])
    header = ("method", "generalisation, overall", "retention", "best group on its own dataset")
    return table((*header, "best group on other datasets", "datasets trained on"), rows)


def _in_domain_wide(section: Section, notes: Notes) -> str:
    rows = []
    for label in section.labels:
        row = [f"**{escape(label)}**{notes.of_method(label)}"]
        for source in section.sources:
            cell = section.cell(label, source)
            if cell is None or cell.in_domain is None:
                row.append("-")
                continue
            column = section.own_columns[source]
            row.append(
                stacked(
                    percent(cell.in_domain.estimate.values["uar"]),
                    bold=label in column.winners,
                    mark=(" †" if cell.adapted else "") + notes.of_cell(cell),
                    rank=_rank(column, label),
                )
            )
        rows.append(row)
    chance, protocols = ["*guessing*"], ["*protocol*"]
    for source in section.sources:
        shown = {(c.protocol, folds_text(c)) for c in section.of_source(source) if c.usual and c.in_domain}
        texts = (name if folds == "-" else f"{name}, {folds}" for name, folds in sorted(shown))
        protocols.append("<br>".join(f"<sub>{escape(text)}</sub>" for text in texts) or "-")
        ks = {c.in_domain.estimate.k for c in section.of_source(source) if c.in_domain}
        chance.append(" / ".join(f"{100 / k:.1f}" for k in sorted(ks)) or "-")
    return table(("UAR, %", *map(escape, section.sources)), [*rows, chance, protocols])


def _said(columns: Mapping[str, Column], section: Section) -> str:
    """Return what can be concluded per source, each with the units of its dataset."""
    return list_of(
        {
            escape(source): escape(conclusion(column, _units(section, source)))
            for source, column in columns.items()
            if any(c.in_domain for c in section.of_source(source))
        }
    )


def _units(section: Section, source: str) -> str:
    """Return what the bootstrap resamples on a dataset, in the plural."""
    name = section.of_source(source)[0].dataset
    if name not in datasets.names():
        return "units"
    return {"subject": "persons", "video": "videos", "image": "pictures"}[datasets.get(name).card.unit]


def _said_of_means(section: Section) -> str:
    columns = {"overall": section.overall_column, **section.general_columns}
    said = {
        escape(name): escape(conclusion(column, "test units", plain_difference))
        for name, column in columns.items()
        if column.ranks
    }
    return list_of(said)


def _said_of_pairs(section: Section, label: str) -> str:
    return above_guessing([e for c in section.cells if c.label == label for e in c.cross.values()])


def _in_domain_full(section: Section, notes: Notes) -> str:
    shown = metrics.shown_in("page", ranking_first=True)
    header = ["trained and tested on", "protocol", "method", *(metric.heading for metric in shown), "rows"]
    header += ["units", "classes", "folds", "mean (sd) over folds", "seeds", "flags"]
    rows = []
    for source in section.sources:
        for cell in section.of_source(source):
            if cell.in_domain is None:
                continue
            found = cell.in_domain
            folds = (
                "-" if found.fold_mean is None else f"{100 * found.fold_mean:.1f} ({points(found.fold_sd)})"
            )
            spread = found.estimate.seed_sd("uar")
            seeds = str(len(cell.seeds)) + ("" if spread is None else f" (sd {points(spread)})")
            rare = found.estimate.small_classes
            small = f"under {SMALL_CLASS} rows: {', '.join(rare)}" if rare else ""
            flags = "; ".join(filter(None, ("adapted" if cell.adapted else "", small))) or "-"
            flags += notes.of_method(cell.label) + notes.of_cell(cell)
            values = found.estimate.values
            rows.append(
                (
                    *map(escape, (cell.dataset, cell.protocol, cell.label)),
                    *(stacked(with_interval(values.get(m.name), m.number)) for m in shown),
                    f"{found.estimate.n:,}",
                    f"{found.estimate.units:,}",
                    str(found.estimate.k),
                    folds_text(cell),
                    folds,
                    seeds,
                    flags,
                )
            )
    return table(header, rows)


def _general(cell: Cell | None, column: Column, notes: Notes) -> str:
    if cell is None or cell.generalisation.mean is None:
        return "-"
    general, mean = cell.generalisation, cell.generalisation.mean
    mark = notes.of_cell(cell)
    if not general.complete:
        return f"{mean.value:.2f} ({general.scored}/{general.wanted}){mark}"
    more = [f"six {cell.six.mean.value:.2f}"] if cell.six.complete and cell.six.mean else []
    more += [] if cell.retention is None else [f"retains {_share(cell.retention)}"]
    more += [] if cell.seed_sd is None else [f"seed sd {cell.seed_sd:.2f}"]
    label = cell.label
    bold = label in column.winners
    return stacked(decimal(mean), bold=bold, mark=mark, rank=_rank(column, label), more=more)


def _generalisation(section: Section, notes: Notes) -> str:
    header = ["method", "overall", "retention", *map(escape, section.sources)]
    overall = {o.label: o for o in section.overall}
    best = section.overall_column
    ordered = [*overall, *(label for label in section.labels if label not in overall)]
    rows = []
    for label in ordered:
        mine = overall.get(label)
        more = [] if mine is None or mine.six is None else [f"six {mine.six.value:.2f}"]
        more += [] if mine is None or mine.seed_sd is None else [f"seed sd {mine.seed_sd:.2f}"]
        whole = stacked(
            decimal(mine.mean if mine else None),
            bold=label in best.winners,
            rank=_rank(best, label),
            more=more,
        )
        row = [f"**{escape(label)}**{notes.of_method(label)}", whole]
        row.append(_share(mine.retention if mine else None))
        for source in section.sources:
            row.append(_general(section.cell(label, source), section.general_columns[source], notes))
        rows.append(row)
    return table(header, rows)


def _seeds(section: Section) -> str:
    """Return which methods have other seeds than most on a source, or nothing."""
    seeds = {(c.label, c.seeds) for c in section.cells if c.usual}
    if len({found for _, found in seeds}) < 2:
        return ""
    said = (f"{label}: {', '.join(map(str, found))}" for label, found in sorted(seeds))
    return "; ".join(said)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _has_cross(section: Section, label: str) -> bool:
    return any(c.cross for c in section.cells if c.label == label)


def _matrix(section: Section, label: str) -> str:
    rows = []
    for source in section.sources:
        cell = section.cell(label, source)
        if cell is None:
            continue
        row = [f"**{escape(source)}**"]
        for target in section.targets:
            if target == cell.dataset or target in cell.inside:
                own = cell.in_domain.estimate if cell.in_domain else None
                found = cell.inside.get(target, own)
                value = found.values.get("transfer") if found else None
                row.append(f"*{value.value:.2f}*" if value else "-")
            elif any(frozenset((target, m)) in section.excluded for m in members_of(cell.dataset)):
                row.append("×")
            else:
                found = cell.cross.get(target)
                value = found.values.get("transfer") if found else None
                spread = found.seed_sd("transfer") if found else None
                more = [] if spread is None else [f"seed sd {spread:.2f}"]
                row.append(
                    stacked(decimal(value), mark=" ‡" if found and found.small_classes else "", more=more)
                )
        rows.append(row)
    return table(("trained on \\ tested on", *map(escape, section.targets)), rows)


def _pairs(section: Section) -> str:
    """Return how many rows and classes every pair was scored on; methods that differ are told apart."""
    rows = []
    for source in section.sources:
        row = [f"**{escape(source)}**"]
        for target in section.targets:
            texts: dict[str, list[str]] = {}
            for cell in section.of_source(source):
                found = cell.cross.get(target)
                if found is not None:
                    mark = " ‡" if found.small_classes else ""
                    text = f"{found.n:,} rows, {found.k} classes, {100 * found.kept_share:.0f} % kept{mark}"
                    texts.setdefault(text, []).append(cell.label)
            if len(texts) < 2:
                row.append(next(iter(texts), "-"))
            else:
                row.append("<br>".join(f"{escape(', '.join(who))}: {text}" for text, who in texts.items()))
        rows.append(row)
    return table(("trained on \\ tested on", *map(escape, section.targets)), rows)


def _rare(section: Section) -> list[tuple[str, str, str]]:
    """Return source, target and classes of the pairs with classes under five rows."""
    found = {
        (cell.source, target, ", ".join(one.small_classes))
        for cell in section.cells
        for target, one in cell.cross.items()
        if one.small_classes
    }
    return sorted(found)


def _ran(section: Section, named: Sequence[str]) -> str:
    names = tuple(dict.fromkeys((*named, *(r.dataset for r in section.records))))
    rows = []
    for method in section.not_run:
        row = [f"**{escape(method)}**"]
        for name in names:
            counts = Counter(r.status for r in section.records if (r.method, r.dataset) == (method, name))
            states = [f"{count} {status}" for status, count in sorted(counts.items())]
            row.append(", ".join(states) or "not yet run")
        rows.append(row)
    return table(("runs", *map(escape, names)), rows)


def _unfinished(records: Sequence[Record]) -> str:
    rows = []
    for r in records:
        if r.status == "done":
            continue
        other = "not finished" if r.status in OPEN else "-"
        reason = f"{r.error.kind}: {r.error.message}" if r.error else other
        rows.append((r.name, r.key, r.status, reason))
    return table(("run", "key", "status", "reason"), rows, raw=()) if rows else ""


def _environment(section: Section) -> str:
    known = [name for name in _ENVIRONMENT if name in section.environment]
    others = sorted(set(section.environment) - set(_ENVIRONMENT))
    rows = [(name, "; ".join(section.environment[name])) for name in (*known, *others)]
    return table(("", "as stored in the records"), rows, raw=()) if rows else ""


def _cost(section: Section) -> str:
    costs: dict[str, set[tuple[int, int]]] = {}
    for r in section.records:
        if r.status == "done" and r.parameters:
            costs.setdefault(r.method, set()).add((r.parameters, r.multiply_adds))
    rows = [
        (escape(m), _range(p for p, _ in found), _range(a for _, a in found))
        for m, found in sorted(costs.items())
    ]
    header = ("method", "trainable parameters", "multiply-adds per image")
    return table(header, rows) if rows else ""


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _data(section: Section) -> str:
    rows = [
        (
            v.target,
            v.protocol,
            v.fingerprint,
            v.pixels[:16],
            v.recipe,
            f"{100 * v.faces_weak:.1f} %",
            str(v.runs),
        )
        for v in section.versions
    ]
    header = ("dataset", "rows of protocol", "index", "pictures", "crop", "faces found weakly", "runs")
    return table(header, rows, raw=()) if rows else ""
