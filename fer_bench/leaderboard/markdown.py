"""The markdown board: `README.md`, the numbers as CSV, and the figures."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fer_bench import datasets, methods
from fer_bench.evaluation import coverage
from fer_bench.evaluation.estimates import Value
from fer_bench.evaluation.pairs import DRAWS, EXACT_UNITS, Column
from fer_bench.evaluation.statistics import LEVEL, MIN_UNITS, RESAMPLES
from fer_bench.evaluation.transfer import MIN_IN_DOMAIN, SMALL_CLASS, members
from fer_bench.files import canonical, short_hash, write_text
from fer_bench.leaderboard.plots import draw_in_domain, draw_transfer
from fer_bench.leaderboard.sentences import above_guessing, conclusion, list_of, plain_difference
from fer_bench.leaderboard.tables import OPEN, Board, Cell, Section, build_board
from fer_bench.runs.details import Details
from fer_bench.runs.record import Record, Score
from fer_bench.runs.store import Store

_DETAILS = ("units", "mcc", "worst_class", "worst_recall", "va_ccc", "au_f1", "abaw")
_CALIBRATION = ("ece", "ece_adaptive", "ece_classwise", "brier", "nll")
Rows = Sequence[Sequence[str]]
_LONGEST = 300
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
            row per method, source and target, with intervals), `pairs.csv` (one row per test of two
            methods) and `figures/`.

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
    written = [out / name for name in ("README.md", "results.csv", "cells.csv", "pairs.csv")]
    write_text(written[0], render(board, shown))
    write_text(written[1], results_csv(r for s in board.sections for r in s.records))
    write_text(written[2], cells_csv(board))
    write_text(written[3], pairs_csv(board))
    return written + figures


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


def escape(text: object) -> str:
    """Return text that shows as itself in a markdown table: one line, no HTML, at most 300 characters."""
    line = " ".join(str(text).split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST - 1]}…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def table(header: Sequence[str], rows: Rows, *, raw: Iterable[int] | None = None) -> str:
    """Return a markdown table.

    Args:
        header: Column titles, markdown.
        rows: Cells.
        raw: Columns that are markdown already, all by default; the others are escaped.
    """
    ready = set(range(len(header))) if raw is None else set(raw)
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for row in rows:
        lines.append(f"| {' | '.join(c if i in ready else escape(c) for i, c in enumerate(row))} |")
    return "\n".join(lines)


def percent(value: Value | None) -> str:
    """Return `61.2 [57.0, 65.1]` in percent, without brackets where there is no interval."""
    return _number(value, lambda v: f"{100 * v:.1f}")


def decimal(value: Value | None) -> str:
    """Return `0.41 [0.36, 0.45]`."""
    return _number(value, lambda v: f"{v:.2f}")


def _number(value: Value | None, show: Callable[[float], str]) -> str:
    if value is None:
        return "-"
    if value.interval is None:
        return show(value.value)
    return f"{show(value.value)} [{show(value.interval.low)}, {show(value.interval.high)}]"


def _stacked(text: str, *, bold: bool = False, mark: str = "", rank: int | None = None) -> str:
    """Put an interval and a rank in small type on a line of their own."""
    point, bracket, rest = text.partition(" [")
    point = f"**{point}**{mark}" if bold else f"{point}{mark}"
    small = [f"[{rest}"] if bracket else []
    small += [] if rank is None else [f"rank {rank}"]
    return f"{point}<br><sub>{', '.join(small)}</sub>" if small else point


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
    adapted = sorted({(c.label, c.source, c.adapted) for c in section.cells if c.adapted})
    common = next((o.sources for o in section.overall if o.sources), ())
    return {
        "slug": slug,
        "data_kind": section.data_kind,
        "profile": section.profile,
        "generator": _generator(section.generator),
        "figures": figures,
        "any_done": bool(section.cells),
        "in_domain": _in_domain_wide(section),
        "in_domain_said": _said(section.own_columns, section),
        "in_domain_full": _in_domain_full(section),
        "beyond": _beyond(section),
        "adapted": [(label, source, text) for label, source, text in adapted],
        "generalisation": _generalisation(section),
        "generalisation_said": _said_of_means(section),
        "one_seed": all(len(c.seeds) == 1 for c in section.cells),
        "common": common,
        "variants": any(not c.usual for c in section.cells),
        "matrices": [
            (label, _matrix(section, label), _said_of_pairs(section, label))
            for label in section.labels
            if _has_cross(section, label)
        ],
        "never_cross": sorted(" and ".join(sorted(p)) for p in section.excluded if p <= {*section.targets}),
        "ran": _ran(section, named),
        "unfinished": _unfinished(section.records),
        "not_run": [(m, ", ".join(names)) for m, names in section.not_run.items() if names],
        "missing": [(*key, str(count)) for key, count in section.missing.items()],
        "warnings": _warnings(section),
        "environment": _environment(section),
        "cost": _cost(section),
        "data": _data(section),
        "mixed_data": sorted(_repeated(v.target for v in section.versions)),
        "runs": len(section.records),
    }


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _generator(generator: Mapping[str, Any] | None) -> str:
    if not generator:
        return ""
    return ", ".join(f"{k} {v if isinstance(v, str) else canonical(v)}" for k, v in generator.items())


def _in_domain_wide(section: Section) -> str:
    rows = []
    for label in section.labels:
        row = [f"**{escape(label)}**"]
        for source in section.sources:
            cell = section.cell(label, source)
            if cell is None or cell.in_domain is None:
                row.append("-")
                continue
            column = section.own_columns[source]
            row.append(
                _stacked(
                    percent(cell.in_domain.estimate.values["uar"]),
                    bold=label in column.winners,
                    mark=" †" if cell.adapted else "",
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


def _beyond(section: Section) -> str:
    """Return the in-domain scores that are no headline, averaged over a cell's runs."""
    header = ["dataset", "method", "MCC", "worst class (recall, %)", "ECE, %", "adaptive ECE, %", "Brier"]
    header += ["NLL", "largest gap between groups, points", "ABAW sum"]
    rows = []
    for source in section.sources:
        for cell in section.of_source(source):
            scores = [r.score(r.dataset, cell.selection) for r in cell.records]
            found = [s.details for s in scores if s is not None and s.details is not None]
            if not found:
                continue
            cal = [d.calibration for d in found]
            rows.append(
                (
                    escape(source),
                    escape(cell.label),
                    _mean("{:.2f}", [d.mcc for d in found]),
                    _worst_class(found),
                    _mean("{:.1f}", [100 * c.ece for c in cal]),
                    _mean("{:.1f}", [100 * c.ece_adaptive for c in cal]),
                    _mean("{:.2f}", [c.brier for c in cal]),
                    _mean("{:.2f}", [c.nll for c in cal]),
                    escape(_largest_gap(found)),
                    _mean("{:.2f}", [d.abaw for d in found]),
                )
            )
    return table(header, rows) if rows else ""


