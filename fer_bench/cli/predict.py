"""`fer-bench predict`: what a trained model answers for pictures, videos and cameras of one's own."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_bench.cli.options import (
    AsJson,
    ChosenDetector,
    FacesOfPicture,
    NetworkDevice,
    OwnCrop,
    RunsDir,
    say,
)
from fer_bench.errors import counted

if TYPE_CHECKING:
    import pandas as pd

    from fer_bench.inference.inputs import Inputs, Item
    from fer_bench.inference.predictor import Predictor

EPILOG = (
    "Examples: fer-bench predict runs/gcn/oulu/KEY photos/ --out answers.csv; "
    "fer-bench predict val.pt clip.mp4 --every 0.5s --plot clip.png --annotate faces.mp4; "
    "fer-bench predict model.onnx 'photos/**/*.jpg' --faces all --gallery faces.html --blur; "
    "fer-bench predict val.pt 0 --seconds 20 --out camera.csv; "
    "fer-bench predict gcn.pt visits/ --neutral anna=anna.jpg --neutral bert=bert.mp4"
)
LISTED = 40
"""Rows that are printed where no file is written."""


def predict(
    model: Annotated[
        str, typer.Argument(help="A checkpoint (.pt), an export (.onnx), a run's folder, or a run key.")
    ],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Pictures, folders, videos, patterns such as 'a/**/*.jpg', or a camera: 0.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Table to write: .csv, .parquet, .json or .jsonl; goes on if stopped.",
        ),
    ] = None,
    faces: FacesOfPicture = "largest",
    every: Annotated[
        str, typer.Option("--every", metavar="N|SECONDS", help="Frames of videos: 10 (every tenth) or 0.5s.")
    ] = "1",
    abstain_below: Annotated[
        float,
        typer.Option("--abstain-below", min=0, max=1, help="Mark answers of a lower top probability."),
    ] = 0.0,
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", metavar="FILE", help="One HTML page with the faces and their answers."),
    ] = None,
    blur: Annotated[
        bool, typer.Option("--blur", help="Make the faces of the gallery unrecognisable, for sharing.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show a HiResCAM map beside each face of the gallery (checkpoints)."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE|DIR", help="Probabilities over the time of each video, as PNG."),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option("--annotate", metavar="FILE|DIR", help="Videos with boxes and answers, as MP4."),
    ] = None,
    neutral: Annotated[
        list[str] | None,
        typer.Option(
            "--neutral",
            metavar="[PERSON=]FILE",
            help="gcn: compare with this neutral picture, or the calmest frames of this clip. PERSON is a "
            "folder's name or how file names begin.",
        ),
    ] = None,
    show_neutral: Annotated[
        Path | None,
        typer.Option(
            "--show-neutral", metavar="FILE", help="Write the neutral faces that are taken, as PNG."
        ),
    ] = None,
    crop: OwnCrop = None,
    detector: ChosenDetector = None,
    least_score: Annotated[
        float, typer.Option("--least-score", min=0, max=1, help="Ignore faces of a lower detector's score.")
    ] = 0.0,
    features: Annotated[
        bool,
        typer.Option(
            "--features", help="Add what the last linear layer sees, for monitor (checkpoints only)."
        ),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.1, help="Stop a camera after so long; else Ctrl-C.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Faces per call of the network.")
    ] = 64,
    device: NetworkDevice = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Predict everything anew, instead of going on.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Find the faces of pictures and videos, and write what a model answers for each.

    A picture without a face, or one that cannot be read, is a row with a reason. No picture is stored unless
    a gallery or annotated video is asked for.
    """
    from fer_bench.cli.terminal import FileProgress
    from fer_bench.errors import UsageError
    from fer_bench.inference.inputs import find_inputs
    from fer_bench.inference.predictor import Done, Predictor
    from fer_bench.inference.showing import Showing
    from fer_bench.inference.table import as_table, check_ending

    if out is not None:
        check_ending(out)
    inputs = find_inputs(paths)
    showing = Showing(gallery=gallery, blur=blur, plot=plot, annotate=annotate)
    showing.check(inputs)
    if explain and gallery is None:
        raise UsageError("maps are shown in a gallery", value="--explain", hint="--gallery FILE as well")
    predictor = Predictor(
        model,
        device=device,
        faces=faces,
        crop=crop,
        detector=detector,
        least_score=least_score,
        abstain_below=abstain_below,
        every=every,
        batch_size=batch_size,
        runs_dir=runs_dir,
        neutral=neutral or (),
        features=features,
    )
    if explain:
        from fer_bench.inference.explain import gallery_maps

        showing = replace(showing, maps=gallery_maps(predictor.model))
    _announce(predictor, inputs, quiet=as_json)
    _announce_neutral(predictor, inputs, show_neutral, quiet=as_json)
    started = time.perf_counter()
    with _stoppable(out, inputs), closing(FileProgress(len(inputs.items), quiet=as_json)) as display:

        def show(done: Done) -> None:
            display(done.items, done.pictures, done.current)

        if out is None:
            rows = [row for _, some in predictor.stream(inputs.items, show, seconds=seconds) for row in some]
            table = as_table(predictor.card, rows)
        else:
            table = predictor.write(inputs.items, out, force=force, on_progress=show, seconds=seconds)
    took = time.perf_counter() - started
    summary = _summary(predictor, table, inputs, took)
    summary["shown"] = list(showing.write(predictor, table, inputs))
    if as_json:
        document = summary if out is not None else {**summary, "predictions": _records(table)}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        if out is None:
            _print_rows(table, inputs.items)
        _print_summary(summary, out)


