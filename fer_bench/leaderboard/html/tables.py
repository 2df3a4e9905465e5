"""The tables of a section: the board's numbers in the order of the markdown page."""

from __future__ import annotations

from fer_bench.evaluation import metrics
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import MIN_SEEDS
from fer_bench.leaderboard.apart import NOT_COMPARED, by_source
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.html.shown import Column, Row, Shown, Table, interval, key_of, lettered, number
from fer_bench.leaderboard.markup import signed_percent, two
from fer_bench.leaderboard.notes import notes_of
from fer_bench.leaderboard.sections.baseline import BASELINE
from fer_bench.leaderboard.sections.glance import own_mean, said
from fer_bench.leaderboard.sections.in_domain import folds_text
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import p_text, plain_difference

PERCENT = 100.0


def whole_percent(value: float) -> str:
    """Return a share in whole percent, without the sign."""
    return f"{100 * value:.0f}"


def cells_of(section: Section) -> list[Cell]:
    """Return the cells of a section by source, methods in the order of all tables."""
    return [cell for source in section.sources for cell in section.of_source(source)]


def overview(section: Section) -> Table:
    """Return one row per method: how well it holds up elsewhere."""
    column, rows = section.overall_column, []
    with_baseline = BASELINE in column.scores and column.best != BASELINE
    for mine in section.overall:
        mark, bold = lettered(column, mine.label)
        mark += " §" if mine.apart and mine.mean else ""
        mark += " (provisional)" if mine.mean and column.provisional else ""
        row: dict[str, Shown] = {
            "method": mine.label,
            "overall": interval(mine.mean, two, mark=mark, bold=bold),
            "from_best": _difference(section, mine.label, column.best),
            "own": interval(own_mean(section, mine), two),
            "retention": interval(mine.retention, whole_percent, PERCENT),
            "six": interval(mine.six, two),
            "seed_sd": number(mine.seed_sd, two),
            "sources": len({c.source for c in section.cells if c.label == mine.label and c.in_domain}),
        }
        if with_baseline:
            row["from_baseline"] = _difference(section, mine.label, BASELINE)
        rows.append(row)
    columns = [
        Column("method", "method"),
        Column("overall", "on other datasets", "number", "mean transfer over the datasets trained on"),
        Column("from_best", f"difference from {column.best or 'the best'}", "number", "on common seeds"),
        *(
            [Column("from_baseline", f"difference from {BASELINE}", "number", "on common seeds")]
            * with_baseline
        ),
        Column(
            "own", "on its own", "number", "in-domain, corrected for chance on the classes that targets share"
        ),
        Column(
            "retention",
            "retained, %",
            "number",
            "share of the score on its own dataset that is left elsewhere",
        ),
        Column("six", "six emotions", "number", "the same over the six basic emotions alone"),
        Column("seed_sd", "seed sd", "number", "standard deviation over seeds"),
        Column("sources", "trained on", "number", "datasets trained on"),
    ]
    return Table("methods", "Methods", columns, rows, said(section))


def _difference(section: Section, label: str, reference: str) -> Shown:
    column = section.overall_column
    value = column.difference(label, reference)
    test = column.test(label, reference)
    mark = f", adjusted {p_text(test.adjusted)}" if test is not None else ""
    return interval(value, plain_difference, mark=mark)


def in_domain(section: Section) -> Table:
    """Return UAR of every method on the test rows of its own dataset, a column per dataset."""
    rows = []
    for label in section.labels:
        row: dict[str, Shown] = {"method": label}
        for place, source in enumerate(section.sources):
            cell = section.cell(label, source)
            if cell is None or cell.in_domain is None:
                continue
            mark, bold = lettered(section.own_columns[source], label)
            mark += " †" if cell.adapted else ""
            mark += " §" if cell.apart_in_domain else ""
            uar = cell.in_domain.estimate.values[metrics.RANKING]
            row[f"s{place}"] = interval(
                uar,
                metrics.registry()[metrics.RANKING].number,
                PERCENT,
                mark=mark,
                bold=bold,
                details=key_of(cell),
            )
        rows.append(row)
    apart = by_source((c, c.apart_in_domain) for c in section.cells if c.usual and c.in_domain)
    return Table("own", "In-domain UAR, %", _by_source(section), rows, _marks(section, apart))


def _marks(section: Section, apart: str) -> tuple[str, ...]:
    """Return what the marks at numbers mean, as far as there are any.

    Args:
        section: The section.
        apart: Which methods are not compared, and why.
    """
    adapted = any(cell.adapted for cell in section.cells)
    said = ["†: the method was adapted to a dataset that lacks what it was designed for."] * adapted
    return (*said, *([f"§: {apart}"] if apart else []))


def generalisation(section: Section) -> Table:
    """Return the mean transfer of every method, a column per dataset trained on."""
    rows = []
    for label in section.labels:
        row: dict[str, Shown] = {"method": label}
        for place, source in enumerate(section.sources):
            cell = section.cell(label, source)
            if cell is not None and cell.generalisation.mean is not None:
                row[f"s{place}"] = _general(section, cell)
        rows.append(row)
    apart = by_source((c, c.apart_elsewhere) for c in section.cells if c.usual and c.generalisation.mean)
    title = "Mean transfer to the other datasets, by the one trained on"
    return Table("general", title, _by_source(section), rows, (f"§: {apart}",) if apart else ())


