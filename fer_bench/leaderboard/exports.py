"""The numbers of the board as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from fer_bench.evaluation import metrics
from fer_bench.evaluation.intervals import Value
from fer_bench.leaderboard.tables import Board
from fer_bench.results.record import Record

_RUN = ("data_kind", "profile", "method", "dataset", "protocol", "fold", "folds", "seed", "key", "status")
_SCORE = ("target", "selection", "label_set", "n", "k", "kept_share")
_ROWS = ("unrestricted_uar", "small_classes", "rows")
_BREAKDOWN = ("worst_class", "worst_recall", "va_ccc", "au_f1", "abaw")
_CALIBRATION = ("ece", "ece_adaptive", "ece_classwise", "brier", "nll")


def results_csv(records: Iterable[Record]) -> str:
    """Return one line per run, target and selection, as the records say."""
    shown = [name for name, metric in metrics.registry().items() if metric.shown]
    others = [name for name in metrics.registry() if name not in shown]
    lines = []
    for r in records:
        for s in r.scores:
            line = {name: getattr(r, name) for name in _RUN} | {"adapted": r.adapted or ""}
            if chosen := r.selection.get(s.selection):
                line |= {"epoch": chosen.epoch, "val_uar": _plain(chosen.val_uar)}
            line |= {name: _plain(getattr(s, name)) for name in (*_SCORE, *_ROWS)}
            line |= {name: _plain(s.metrics.get(name)) for name in (*shown, *others)}
            if found := s.breakdown:
                line |= {name: _plain(getattr(found, name)) for name in ("units", *_BREAKDOWN)}
                line |= {name: getattr(found.calibration, name) for name in _CALIBRATION}
            lines.append(line)
    columns = [*_RUN, "adapted", "epoch", "val_uar", *_SCORE, *shown, *_ROWS, "units", *others]
    return _csv([*columns, *_BREAKDOWN, *_CALIBRATION], lines)


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
    names = [metric.name for metric in metrics.shown_in("cells", ranking_first=True)]
    columns = ["data_kind", "profile", "method", "dataset", "protocol", "folds", "seeds", "selection"]
    columns += ["target", "label_set", "n", "units", "k", "kept_share"]
    columns += ["small_classes", "crop", "fold_mean", "fold_sd"]
    columns += [f"{name}{end}" for name in names for end in ("", "_low", "_high", "_seed_sd")]
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
                    "small_classes": _plain(found.small_classes),
                    "crop": cell.records[0].targets[target].recipe,
                }
                if cell.in_domain and target == cell.dataset:
                    line |= {
                        "fold_mean": _plain(cell.in_domain.fold_mean),
                        "fold_sd": _plain(cell.in_domain.fold_sd),
                    }
                for name, value in ((name, found.values[name]) for name in names if name in found.values):
                    line |= {name: value.value, f"{name}_seed_sd": _plain(found.seed_sd(name))}
                    if value.interval is not None:
                        line |= {f"{name}_low": value.interval.low, f"{name}_high": value.interval.high}
                lines.append(line)
    return _csv(columns, lines)


def generalisation_csv(board: Board) -> str:
    """Return one line per method and source with its mean transfer score, and one `overall` per method."""
    lines: list[dict[str, object]] = []
    for section in board.sections:
        place: dict[str, object] = {"data_kind": section.data_kind, "profile": section.profile}
        for mine in section.overall:
            if mine.mean is not None:
                line = place | {"method": mine.label, "source": "overall", "over": _plain(mine.sources)}
                line |= {"ranked": mine.label in section.overall_column.ranks}
                lines.append(line | _of_mean(mine.mean, mine.six, mine.seed_sd, mine.retention))
        for cell in section.cells:
            general = cell.generalisation
            if general.mean is not None:
                line = place | {"method": cell.label, "source": cell.source}
                line |= {"scored": general.scored, "wanted": general.wanted, "scored_six": cell.six.scored}
                line |= {"ranked": cell.label in section.general_columns[cell.source].ranks}
                lines.append(line | _of_mean(general.mean, cell.six.mean, cell.seed_sd, cell.retention))
    columns = ["data_kind", "profile", "method", "source", "over", "scored", "wanted", "ranked"]
    columns += ["transfer", "transfer_low", "transfer_high", "seed_sd", "retention"]
    return _csv([*columns, "scored_six", "six", "six_low", "six_high"], lines)


def _of_mean(mean: Value, six: Value | None, seed_sd: float | None, kept: float | None) -> dict[str, object]:
    found: dict[str, object] = {"seed_sd": _plain(seed_sd), "retention": _plain(kept)}
    for name, value in (("transfer", mean), ("six", six)):
        if value is not None:
            found[name] = value.value
            if value.interval is not None:
                found |= {f"{name}_low": value.interval.low, f"{name}_high": value.interval.high}
    return found


def _plain(value: object) -> object:
    return " ".join(value) if isinstance(value, tuple) else "" if value is None else value


def _csv(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
