"""`fer-bench evaluate`: a row on the board for a model that was trained elsewhere."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
    read_exclude,
    say,
)

if TYPE_CHECKING:
    from fer_bench.results.record import Record

EPILOG = (
    "Examples: fer-bench evaluate enet_b0_8_best_vgaf.onnx --dataset rafdb --data-root ~/datasets; "
    "fer-bench evaluate mine.onnx --card mine.yaml --dataset all; "
    "fer-bench evaluate mine.onnx --dataset folder:~/pictures --show seen.png; "
    "How to write a card: fer-bench docs outside-models"
)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="An ONNX file, a name of timm (hf-hub:ORGANISATION/MODEL, local-dir:FOLDER), or an entry "
            "point of fer_bench.models."
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
    profile: Annotated[
        Literal["quick", "paper"] | None,
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
    """Test a model that was trained elsewhere, and store a row for the board. Nothing is trained.

    The rows are those on which runs of other datasets are tested. What is stored already is not repeated.
    """
    from fer_bench.cli.terminal import Preparation
    from fer_bench.results.store import Store
    from fer_bench.runs.outside import evaluate_model, prepare
    from fer_bench.workspace.sources import find_roots, split_targets

    roots = find_roots(data_root, follow_links=follow_links)
    names: tuple[str, ...] = ("all",)
    if list(dataset) != ["all"]:
        names, roots = split_targets(dataset, (), roots)
    roots = named_classes(roots, classes, drop, names)
    announce_roots(roots, quiet=as_json)
    with closing(Preparation(quiet=as_json)) as display:
        ready = prepare(
            model,
            names,
            roots,
            card=card,
            profile=profile,
            crop=crop or (),
            faces=faces,
            detector=detector,
            leave_out=None if exclude is None else read_exclude(exclude),
            device=device,
            announce=display,
        )
        if show is not None:
            from fer_bench.runs.sheet import write_sheet

            write_sheet(ready, show)
            display.close()
            typer.echo(f"wrote {show}")
            return
        record = evaluate_model(ready, Store(runs_dir), announce=display)
    if as_json:
        typer.echo(json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False))
        return
    print_outside(record, runs_dir)


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
