"""`fer-bench explain`: what a trained model sees in single faces, and whether that can be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from fer_bench.data.crops.points import Points
    from fer_bench.inference.faces import CroppedFace, FaceFinder

EPILOG = (
    "Examples: fer-bench explain runs/gcn/oulu/KEY face.jpg; fer-bench explain val.pt photos/ --out maps; "
    "fer-bench explain 3f2a face.jpg --map hirescam --class anger --json; "
    "How to read it: fer-bench docs explain"
)


def explain(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint (.pt), a run's folder, or a run key.")],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders, or patterns such as 'a/*.jpg'."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder for a PNG per face, index.html and a JSON file."),
    ] = Path("explained"),
    kind: Annotated[
        Literal["grad-cam", "hirescam"],
        typer.Option("--map", help="Which map of the network's last features."),
    ] = "grad-cam",
    wanted: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Explain this class, not the predicted one.")
    ] = None,
    faces: FacesOfPicture = "largest",
    crop: OwnCrop = None,
    detector: ChosenDetector = None,
    device: NetworkDevice = "auto",
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show where a model's features speak for its answer, and measure whether the map shows what it uses.

    Beside the map: deletion and insertion scores next to those of random maps, and the map's share on the
    facial regions of the expression's action units. Of gcn also the generated reference face, of cafe the
    mask by class. Needs the extra `explain`.
    """
    import numpy as np

    from fer_bench.data.reading.pictures import read_picture
    from fer_bench.errors import DataError, FerBenchError, counted
    from fer_bench.files import write_json
    from fer_bench.inference import explain as explaining
    from fer_bench.inference.explain_page import draw, verdict, write_page
    from fer_bench.inference.faces import finder_for, read_recipe
    from fer_bench.inference.inputs import find_inputs, unique_stems
    from fer_bench.inference.opening import checkpoint_of, open_face_model

    items = [item for item in find_inputs(images).items if item.kind == "picture"]
    if not items:
        raise DataError("none of these files is a picture; videos are not explained", file=images[0])
    recipe = None if crop is None else read_recipe(crop)
    model = open_face_model(checkpoint, device, recipe=recipe, runs_dir=runs_dir)
    checkpoint_of(model)
    card = model.card
    finder = finder_for(card.recipe, card.framing, wanted=faces, crop=crop, detector=detector)
    stems, crops, names, points, files, left_out = unique_stems(items), [], [], [], [], {}
    for item in items:
        try:
            found, reason = finder.find(read_picture(item.path))
        except FerBenchError as error:
            found, reason = [], error.message
        if not found:
            left_out[item.name] = reason or "no face"
        for number, face in enumerate(found):
            several = f" face {number + 1}" if len(found) > 1 else ""
            crops.append(face.crop)
            names.append(f"{item.name}{several}")
            points.append(_points(face, finder))
            files.append(f"{stems[item.name]}{several.replace(' face ', '-')}.png")
    for name, reason in left_out.items():
        say(f"{name}: {reason}", quiet=as_json)
    if not crops:
        raise DataError("no face could be explained", file=images[0], value=next(iter(left_out.values())))
    result = explaining.explain(model, np.stack(crops), names, points, kind=kind, wanted=wanted)
    drawn = "  SYNTHETIC: it learned from drawn faces" if card.data_kind == "synthetic" else ""
    facts = [f"{card.name}{drawn}", f"map: {kind}; faces: {finder.text}"]
    for one, file in zip(result, files, strict=True):
        draw(one, out / file, title="; ".join(facts))
    write_page(out / "index.html", result, facts)
    document = {
        "model": card.name,
        "data_kind": card.data_kind,
        "map": kind,
        "faces": [{**one.document(), "file": file} for one, file in zip(result, files, strict=True)],
        "left_out": left_out,
    }
    write_json(out / "explanations.json", document)
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    say(facts[0])
    for one in result:
        typer.echo(f"{one.name}: {one.predicted} {one.shares[one.predicted]:.2f}; {verdict(one)}")
    typer.echo(f"wrote {counted(len(result), 'picture')} and {out / 'index.html'}")


def _points(face: CroppedFace, finder: FaceFinder) -> Points | None:
    """Return where the face's points are in its crop."""
    from fer_bench.data.crops.points import find_points

    points = None if face.face is None else finder.points_in_crop(face.face)
    return find_points(face.crop) if points is None else points