def _mean(form: str, values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    return form.format(sum(known) / len(known)) if known else "-"


def _worst_class(found: Sequence[Details]) -> str:
    recall: dict[str, list[float]] = {}
    for one in found:
        for name, score in one.per_class.items():
            if score.recall is not None:
                recall.setdefault(name, []).append(score.recall)
    means = {name: sum(values) / len(values) for name, values in recall.items()}
    worst = min(means, key=lambda name: (means[name], name))
    return f"{worst} ({100 * means[worst]:.0f})"


def _largest_gap(found: Sequence[Details]) -> str:
    gaps: dict[str, list[float]] = {}
    for one in found:
        for name, groups in one.groups.items():
            if groups.gap is not None:
                gaps.setdefault(name, []).append(groups.gap)
    means = {name: sum(values) / len(values) for name, values in gaps.items()}
    if not means:
        return "-"
    widest = max(means, key=lambda name: (means[name], name))
    return f"{100 * means[widest]:.0f} ({widest})"


def _in_domain_full(section: Section) -> str:
    header = ["trained and tested on", "protocol", "method", "UAR, %", "accuracy, %", "macro-F1, %", "rows"]
    header += ["units", "classes", "folds", "mean (sd) over folds", "seeds", "flags"]
    rows = []
    for source in section.sources:
        for cell in section.of_source(source):
            if cell.in_domain is None:
                continue
            found = cell.in_domain
            folds = "-" if found.fold_mean is None else f"{100 * found.fold_mean:.1f} ({_sd(found.fold_sd)})"
            seeds = str(len(cell.seeds)) + ("" if found.seed_sd is None else f" (sd {_sd(found.seed_sd)})")
            small = (
                f"under {SMALL_CLASS} rows: {', '.join(found.small_classes)}" if found.small_classes else ""
            )
            flags = "; ".join(filter(None, ("adapted" if cell.adapted else "", small))) or "-"
            values = found.estimate.values
            rows.append(
                (
                    *map(escape, (cell.dataset, cell.protocol, cell.label)),
                    _stacked(percent(values["uar"])),
                    _stacked(percent(values["accuracy"])),
                    _stacked(percent(values["macro_f1"])),
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


def _sd(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _general(cell: Cell | None, column: Column) -> str:
    if cell is None or cell.generalisation.mean is None:
        return "-"
    general, mean = cell.generalisation, cell.generalisation.mean
    if not general.complete:
        return f"{mean.value:.2f} ({general.scored}/{general.wanted})"
    kept = "" if cell.retention is None else f"<br><sub>retains {_share(cell.retention)}</sub>"
    label = cell.label
    return _stacked(decimal(mean), bold=label in column.winners, rank=_rank(column, label)) + kept


def _generalisation(section: Section) -> str:
    header = ["method", "overall", "retention", *map(escape, section.sources)]
    overall = {o.label: o for o in section.overall}
    best = section.overall_column
    ordered = [*overall, *(label for label in section.labels if label not in overall)]
    rows = []
    for label in ordered:
        mine = overall.get(label)
        whole = _stacked(
            decimal(mine.mean if mine else None), bold=label in best.winners, rank=_rank(best, label)
        )
        row = [f"**{escape(label)}**", whole]
        row.append(_share(mine.retention if mine else None))
        for source in section.sources:
            row.append(_general(section.cell(label, source), section.general_columns[source]))
        rows.append(row)
    return table(header, rows)


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
            elif any(frozenset((target, m)) in section.excluded for m in members(cell.dataset)):
                row.append("×")
            else:
                found = cell.cross.get(target)
                row.append(_stacked(decimal(found.values.get("transfer") if found else None)))
        rows.append(row)
    return table(("trained on \\ tested on", *map(escape, section.targets)), rows)


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


def _warnings(section: Section) -> list[tuple[str, str]]:
    """Return each distinct warning with the runs that carry it."""
    carriers: dict[str, list[str]] = {}
    for r in section.records:
        for text in r.warnings:
            carriers.setdefault(text, []).append(r.name)
    return [
        (text, names[0] if len(names) == 1 else f"{len(names)} runs")
        for text, names in sorted(carriers.items())
    ]


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


def results_csv(records: Iterable[Record]) -> str:
    """Return one line per run, target and selection, as the records say."""
    lines = []
    for r in records:
        for s in r.scores:
            chosen = r.selection.get(s.selection)
            lines.append(
                {
                    "data_kind": r.data_kind,
                    "profile": r.profile,
                    "method": r.method,
                    "dataset": r.dataset,
                    "protocol": r.protocol,
                    "fold": r.fold,
                    "folds": r.folds,
                    "seed": r.seed,
                    "key": r.key,
                    "status": r.status,
                    "adapted": r.adapted or "",
                    "epoch": "" if chosen is None else chosen.epoch,
                    "val_uar": "" if chosen is None or chosen.val_uar is None else chosen.val_uar,
                    **{name: _plain(value) for name, value in s if name != "details"},
                    **_of_details(s.details),
                }
            )
    columns = [
        "data_kind",
        "profile",
        "method",
        "dataset",
        "protocol",
        "fold",
        "folds",
        "seed",
        "key",
        "status",
    ]
    columns += ["adapted", "epoch", "val_uar", *(name for name in Score.model_fields if name != "details")]
    return _csv([*columns, *_DETAILS, *_CALIBRATION], lines)


def _of_details(details: Details | None) -> dict[str, object]:
    if details is None:
        return {}
    single = {name: _plain(getattr(details, name)) for name in _DETAILS}
    return single | {name: getattr(details.calibration, name) for name in _CALIBRATION}


def pairs_csv(board: Board) -> str:
    """Return one line per test of two methods."""
    lines = []
    for section in board.sections:
        kinds = [("uar", source, column) for source, column in section.own_columns.items()]
        kinds += [("generalisation", source, column) for source, column in section.general_columns.items()]
        kinds.append(("generalisation", "overall", section.overall_column))
        for score, source, column in kinds:
            for test in column.tests:
                lines.append(
                    {
                        "data_kind": section.data_kind,
                        "profile": section.profile,
                        "score": score,
                        "source": source,
                        **vars(test),
                        "first_rank": column.ranks[test.first],
                        "second_rank": column.ranks[test.second],
                    }
                )
    columns = ["data_kind", "profile", "score", "source", "first", "second", "difference", "p", "adjusted"]
    return _csv([*columns, "units", "first_rank", "second_rank"], lines)


def cells_csv(board: Board) -> str:
    """Return one line per method, source and target with intervals: what the tables show."""
    metrics = ("uar", "accuracy", "macro_f1", "transfer")
    columns = ["data_kind", "profile", "method", "dataset", "protocol", "folds", "seeds", "selection"]
    columns += ["target", "label_set", "n", "units", "k", "kept_share"]
    columns += [f"{m}{end}" for m in metrics for end in ("", "_low", "_high")]
    lines = []
    for section in board.sections:
        for cell in section.cells:
            own = {cell.dataset: cell.in_domain.estimate} if cell.in_domain else {}
            for target, found in (own | dict(cell.cross)).items():
                line: dict[str, object] = {
                    "data_kind": section.data_kind,
                    "profile": section.profile,
                    "method": cell.label,
                    "dataset": cell.dataset,
                    "protocol": cell.protocol,
                    "folds": _plain(tuple(map(str, cell.folds))),
                    "seeds": _plain(tuple(map(str, cell.seeds))),
                    "selection": cell.selection,
                    "target": target,
                    "label_set": _plain(found.label_set),
                    "n": found.n,
                    "units": found.units,
                    "k": found.k,
                    "kept_share": found.kept_share,
                }
                for name, value in found.values.items():
                    line[name] = value.value
                    if value.interval is not None:
                        line |= {f"{name}_low": value.interval.low, f"{name}_high": value.interval.high}
                lines.append(line)
    return _csv(columns, lines)


def _plain(value: object) -> object:
    return " ".join(value) if isinstance(value, tuple) else "" if value is None else value


def _csv(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
