"""`fer-bench doctor`: what this machine offers, tried rather than looked up, in under two seconds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from fer_bench.cli.options import AsJson, DataRoot, RunsDir
from fer_bench.errors import DataError, FerBenchError, StoreError, one_line

EPILOG = "Examples: fer-bench doctor; FER_BENCH_DATA=~/datasets fer-bench doctor"
COLOUR = (200, 100, 50)
"""Colour of the picture that tries the decoders, far from grey, so that exchanged channels show."""


def doctor(data_root: DataRoot = None, runs_dir: RunsDir = Path("runs"), as_json: AsJson = False) -> None:
    """Show versions and devices, and try the cache, the run store, decoders, detector and data roots.

    Exit code 2 when something does not work; everything else is shown nevertheless. A dataset that is absent
    is no fault.
    """
    from fer_bench.files import usable_cores
    from fer_bench.runs import environment

    faults: dict[str, str] = {}

    def tried(name: str, check: Callable[[], str]) -> str:
        try:
            return check()
        except FerBenchError as error:
            faults[name] = str(error)
            return f"cannot be used: {'' if error.file is None else f'{error.file}: '}{error.message}"
        except Exception as error:  # a library that is broken in its own way, as OpenCV without libGL
            faults[name] = f"{type(error).__name__}: {one_line(error)}"
            return f"cannot be used: {faults[name]}"

    data: dict[str, Any] = {"data_kind": "none", "found": [], "missing": {}, "without_stand_in": []}
    facts: dict[str, Any] = {
        **environment.describe_without_torch(),
        "cuda": environment.cuda_of_torch() or "none",
        "gpu": tried("gpu", _gpus),
        "cores": usable_cores(),
        "cache": tried("cache", _cache),
        "runs": tried("runs", lambda: _writable(runs_dir, "--runs-dir DIR names another folder")),
        "decoder": tried("decoder", _decode),
        "face_detector": tried("face_detector", _detect),
        "data": tried("data", lambda: _find_data(data_root, data)),
        **data,
        "faults": faults,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(facts)
    if faults:
        raise typer.Exit(2)


def _print(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        if isinstance(value, dict):
            for about, text in value.items():
                typer.echo(f"{name:24} {about}: {text}")
        elif value != []:
            typer.echo(f"{name:24} {', '.join(value) if isinstance(value, list) else value}")


def _gpus() -> str:
    from fer_bench.runs.environment import cuda_of_torch, gpu_names

    names = gpu_names()
    if names and cuda_of_torch() is None:
        raise DataError(
            f"the installed torch is built without CUDA, so that runs do not see {', '.join(names)}",
            hint="install torch with CUDA: https://pytorch.org/get-started/locally",
        )
    return ", ".join(f"{name} x {names.count(name)}" for name in dict.fromkeys(names)) or "none"


def _cache() -> str:
    from fer_bench.files import cache_root

    return _writable(cache_root(), "FER_BENCH_CACHE=DIR names another folder")


def _writable(folder: Path, hint: str) -> str:
    """Write a temporary file where a folder is or would be made, and return the folder.

    Raises:
        StoreError: That is impossible.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror or error}", file=folder, hint=hint) from None
    return str(folder)


def _decode() -> str:
    """Encode and decode a tiny picture.

    Raises:
        DataError: Its colours come out wrong.
    """
    import cv2
    import numpy as np

    from fer_bench.data.reading.pictures import read_picture

    kinds = {"JPEG": ".jpg", "PNG": ".png"}
    with tempfile.TemporaryDirectory() as folder:
        for kind, suffix in kinds.items():
            file = Path(folder) / f"tiny{suffix}"
            picture = np.full((16, 16, 3), COLOUR, np.uint8)
            file.write_bytes(cv2.imencode(suffix, picture[:, :, ::-1])[1].tobytes())
            if np.abs(read_picture(file).astype(int) - picture).max() > 10:
                raise DataError(f"OpenCV decodes a {kind} to other colours than it encoded")
    return f"reads {' and '.join(kinds)}"


def _detect() -> str:
    """Search a face in a blank picture with each detector that is there; return which those are."""
    import numpy as np

    from fer_bench.data.crops.detectors import find_faces
    from fer_bench.data.crops.yunet import yunet_file

    blank = np.zeros((96, 96, 3), np.uint8)
    find_faces(blank, "mtcnn")
    if (file := yunet_file()) is None:
        return "MTCNN; the faster YuNet: fer-bench data fetch-detector, then --detector yunet"
    find_faces(blank, "yunet")
    return f"MTCNN; with --detector yunet: YuNet, {file}"


def _find_data(data_root: str | None, data: dict[str, Any]) -> str:
    """Find the datasets and put them into `data`; return what named the data roots."""
    from fer_bench.workspace.sources import available, find_roots, recognised

    roots = find_roots(data_root)
    found, missing = recognised(roots)
    data["found"] = found
    if roots.is_synthetic:
        data |= {"data_kind": "synthetic", "without_stand_in": list(missing)}
    else:
        real, _ = available(found, roots, kind="real")
        kinds = ["real"] * bool(real) + ["synthetic"] * (len(real) < len(found))
        data |= {"data_kind": " and ".join(kinds) or "none", "missing": missing}
    return roots.origin
