"""`fer-bench distill`: train a small network that learns from a trained one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fer_bench.cli.options import WorkOptions, say, takes_work_options

if TYPE_CHECKING:
    from fer_bench.results.record import Record

EPILOG = (
    "Examples: fer-bench distill 3f2a --student mobilenetv3_small_050; "
    "fer-bench distill runs/cafe/rafdb/3f2a... --student mobilenetv4_conv_small_050 --seed 0 --seed 1; "
    "fer-bench distill 3f2a --student small --set method.temperature=2; "
    "What was measured: fer-bench docs light-models"
)


@takes_work_options
def distill(
    model: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT|RUN", help="The teacher: a checkpoint, a run's folder or key."),
    ],
    student: Annotated[
        str,
        typer.Option(
            "--student",
            metavar="NAME",
            help="A network of timm, such as mobilenetv3_small_050 (0.6 million parameters) or "
            "mobilenetv4_conv_small_050 (1.0), or small or narrow of this package.",
        ),
    ],
    options: WorkOptions,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=16, max=1024, help="Pixels of the student's input; default: as the teacher."
        ),
    ] = None,
) -> None:
    """Train a small network on the rows that a teacher was trained on, and on what it answers.

    Protocol, fold, seed, profile and targets are the teacher's unless options say otherwise. The student is a
    run like any other: tested in-domain and on the targets, on the board, and to be exported.
    """
    from fer_bench.cli.run import work
    from fer_bench.inference.distillation import prepare_lessons
    from fer_bench.inference.opening import find_file, open_checkpoint
    from fer_bench.results.store import Store
    from fer_bench.runs.sweepfile import check_sweep
    from fer_bench.workspace.sources import find_roots

    opened = open_checkpoint(find_file(model, options.runs_dir), "cpu")
    lessons = prepare_lessons(opened, Store(options.runs_dir), student, size=size)
    roots = find_roots(options.data_root, follow_links=options.follow_links)
    config = options.added_to(check_sweep({**lessons.fields, **options.changes()}))
    result, _ = work(config, roots, options, group=None)
    if options.as_json:
        documents = [record.model_dump(mode="json") for record in result.records]
        typer.echo(json.dumps({"teacher": lessons.teacher.key, "students": documents}, indent=2))
    else:
        for record in result.records:
            _print(lessons.teacher, record)
    raise typer.Exit(0 if result.all_done else 1)


def _print(teacher: Record, student: Record) -> None:
    """Print what teacher and student scored on each target."""
    from fer_bench.cli.score_table import ScoreTable

    drawn = "  SYNTHETIC DATA" if student.data_kind == "synthetic" else ""
    table = ScoreTable()
    typer.echo(f"{student.name}: {student.status}{drawn}")
    typer.echo(table.header)
    for score in student.scores:
        if score.selection != student.headline:
            continue
        known = teacher.score(score.target, teacher.headline)
        if known is not None:
            typer.echo(f"{table.line(score.target, known)}  teacher")
        typer.echo(f"{table.line(score.target, score)}  student")
    for what, count in (("teacher", teacher), ("student", student)):
        typer.echo(
            f"  {what}: {count.parameters:,} trained parameters, {count.multiply_adds / 1e6:,.1f} million "
            "multiply-adds"
        )
    say(f"next: fer-bench export {student.key} --to onnx --int8")
