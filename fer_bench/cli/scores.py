"""The commands on predictions, which need no GPU: `score`, `compare` and `submit`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.cli.options import AsJson, DataRoot, Rows, RunsDir, open_store, say
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.config import ProfileName
    from fer_bench.leaderboard.compare import Line
    from fer_bench.results.scores import Breakdown
    from fer_bench.runs.submission import CheckedSubmission

submit_app = typer.Typer(
    help="Check and score predictions that were made elsewhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="How to make such a file: fer-bench docs submit",
)

ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", help="Protocol the model was trained under; default: its dataset's."),
]
Fold = Annotated[int, typer.Option("--fold", min=1, help="Fold that the model was not trained on.")]
Quick = Annotated[bool, typer.Option("--quick", help="The protocols of the quick profile are the default.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog="Examples: fer-bench score; fer-bench score --all --jobs 4; "
        "fer-bench score --rows rafdb:occlusion=rafdb_occlusion_list.txt"
    )(score)
    app.command(
        epilog="Examples: fer-bench compare gcn resemotenet; fer-bench compare 3f2a 91bc; "
        "fer-bench compare runs/gcn/oulu/3f2a.../record.json other/gcn/oulu/91bc.../record.json"
    )(compare)
    app.add_typer(submit_app, name="submit")


def score(
    runs_dir: RunsDir = Path("runs"),
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; default one per core.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Include runs that have not changed.")] = False,
    rows: Rows = None,
    as_json: AsJson = False,
) -> None:
    """Compute the scores of a store again from its predictions: of runs that changed, or of all.

    With --rows every run that was tested on the dataset is also scored on the listed rows, now and later.
    Exit code 1 if a run could not be scored; the others are.
    """
    from fer_bench.evaluation.rescore import rescore
    from fer_bench.files import usable_cores
    from fer_bench.results.subsets import add_subset
    from fer_bench.runs.rows import parse_rows, subsets_for_store

    store = open_store(runs_dir)
    store.check_writable()
    for subset in subsets_for_store(parse_rows(rows or ()), store):
        add_subset(store.root, subset)
        again = f", {subset.repeated} lines repeat a row" if subset.repeated else ""
        named = f"{subset.dataset}:{subset.name}"
        say(f"{named}: {len(subset.rows)} rows (hash {subset.hash}){again}", quiet=as_json)

    def show(done: int, total: int) -> None:
        if not as_json and (done == total or done % 100 == 0):
            print(f"scored {done} of {total} runs", file=sys.stderr, flush=True)

    summary = rescore(store, jobs=jobs or usable_cores(), progress=show, all_runs=every)
    counts = {
        "scored": summary.count("scored"),
        "changed": sum(run.changed for run in summary.runs),
        "unchanged": summary.unchanged,
        "busy": summary.count("busy"),
        "unfinished": summary.count("unfinished"),
    }
    problems = [run.problem for run in summary.runs if run.state == "failed"]
    if as_json:
        typer.echo(json.dumps({**counts, "problems": problems}, indent=2, ensure_ascii=False))
    else:
        typer.echo(", ".join(f"{name}: {number}" for name, number in counts.items()))
        for problem in problems:
            typer.echo(f"  not scored: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def compare(
    first: Annotated[str, typer.Argument(help="Method, run key (or its beginning), or a record.json.")],
    second: Annotated[str, typer.Argument(help="The same kind of thing.")],
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Compare two methods or two runs: differences with intervals, and exchange tests over whole units."""
    from fer_bench import datasets
    from fer_bench.leaderboard.compare import compare_named
    from fer_bench.results.store import Store

    lines = compare_named(Store(runs_dir), first, second, datasets.MAIN_SEVEN)
    if as_json:
        typer.echo(
            json.dumps({"first": first, "second": second, "lines": [asdict(x) for x in lines]}, indent=2)
        )
        return
    data = None
    for line in lines:
        if line.data != data:
            data = line.data
            typer.echo(f"{data or 'runs'}: {first} minus {second}")
        typer.echo(f"  {_of_line(line)}")
    typer.echo(_verdict(lines, first, second))


def _of_line(line: Line) -> str:
    from fer_bench.evaluation.metrics import registry

    percent = any(metric.percent for metric in registry().values() if metric.title == line.score)
    scale, unit, places = (100, " points", 1) if percent else (1, "", 2)
    where = line.source if line.source == line.target else f"{line.source} -> {line.target}"
    values = f"{scale * line.first:.{places}f} and {scale * line.second:.{places}f}"
    text = f"{where:28} {line.score:8} {values:16} difference {scale * line.difference:+.{places}f}{unit}"
    if line.interval is not None:
        text += f" [{scale * line.interval.low:+.{places}f}, {scale * line.interval.high:+.{places}f}]"
    test = line.note if line.p is None else f"p = {line.p:.4f}"
    return f"{text}, {test} ({line.units} units)"


