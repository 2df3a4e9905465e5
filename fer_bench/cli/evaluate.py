"""`fer-bench evaluate`: test a trained model, or one that was trained elsewhere, on labelled pictures."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.cli.excluded import read_exclude
from fer_bench.cli.options import (
    AsJson,
    ChosenDetector,
    Classes,
    DataRoot,
    Drop,
    Exclude,
    FollowLinks,
    RunsDir,
    announce_roots,
    named_classes,
    say,
)
from fer_bench.cli.own_pictures import print_report
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.inference.own_data import OwnModel
    from fer_bench.inference.own_report import Report
    from fer_bench.results.record import Record

EPILOG = (
    "Examples: fer-bench evaluate runs/erm/rafdb/KEY --dataset folder:~/pictures; "
    "fer-bench evaluate KEY -d folder:~/pictures --calibrate --write-to calibrated.pt; "
    "fer-bench evaluate KEY -d folder:~/pictures --max-error 0.1 --curve curve.png; "
    "fer-bench evaluate enet_b0_8_best_vgaf.onnx --dataset rafdb --data-root ~/datasets; "
    "fer-bench evaluate mine.onnx --card mine.yaml --dataset all; "
    "fer-bench evaluate mine.onnx --dataset folder:~/pictures --show seen.png; "
    "How to write a card: fer-bench docs outside-models"
)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint (.pt), a run's folder or key, or an export (.onnx) of this suite; or of "
            "others an ONNX file, a name of timm (hf-hub:ORGANISATION/MODEL, local-dir:FOLDER), or an entry "
            "point of fer_bench.models.",
        ),
    ],
    dataset: Annotated[
        list[str],
        typer.Option(
            "--dataset", "-d", help="Dataset to test on, folder:PATH, or all for the seven of the board."
        ),
    ],
    card: Annotated[
        str | None,
        typer.Option(
            "--card",
            metavar="FILE|NAME",
            help="The model's card; default: the YAML file beside it, else a card of the package "
            "(fer-bench list models) that names its file.",
        ),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            "--show",
            metavar="FILE",
            help="Only draw what the network sees, beside its answers: a PNG or HTML file.",
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit a temperature, and shares of the classes, on some of the pictures; test on the others.",
        ),
    ] = False,
    shares: Annotated[
        Literal["best", "none", "labels", "em"],
        typer.Option(
            "--shares",
            help="What --calibrate corrects besides: nothing, class shares of the labels, those estimated "
            "from predictions alone (em), or what predicts other pictures best.",
        ),
    ] = "best",
    write_to: Annotated[
        Path | None,
        typer.Option(
            "--write-to", metavar="FILE", help="Write a calibrated copy of the model, which predict applies."
        ),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            "--max-error", metavar="SHARE", help="Find the --abstain-below of predict for this error rate."
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="SHARE", help="Confidence with which --max-error holds.")
    ] = 0.95,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", metavar="FILE", help="Draw error against coverage: a PNG or JPEG file."),
    ] = None,
    profile: Annotated[
        Literal["quick", "small", "paper"] | None,
        typer.Option("--profile", help="Default: quick for synthetic data, paper for real data."),
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option("--crop", metavar="[DATASET=]KIND", help="Crop faces otherwise than the card says."),
    ] = None,
    faces: Annotated[
        Literal["whole", "detect"] | None,
        typer.Option("--faces", help="Pictures without boxes and landmarks, as for the command run."),
    ] = None,
    detector: ChosenDetector = None,
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    exclude: Exclude = None,
    classes: Classes = None,
    drop: Drop = None,
    runs_dir: RunsDir = Path("runs"),
    device: Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Test a trained model on labelled pictures, print every score with intervals, and store them.

    Nothing is trained, and what is stored already is not repeated. A run of the store gets one more target; a
    file on its own, or one from elsewhere, gets a row of its own. Only --runs-dir is written to. Scores of
    your pictures stand beside those on test rows of what the model was trained on.
    """
    from fer_bench.cli.terminal import Preparation
    from fer_bench.evaluation.selective import check_shares
    from fer_bench.inference.own_data import as_outside, evaluate_own, find_own, open_own, outcomes_of
    from fer_bench.inference.own_report import report as report_on
    from fer_bench.models.opening import open_model
    from fer_bench.results.store import Store
    from fer_bench.runs.outside import evaluate_model, open_targets
    from fer_bench.workspace.sources import find_roots, split_targets

    if write_to is not None and not calibrate:
        raise UsageError("--write-to writes a calibrated copy", hint="--calibrate")
    check_shares(max_error, confidence)
    roots = find_roots(data_root, follow_links=follow_links)
    names: tuple[str, ...] = ("all",)
    if list(dataset) != ["all"]:
        names, roots = split_targets(dataset, (), roots)
    roots = named_classes(roots, classes, drop, names)
    announce_roots(roots, quiet=as_json)
    file = None if card is not None else find_own(model, runs_dir)
    own = None if file is None else open_own(file, device)
    if own is None and write_to is not None:
        raise UsageError("only models of this suite have a calibrated copy", value=model)
    record, tested = None, []
    with closing(Preparation(quiet=as_json)) as display:
        opened = open_model(model, card=card, device=device) if own is None else as_outside(own)
        ready = open_targets(
            opened,
            names,
            roots,
            profile=profile,
            crop=crop or (),
            faces=faces,
            detector=detector,
            leave_out=None if exclude is None else read_exclude(exclude),
            announce=display,
            usual=None if own is None else own.crops,
        )
        if show is not None:
            from fer_bench.runs.sheet import write_sheet

            write_sheet(ready, show)
            display.close()
            typer.echo(f"wrote {show}")
            return
        if own is not None:
            tested = evaluate_own(own, ready, runs_dir, announce=display)
        else:
            record = evaluate_model(ready, store := Store(runs_dir), announce=display)
            if calibrate or max_error is not None or curve is not None:
                tested = outcomes_of(record, store, ready)
    single = (write_to, "--write-to"), (curve, "--curve")
    if len(tested) > 1 and (asked := [option for value, option in single if value is not None]):
        raise UsageError(f"{asked[0]} is about one dataset", value=", ".join(dataset), hint="one --dataset")
    reports = [
        report_on(
            one,
            None if own is None else own.described,
            None if own is None else own.card,
            shares=shares if calibrate else None,
            training_counts=None if own is None or not calibrate else own.training_counts,
            max_error=max_error,
            level=confidence,
        )
        for one in tested
    ]
    if curve is not None:
        from fer_bench.inference.own_figures import draw_curve

        draw_curve(reports[0], curve)
    if write_to is not None and own is not None:
        from fer_bench.inference.calibrated import added, write_calibrated

        found = reports[0].calibration
        assert found is not None
        write_calibrated(own.file, write_to, added(own.card, found.calibrator))
    if as_json:
        _print_json(record, own, reports, write_to)
        return
    if record is not None:
        print_outside(record, runs_dir)
    elif own is not None:
        drawn = "  trained on SYNTHETIC DATA" * (own.card.data_kind == "synthetic")
        typer.echo(f"{own.card.name}, {own.file}{drawn}")
    for one in reports:
        print_report(one, curve)
    if write_to is not None:
        typer.echo(f"wrote {write_to}; next: fer-bench predict {write_to} PICTURES")


