"""The numbers of the board as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from fer_bench.evaluation import metrics
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.sections import costs
from fer_bench.leaderboard.sections.runs import reason_of
from fer_bench.leaderboard.tables import Board
from fer_bench.results.efficiency import BATCHES
from fer_bench.results.record import Record

Line = Mapping[str, object]
_RUN = ("data_kind", "profile", "method", "dataset", "protocol", "fold", "folds", "seed", "key", "status")
_SCORE = ("target", "selection", "label_set", "n", "k", "kept_share")
_ROWS = ("unrestricted_uar", "small_classes", "rows")
_BREAKDOWN = ("worst_class", "worst_recall", "va_ccc", "au_f1", "abaw")
_OVER_SOURCES = ("sources_won", "sources", "wilcoxon_p")
_CALIBRATION = ("ece", "ece_adaptive", "ece_classwise", "brier", "nll")


def results_csv(records: Iterable[Record]) -> str:
    """Return one line per run, target and selection, as the records say."""
    shown = [name for name, metric in metrics.registry().items() if metric.shown]
    others = [name for name in metrics.registry() if name not in shown]
    lines = []
    for record, score in ((r, s) for r in records for s in r.scores):
        line = {name: getattr(record, name) for name in (*_RUN, "adapted")}
        if chosen := record.selection.get(score.selection):
            line |= {"epoch": chosen.epoch, "val_uar": chosen.val_uar}
        line |= {name: getattr(score, name) for name in (*_SCORE, *_ROWS)}
        line |= {name: score.metrics.get(name) for name in (*shown, *others)}
        if found := score.breakdown:
            line |= {name: getattr(found, name) for name in ("units", *_BREAKDOWN)}
            line |= {name: getattr(found.calibration, name) for name in _CALIBRATION}
        lines.append(line)
    columns = [*_RUN, "adapted", "epoch", "val_uar", *_SCORE, *shown, *_ROWS, "units", *others]
    return _csv([*columns, *_BREAKDOWN, *_CALIBRATION], lines)


def runs_csv(board: Board) -> str:
    """Return one line per run: how it ended, and why it has no scores where it has none."""
    columns = [*_RUN, "reason", "missing", "parameters", "multiply_adds"]
    lines: list[Line] = []
    for record in (r for section in board.sections for r in section.records):
        line: dict[str, object] = {name: getattr(record, name) for name in _RUN}
        line |= {"reason": reason_of(record), "parameters": record.parameters or None}
        line |= {"multiply_adds": record.multiply_adds or None, "missing": tuple(sorted(record.missing))}
        lines.append(line)
    return _csv(columns, lines)


def pairs_csv(board: Board) -> str:
    """Return one line per test of two methods."""
    lines: list[Line] = []
    for section in board.sections:
        kinds = [("uar", source, column) for source, column in section.own_columns.items()]
        kinds += [("generalisation", source, column) for source, column in section.general_columns.items()]
        kinds.append(("generalisation", "overall", section.overall_column))
        for score, source, column in kinds:
            place = {"data_kind": section.data_kind, "profile": section.profile}
            for test in column.tests:
                line = {**place, "score": score, "source": source, **vars(test)}
                line |= _ends("difference", line.pop("interval"))
                for name in ("first", "second"):
                    line[f"{name}_letters"] = column.letters[getattr(test, name)]
                if source == "overall":
                    counts = section.over_sources(test.first, test.second)
                    line |= dict(zip(_OVER_SOURCES, counts, strict=True))
                lines.append(line)
    columns = ["data_kind", "profile", "score", "source", "first", "second"]
    columns += ["difference", "difference_low", "difference_high", "p", "adjusted", "units", "seeds"]
    return _csv([*columns, "first_letters", "second_letters", *_OVER_SOURCES], lines)


def cells_csv(board: Board) -> str:
    """Return one line per method, source and target with intervals: what the tables show."""
    names = [metric.name for metric in metrics.shown_in("cells", ranking_first=True)]
    of_cell = ("dataset", "protocol", "folds", "seeds", "selection")
    of_estimate = ("label_set", "n", "units", "k", "kept_share", "small_classes")
    lines = []
    for section, cell in ((s, c) for s in board.sections for c in (*s.cells, *s.outside)):
        own = {cell.dataset: cell.in_domain.estimate} if cell.in_domain else {}
        for target, found in (own | dict(cell.cross)).items():
            line: dict[str, object] = {
                "data_kind": section.data_kind,
                "profile": section.profile,
                "method": cell.label,
                "target": target,
                "crop": cell.records[0].targets[target].recipe,
            }
            line |= {name: getattr(cell, name) for name in of_cell}
            line |= {name: getattr(found, name) for name in of_estimate}
            line["seen"] = cell.seen[target].reason if target in cell.seen else None
            if cell.in_domain and target == cell.dataset:
                line |= {"fold_mean": cell.in_domain.fold_mean, "fold_sd": cell.in_domain.fold_sd}
            for name in names:
                line |= _with_ends(name, found.values.get(name)) | {f"{name}_seed_sd": found.seed_sd(name)}
            lines.append(line)
    columns = ["data_kind", "profile", "method", *of_cell, "target", *of_estimate, "crop"]
    columns += ["seen", "fold_mean", "fold_sd"]
    columns += [f"{name}{end}" for name in names for end in ("", "_low", "_high", "_seed_sd")]
    return _csv(columns, lines)


def generalisation_csv(board: Board) -> str:
    """Return one line per method and source with its mean transfer score, and one `overall` per method."""
    lines: list[Line] = []
    for section in board.sections:
        place = {"data_kind": section.data_kind, "profile": section.profile}
        for mine in section.overall:
            if mine.mean is not None:
                lines.append(
                    place
                    | {"method": mine.label, "source": "overall", "over": mine.sources}
                    | {"letters": section.overall_column.letters.get(mine.label)}
                    | {"seen": mine.apart.reason if mine.apart else None}
                    | {"seed_sd": mine.seed_sd}
                    | _with_ends("retention", mine.retention)
                    | _with_ends("transfer", mine.mean)
                    | _with_ends("six", mine.six)
                )
        for cell in section.cells:
            general, six = cell.generalisation, cell.six
            if general.mean is not None:
                counts = {"scored": general.scored, "wanted": general.wanted, "scored_six": six.scored}
                lines.append(
                    place
                    | {"method": cell.label, "source": cell.source, **counts}
                    | {"letters": section.general_columns[cell.source].letters.get(cell.label)}
                    | {"seen": cell.apart_elsewhere.reason if cell.apart_elsewhere else None}
                    | {"seed_sd": cell.seed_sd}
                    | _with_ends("retention", cell.retention)
                    | _with_ends("transfer", general.mean)
                    | _with_ends("six", six.mean)
                )
    columns = ["data_kind", "profile", "method", "source", "over", "scored", "wanted", "letters", "seen"]
    columns += ["transfer", "transfer_low", "transfer_high", "seed_sd"]
    columns += ["retention", "retention_low", "retention_high"]
    return _csv([*columns, "scored_six", "six", "six_low", "six_high"], lines)


def efficiency_csv(board: Board) -> str:
    """Return one line per method with what it costs; ratios are those to the method `reference`."""
    columns = ["data_kind", "profile", "method", "trained_parameters", "parameters", "multiply_adds"]
    columns += ["reference", "training_ratio", *(f"cpu_ratio_{size}" for size in BATCHES), "cpu_bytes", "cpu"]
    columns += [*(f"gpu_ms_{size}" for size in BATCHES), "cuda_bytes", "cuda"]
    return _csv(columns, costs.csv_lines(board.sections))


def _with_ends(name: str, value: Value | None) -> dict[str, object]:
    """Return a value and the ends of its interval by column, as far as they exist."""
    if value is None:
        return {}
    return {name: value.value, **_ends(name, value.interval)}


def _ends(name: str, found: Interval | None) -> dict[str, object]:
    return {} if found is None else {f"{name}_low": found.low, f"{name}_high": found.high}


def _csv(columns: Sequence[str], lines: Iterable[Line]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _plain(value) for name, value in line.items()})
    return text.getvalue()


def _plain(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else value