def _general(section: Section, cell: Cell) -> Shown:
    general = cell.generalisation
    if not general.complete:
        assert general.mean is not None
        text = f"{general.mean.value:.2f} ({general.scored}/{general.wanted})"
        return {"v": round(general.mean.value, 4), "t": text, "d": key_of(cell)}
    mark, bold = lettered(section.general_columns[cell.source], cell.label)
    mark += " §" if cell.apart_elsewhere else ""
    return interval(general.mean, two, mark=mark, bold=bold, details=key_of(cell))


def _by_source(section: Section) -> list[Column]:
    found = [Column(f"s{place}", source, "number") for place, source in enumerate(section.sources)]
    return [Column("method", "method"), *found]


def cells(section: Section) -> Table:
    """Return one row per cell with all its scores."""
    shown = metrics.shown_in("page", ranking_first=True)
    rows: list[Row] = []
    for cell in cells_of(section):
        own = cell.in_domain
        row: dict[str, Shown] = {
            "source": cell.source,
            "method": {"v": cell.label, "t": cell.label, "d": key_of(cell)},
            "protocol": cell.protocol,
            "general": _general(section, cell) if cell.generalisation.mean else None,
            "retention": interval(cell.retention, whole_percent, PERCENT),
            "folds": folds_text(cell),
            "seeds": len(cell.seeds),
            "notes": "; ".join((*([f"adapted: {cell.adapted}"] if cell.adapted else []), *notes_of(cell))),
        }
        if own is not None:
            for metric in shown:
                scale = PERCENT if metric.percent else 1.0
                row[metric.name] = interval(own.estimate.values.get(metric.name), metric.number, scale)
            row |= {"n": own.estimate.n, "units": own.estimate.units, "k": own.estimate.k}
            row["fold_sd"] = number(own.fold_sd, metrics.registry()[metrics.RANKING].number, PERCENT)
        rows.append(row)
    columns = [
        Column("source", "trained on"),
        Column("method", "method"),
        Column("protocol", "protocol"),
        *(Column(metric.name, metric.heading, "number") for metric in shown),
        Column("general", "on other datasets", "number", "mean transfer"),
        Column("retention", "retained, %", "number"),
        Column("n", "rows", "number"),
        Column("units", "units", "number", "persons, videos or pictures: what varies as a whole"),
        Column("k", "classes", "number"),
        Column("folds", "folds"),
        Column("fold_sd", "sd over folds", "number", "describes folds; not a standard error"),
        Column("seeds", "seeds", "number"),
        Column("notes", "notes"),
    ]
    return Table("cells", "Every cell in full", columns, rows)


def pairs(section: Section) -> Table:
    """Return one row per method, source and target."""
    rows: list[Row] = []
    uar = metrics.registry()[metrics.RANKING]
    for cell in (*cells_of(section), *section.outside):
        for target in (name for name in section.targets if name in cell.cross or name in cell.inside):
            found = cell.cross.get(target) or cell.inside[target]
            flags = ["trained on it"] if target in cell.inside else []
            flags += [f"{NOT_COMPARED}: {cell.seen[target].reason}"] if target in cell.seen else []
            flags += [f"under five rows: {', '.join(found.small_classes)}"] if found.small_classes else []
            rows.append(
                {
                    "source": cell.source,
                    "target": target,
                    "method": {"v": cell.label, "t": cell.label, "d": key_of(cell)},
                    "transfer": interval(found.values.get("transfer"), two),
                    "uar": interval(found.values.get("uar"), uar.number, PERCENT),
                    "n": found.n,
                    "units": found.units,
                    "k": found.k,
                    "kept": number(found.kept_share, whole_percent, PERCENT),
                    "flags": "; ".join(flags),
                }
            )
    columns = [
        Column("source", "trained on"),
        Column("target", "tested on"),
        Column("method", "method"),
        Column("transfer", "transfer", "number", "UAR corrected for chance: 0 is guessing, 1 is perfect"),
        Column("uar", uar.heading, "number"),
        Column("n", "rows", "number"),
        Column("units", "units", "number"),
        Column("k", "classes", "number"),
        Column("kept", "kept, %", "number", "share of the labelled rows whose class both datasets know"),
        Column("flags", "flags"),
    ]
    return Table("pairs", "Every pair of datasets", columns, rows)


def tests(section: Section) -> Table:
    """Return one row per test of two methods."""
    kinds = [("generalisation", "overall", section.overall_column)]
    kinds += [("generalisation", source, column) for source, column in section.general_columns.items()]
    kinds += [("UAR", source, column) for source, column in section.own_columns.items()]
    rows: list[Row] = []
    for score, source, column in kinds:
        for test in column.tests:
            shift, show = (PERCENT, signed_percent) if score == "UAR" else (1.0, plain_difference)
            value = Value(test.difference, test.interval)
            rows.append(
                {
                    "score": score,
                    "source": source,
                    "first": test.first,
                    "second": test.second,
                    "difference": interval(value, show, shift),
                    "adjusted": {"v": round(test.adjusted, 6), "t": p_text(test.adjusted)},
                    "verdict": "differ" if test.significant else "not shown to differ",
                    "units": test.units,
                    "seeds": len(test.seeds),
                }
            )
    columns = [
        Column("score", "score"),
        Column("source", "trained on"),
        Column("first", "higher"),
        Column("second", "lower"),
        Column("difference", "difference", "number", "UAR in points"),
        Column("adjusted", "adjusted p", "number", "of any pair of the column differing as much by chance"),
        Column("verdict", "verdict"),
        Column("units", "units", "number"),
        Column("seeds", "seeds", "number"),
    ]
    few = f"Pairs with fewer than {MIN_SEEDS} common seeds are not tested."
    return Table("tests", "Tests of two methods", columns, rows, (few,))