def _verdict(lines: list[Line], first: str, second: str) -> str:
    from fer_bench.evaluation.pairs import ALPHA, holm
    from fer_bench.leaderboard.compare import APART

    tested = [x for x in lines if x.p is not None]
    if not tested:
        if any(x.note.startswith(APART) for x in lines):
            return "Nothing could be tested: one of the two saw before what it is tested on."
        return "Nothing could be tested: the two were never tested on the same rows."
    adjusted = holm([x.p for x in tested if x.p is not None])
    sure = [x for x, p in zip(tested, adjusted, strict=True) if p < ALPHA]
    ahead = sum(x.difference > 0 for x in sure)
    tests = "one test" if len(tested) == 1 else f"these {len(tested)} tests"
    return (
        f"After Holm's correction over {tests} {first} is better in {ahead}, {second} in "
        f"{len(sure) - ahead}; in {len(tested) - len(sure)} no difference is shown, which does not prove "
        "equality."
    )


@submit_app.command(
    epilog="Examples: fer-bench submit check mine.parquet; "
    "fer-bench submit check mine.parquet --protocol 6-10fold --fold 3 --data-root ~/datasets --json"
)
def check(
    file: Annotated[Path, typer.Argument(help="Predictions as a parquet file, see `fer-bench docs submit`.")],
    data_root: DataRoot = None,
    protocol: ProtocolName = None,
    fold: Fold = 1,
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """Check predictions made elsewhere against the protocol, and score them like those of a run.

    Exit code 2 with the reason and the row if they do not fit.
    """
    from fer_bench.runs.submission import check_submission
    from fer_bench.workspace.sources import find_roots

    found = check_submission(file, find_roots(data_root), protocol=protocol, fold=fold, quick=quick)
    if as_json:
        document = {
            "submission": found.meta.model_dump(mode="json"),
            "protocol": found.trained.name,
            "fold": found.fold,
            "data_kind": found.source.kind,
            "score": found.score.model_dump(mode="json"),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    _print_checked(found)


def _print_checked(found: CheckedSubmission) -> None:
    from fer_bench.evaluation import metrics

    meta, result = found.meta, found.score
    kind = "  SYNTHETIC DATA" if found.source.kind == "synthetic" else ""
    typer.echo(
        f"valid: {meta.method}, trained on {meta.source} ({found.trained.name}), "
        f"tested on {meta.target}{kind}"
    )
    typer.echo(
        f"  rows {result.n}, classes {result.k}, kept {100 * result.kept_share:.1f} % of labelled rows"
    )
    ends = result.breakdown.intervals if result.breakdown is not None else {}
    for metric in metrics.shown_in("cli", ranking_first=True):
        if (value := result.metrics.get(metric.name)) is not None:
            between = ", ".join(map(metric.number, ends.get(metric.name, ())))
            text = f"{metric.number(value):>5}{' %' if metric.percent else ''}"
            typer.echo(f"  {metric.title:9} {text}{f' [{between}]' if between else ''}")
    if result.small_classes:
        typer.echo(f"  under five rows: {', '.join(result.small_classes)}")
    if result.breakdown is not None:
        others = [metric for metric in metrics.registry().values() if not metric.shown]
        more = "; ".join(f"{m.title} {m.text(result.metrics.get(m.name))}" for m in others)
        _print_breakdown(result.breakdown, more)


def _print_breakdown(d: Breakdown, more: str) -> None:
    c = d.calibration
    typer.echo(f"  {more}; worst class: {d.worst_class} (recall {100 * d.worst_recall:.0f} %)")
    typer.echo(
        f"  ECE {100 * c.ece:.1f} % (adaptive {100 * c.ece_adaptive:.1f}, class-wise "
        f"{100 * c.ece_classwise:.1f}), Brier {c.brier:.2f}, NLL {c.nll:.2f}"
    )
    typer.echo(f"  {'class':10} {'rows':>6} {'recall':>7} {'precision':>10} {'F1':>6}")
    for name, one in d.per_class.items():
        shares = (one.recall, one.precision, one.f1)
        recall, precision, f1 = ("-" if v is None else f"{100 * v:.1f}" for v in shares)
        typer.echo(f"  {name:10} {one.n:6} {recall:>7} {precision:>10} {f1:>6}")
    for attribute, groups in d.groups.items():
        gap = "" if groups.gap is None else f", gap {100 * groups.gap:.1f} points"
        typer.echo(f"  {attribute}: {groups.count} groups, {len(groups.classes)} classes compared{gap}")
        for value, group in groups.groups.items():
            uar = "not compared" if group.uar is None else f"UAR {100 * group.uar:.1f} %"
            accuracy = f"accuracy {100 * group.accuracy:.1f} %"
            typer.echo(f"    {value:12} rows {group.n:5}, classes {group.k}, {accuracy}, {uar}")
    if d.votes is not None:
        v = d.votes
        typer.echo(
            f"  votes: agreement {100 * v.agreement:.1f} %; one person against the majority of the others: "
            f"UAR {100 * v.human_uar:.1f} %, accuracy {100 * v.human_accuracy:.1f} % ({v.n} rows)"
        )
    for name, dimension in d.va.items():
        ccc = "-" if dimension.ccc is None else f"{dimension.ccc:.2f}"
        typer.echo(f"  {name}: CCC {ccc}, RMSE {dimension.rmse:.2f} ({dimension.n} rows)")
    if d.au_f1 is not None:
        typer.echo(f"  action units: mean F1 {100 * d.au_f1:.1f} % over {len(d.au)}")
    if d.abaw is not None:
        typer.echo(f"  ABAW sum {d.abaw:.2f}")


@submit_app.command(
    epilog="Examples: fer-bench submit add mine-*.parquet; "
    "fer-bench submit add mine.parquet --pretrained-on affectnet7 --runs-dir /lab/runs"
)
def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Predictions, one file per target.")],
    data_root: DataRoot = None,
    protocol: ProtocolName = None,
    fold: Fold = 1,
    quick: Quick = False,
    profile: Annotated[
        Literal["small", "paper"] | None,
        typer.Option("--profile", help="Section of the board; default: paper, with --quick that of quick."),
    ] = None,
    pretrained_on: Annotated[
        list[str] | None,
        typer.Option("--pretrained-on", metavar="DATASET", help="The model also saw this dataset."),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Check predictions made elsewhere and store them as a row of the board, with the outside models.

    All files are checked before any is stored. Files with the same `method` and `key` are one model.
    """
    from fer_bench.cli.evaluate import print_outside
    from fer_bench.results.store import Store
    from fer_bench.runs.submission import add_submissions, check_submission
    from fer_bench.workspace.sources import find_roots

    if quick and profile is not None:
        raise UsageError("--quick is a section of its own", value=f"--profile {profile}", hint="one of both")
    roots, store = find_roots(data_root), Store(runs_dir)
    checked = [check_submission(file, roots, protocol=protocol, fold=fold, quick=quick) for file in files]
    section: ProfileName = "quick" if quick else profile or "paper"
    records = add_submissions(checked, store, profile=section, pretrained_on=pretrained_on or ())
    if as_json:
        documents = [record.model_dump(mode="json") for record in records]
        typer.echo(json.dumps({"runs": documents}, indent=2, ensure_ascii=False, allow_nan=False))
        return
    for record in records:
        print_outside(record, runs_dir)


@submit_app.command(epilog="Example: fer-bench submit rows --target rafdb --source affectnet7 --out rows.csv")
def rows(
    target: Annotated[str, typer.Option("--target", "-t", help="Dataset to test on.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV file to write.")],
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="Dataset trained on; default: the target.")
    ] = None,
    data_root: DataRoot = None,
    protocol: ProtocolName = None,
    fold: Fold = 1,
    quick: Quick = False,
    affect: Annotated[
        bool, typer.Option("--affect", help="Include rows with valence, arousal or action units alone.")
    ] = False,
) -> None:
    """List the rows that a submission must predict, and print what its metadata must hold."""
    from fer_bench.data.index import fingerprint
    from fer_bench.datasets import members_of, source_name
    from fer_bench.files import write_text
    from fer_bench.runs.submission import refuse_shared, template, trained_under
    from fer_bench.workspace.sources import find_roots, open_source

    trained_on = source_name(source or target)
    refuse_shared(trained_on, target)
    trained = trained_under(trained_on, protocol, quick=quick)
    opened = open_source(target, find_roots(data_root))
    own = trained if target in members_of(trained_on) else None
    table = template(opened, own, fold=fold, quick=quick, with_affect=affect)
    write_text(out, table.to_csv(index=False, lineterminator="\n"))
    facts = {
        "source": trained_on,
        "target": target,
        "card_version": opened.dataset.card.version,
        "fingerprint": fingerprint(opened.dataset.index),
        "classes": [e.value for e in trained.label_set],
    }
    typer.echo(json.dumps(facts, indent=2))
