"""Runs on folders of pictures, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

FAST = ("-m", "resemotenet", "--set", "method.width=0.03", "--set", "train.batch_size=8", "--max-epochs", "1")


def paint(root: Path, *codes: str, n: int = 12, alike: bool = False) -> Path:
    """Write pictures of each class: all different, or three nearly equal frames of each recording."""
    for place, code in enumerate(codes):
        (root / code).mkdir(parents=True)
        for number in range(n):
            seed = 1000 * place + (number // 3 if alike else number)
            coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
            picture = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
            picture = cv2.convertScaleAbs(picture, beta=number % 3)
            cv2.imwrite(str(root / code / f"{number:02d}.png"), picture)
    return root


def arguments(root: Path, *more: str) -> tuple[str, ...]:
    place = ("-d", f"folder:{root}", "--profile", "quick", "--targets", "none", "--faces", "whole")
    return ("run", *FAST, *place, *more)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def test_one_class_is_a_data_error_before_training(run_cli, tmp_path):
    root = paint(tmp_path / "pictures", "happy")
    code, _, err = run_cli(*arguments(root))
    assert code == 2
    assert "has one class to train, and a classifier needs two" in err
    assert not list((tmp_path / "runs").glob("*/*/*/record.json"))
    code, out, _ = run_cli("data", "verify", "-d", f"folder:{root}")
    assert code == 2
    assert "a classifier needs two" in out


def test_a_target_in_the_sources_own_tree_is_refused(run_cli, tmp_path):
    for usage in ("Training", "PublicTest", "PrivateTest"):
        part = tmp_path / "fer2013" / ("train" if usage == "Training" else "test")
        for number, code in enumerate(("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")):
            (part / code).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(
                str(part / code / f"{usage}_{number}.jpg"), np.full((48, 48, 3), 30 * number, np.uint8)
            )
    root = ("--data-root", str(tmp_path / "fer2013"))
    code, _, err = run_cli("run", *FAST, "-d", "fer2013", *root, "--targets", "folder")
    assert code == 2
    assert "folder is in the same folder tree as fer2013" in err


def test_classes_are_named_kept_in_the_record_and_repeated(run_cli, tmp_path):
    root = paint(tmp_path / "pictures", "froh", "traurig", "unbekannt")
    file = tmp_path / "map.yaml"
    file.write_text("froh: happiness\ntraurig: sadness\n")
    code, _, err = run_cli(*arguments(root))
    assert code == 2
    assert "--classes map.yaml" in err
    code, out, err = run_cli(*arguments(root, "--classes", str(file), "--drop", "unbekannt", "--json"))
    assert code == 0, err
    record = json.loads(out)
    assert record["class_map"] == {"froh": "happiness", "traurig": "sadness", "unbekannt": "drop"}
    assert record["classes"] == ["happiness", "sadness"]
    assert "folder: The folder unbekannt is dropped as asked: 12 pictures." in record["warnings"]
    code, out, err = run_cli("rerun", record["key"], "--data-root", str(root))
    assert code == 0, out + err
    assert "identical" in out


def test_a_sweep_file_names_classes_as_the_command_line_does(run_cli, tmp_path):
    root = paint(tmp_path / "pictures" / "folder", "froh", "traurig", "unbekannt", "x")
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "methods: [resemotenet]\ndatasets: [folder]\ntargets: none\nprofile: quick\n"
        "set: [method.width=0.03, train.max_epochs=1, train.batch_size=16]\n"
        "classes: map.yaml\ndrop: [unbekannt, x]\n"
    )
    (tmp_path / "map.yaml").write_text("froh: happiness\ntraurig: sadness\n")
    code, out, err = run_cli("sweep", file, "--data-root", root.parent, "--json")
    assert code == 0, err
    (record,) = json.loads(out)["runs"]
    names = {"froh": "happiness", "traurig": "sadness", "unbekannt": "drop", "x": "drop"}
    assert record["class_map"] == names
    more = ("--data-root", root.parent, "--drop", "unbekannt", "--json")
    code, _, err = run_cli("sweep", file, *more)
    assert code == 2  # options replace the file's
    assert "class folders whose names match no emotion" in err


def test_a_run_repeats_the_leaks_that_a_check_found(run_cli, tmp_path):
    root = paint(tmp_path / "pictures", "happy", "sad", n=36, alike=True)
    code, out, _ = run_cli("data", "verify", "-d", f"folder:{root}")
    assert code == 2
    assert "are nearly the same on both sides of the split" in out
    code, out, err = run_cli(*arguments(root))
    assert code == 0, err
    assert "note: folder: fer-bench data verify found:" in out
    assert "are nearly the same on both sides of the split" in out


def test_class_names_without_a_folder_of_pictures_are_refused(run_cli):
    for command in (("run", *FAST, "-d", "oulu"), ("data", "verify", "-d", "oulu")):
        code, _, err = run_cli(*command, "--drop", "unknown")
        assert code == 2
        assert "--classes and --drop name the classes of folder" in err


def test_a_folder_is_a_target_as_it_is_a_source(run_cli, tmp_path):
    source = paint(tmp_path / "data" / "folder", "happy", "sad")
    other = paint(tmp_path / "other", "happy", "sad", n=5)
    places = ("--data-root", str(tmp_path / "fer2013"), "--profile", "quick", "--json")
    for usage in ("Training", "PublicTest", "PrivateTest"):
        part = tmp_path / "fer2013" / ("train" if usage == "Training" else "test")
        for code in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"):
            (part / code).mkdir(parents=True, exist_ok=True)
            for number in range(3):
                name = f"{usage}_{len(list(part.rglob('*.jpg')))}{number}.jpg"
                picture = np.random.default_rng(number).integers(0, 256, (48, 48, 3)).astype(np.uint8)
                cv2.imwrite(str(part / code / name), picture)
    code, out, err = run_cli("run", *FAST, "-d", "fer2013", *places, "--targets", f"folder:{other}")
    assert code == 0, err
    first = json.loads(out)
    assert {score["target"]: score["n"] for score in first["scores"]}["folder"] == 10  # all of it is new
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(f"methods: [resemotenet]\ndatasets: [fer2013]\ntargets: ['folder:{other}']\n")
    code, out, err = run_cli("sweep", str(sweep), *FAST[2:], *places)
    assert code == 0, err
    (again,) = json.loads(out)["runs"]
    assert (again["key"], again["scores"]) == (first["key"], first["scores"])
    code, _, err = run_cli(*arguments(source)[:-4], "--targets", f"folder:{other}")
    assert code == 2
    assert f"folder is {source} already" in err


def test_pictures_that_decode_only_in_part_are_counted_in_the_record(run_cli, tmp_path):
    from tests.data.reading.test_decoder_messages import JPEG, half

    root = paint(tmp_path / "pictures", "happy", "sad")
    for number, file in enumerate(sorted(root.rglob("*.png"))):
        file.write_bytes(half(JPEG) if number == 3 else JPEG)
    code, out, err = run_cli(*arguments(root, "--json"))
    assert code == 0, err
    warnings = json.loads(out)["warnings"]
    assert any("folder: 1 of 24 pictures decode only in part" in text for text in warnings), warnings
    assert "Premature end" not in err