def _print_json(
    record: Record | None, own: OwnModel | None, reports: list[Report], calibrated: Path | None
) -> None:
    """Print the record of a model that was trained elsewhere, and what was found about a model."""
    row = None if record is None else record.model_dump(mode="json")
    document: object = row
    if own is not None or reports:
        document = {
            "model": None if own is None else own.card.model_dump(mode="json"),
            "record": row,
            "reports": [one.document() for one in reports],
            "calibrated": None if calibrated is None else str(calibrated),
        }
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_outside(record: Record, runs_dir: Path) -> None:
    """Print what a model that was trained elsewhere scored, and what it had seen.

    Args:
        record: Its record.
        runs_dir: The run store.
    """
    from fer_bench.cli.score_table import ScoreTable, print_rest

    assert record.training_data is not None
    kind = "  SYNTHETIC DATA" if record.data_kind == "synthetic" else ""
    scores = ScoreTable()
    typer.echo(f"{record.method}: trained on {record.training_data.text}{kind}")
    typer.echo(f"{scores.header}  in training?")
    for score in record.scores:
        exposure = "no, drawn" if record.data_kind == "synthetic" else record.training_data.of(score.target)
        typer.echo(f"{scores.line(score.target, score)}  {exposure}")
    print_rest(record, runs_dir)
    say("next: fer-bench leaderboard")