@contextmanager
def _stoppable(out: Path | None, inputs: Inputs) -> Iterator[None]:
    """Treat a request to end like Ctrl-C, and say what becomes of the work so far.

    Raises:
        typer.Exit: With code 130, after either.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        then = "the same command goes on where it was"
        if inputs.cameras:
            then = f"what the camera saw is kept, and the same command writes it to {out}"
        kept = "" if out is None else f"; {then}"
        say(f"stopped{kept}")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _announce(predictor: Predictor, inputs: Inputs, *, quiet: bool) -> None:
    card = predictor.card
    kinds = {"synthetic": "  SYNTHETIC: it learned from drawn faces", "unknown": "  of unknown data"}
    say(f"model: {card.name}{kinds.get(card.data_kind, '')}", quiet=quiet)
    say(f"faces: {predictor.finder.text}; on {predictor.model.device}", quiet=quiet)
    for note in predictor.finder.notes:
        say(f"warning: {note}", quiet=quiet)
    if inputs.others:
        count = sum(inputs.others.values())
        say(f"left out: {counted(count, 'other file')} ({inputs.other_endings})", quiet=quiet)


def _announce_neutral(
    predictor: Predictor, inputs: Inputs, show_neutral: Path | None, *, quiet: bool
) -> None:
    """Say which neutral faces are taken and whose they are, and draw them if asked."""
    from fer_bench.errors import UsageError

    enrolment = predictor.enrolment
    if enrolment is None:
        if show_neutral is not None:
            raise UsageError(
                "there is no neutral face to show", value="--show-neutral", hint="--neutral FILE"
            )
        if predictor.model.wants_neutral:
            say(
                "warning: this model learned beside real neutral pictures; without --neutral it gets "
                "generated ones",
                quiet=quiet,
            )
        return
    files = [item.name for item in inputs.items]
    enrolment.check(files)
    for one in enrolment.references:
        say(f"neutral face of {one.person or 'everybody'}: {one.text}", quiet=quiet)
    without = sum(enrolment.owner(file) < 0 for file in files)
    if without:
        show = "shows" if without == 1 else "show"
        say(f"  {counted(without, 'file')} {show} nobody enrolled: a generated reference", quiet=quiet)
    if show_neutral is not None:
        from fer_bench.inference.enrolment import draw_references

        draw_references(enrolment.references, show_neutral)
        say(f"  wrote {show_neutral}", quiet=quiet)


def _summary(predictor: Predictor, table: pd.DataFrame, inputs: Inputs, took: float) -> dict[str, Any]:
    """Return what was predicted and how long it took, as plain values."""
    stages, found = predictor.stages, table[table["predicted"].notna()]
    shares = found["predicted"].value_counts(normalize=True)
    reasons = table["reason"][table["predicted"].isna()].value_counts()
    return {
        "model": predictor.card.name,
        "data_kind": predictor.card.data_kind,
        "files": len(inputs.items),
        "not_repeated": predictor.kept,
        "others": dict(sorted(inputs.others.items())),
        "rows": len(table),
        "faces": len(found),
        "abstained": int(found["abstained"].sum()),
        "without_face": int(table["predicted"].isna().sum()),
        "reasons": {str(reason): int(count) for reason, count in reasons.items()},
        "predicted": {name: round(float(shares.get(name, 0.0)), 4) for name in predictor.card.classes},
        "seconds": {
            "whole": round(took, 3),
            **{name: round(getattr(stages, name), 3) for name in ("decode", "detect", "network", "write")},
        },
        "pictures_per_second": round(stages.pictures / took, 2) if took > 0 else None,
    }


def _records(table: pd.DataFrame) -> Any:
    from fer_bench.inference.table import as_json

    return json.loads(as_json(table))


def _print_rows(table: pd.DataFrame, items: list[Item]) -> None:
    """Print the first rows, one a line."""
    from fer_bench.inference.table import PROBABILITY

    classes = [name for name in table.columns if name.startswith(PROBABILITY)]
    for row in table.head(LISTED).to_dict("records"):
        frame = "" if row["frame"] is None or row["frame"] != row["frame"] else f" {row['time']:.2f} s"
        if isinstance(row["predicted"], str):
            face = f" face {row['face'] + 1}" if row["face"] else ""
            share = max(float(row[name]) for name in classes)
            affect = ""
            if "valence" in row:
                affect = f"  valence {row['valence']:+.2f} arousal {row['arousal']:+.2f}"
            mark = "  abstained" if row["abstained"] else ""
            typer.echo(f"{row['file']}{frame}{face}: {row['predicted']} {share:.2f}{affect}{mark}")
        else:
            typer.echo(f"{row['file']}{frame}: {row['reason']}")
    if len(table) > LISTED:
        typer.echo(f"... and {counted(len(table) - LISTED, 'more row')}: --out FILE writes all")


def _print_summary(summary: dict[str, Any], out: Path | None) -> None:
    abstained = f", {summary['abstained']} abstained" if summary["abstained"] else ""
    say(f"{counted(summary['faces'], 'face')} in {counted(summary['files'], 'file')}{abstained}")
    if summary["not_repeated"]:
        be = ("was", "is") if summary["not_repeated"] == 1 else ("were", "are")
        before = f"{be[0]} predicted before and {be[1]} not repeated"
        say(f"{counted(summary['not_repeated'], 'file')} {before}")
    reasons = list(summary["reasons"].items())
    for reason, count in reasons[:5]:
        say(f"  {count} x {reason}")
    if len(reasons) > 5:
        say(f"  and {counted(len(reasons) - 5, 'other reason')}")
    if summary["faces"]:
        shares = sorted(summary["predicted"].items(), key=lambda each: -each[1])
        say("predicted: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares if share))
    seconds = summary["seconds"]
    stages = ", ".join(f"{name} {seconds[name]:.1f} s" for name in ("decode", "detect", "network", "write"))
    rate = summary["pictures_per_second"]
    say(f"time: {seconds['whole']:.1f} s ({stages}; summed over threads), {rate:.1f} pictures/s")
    for line in [*summary["shown"], *([] if out is None else [f"wrote {out}"])]:
        say(line)
