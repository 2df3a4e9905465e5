"""The distribution without torch: what it requires, and what its commands say."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench import distribution
from tests.inference.test_export import exported

ROOT = Path(__file__).parents[1]
LIGHT = tomllib.loads((ROOT / "packaging" / "onnx" / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "timm",
    "albumentations",
    "sklearn",
    "matplotlib",
)
BLOCKED = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


def named(requirement):
    return re.split(r"[<>=!\[ ]", requirement)[0]


def test_it_requires_the_same_versions_as_the_project():
    known = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["onnx"]}
    assert set(LIGHT["project"]["dependencies"]) <= known
    assert not {named(each) for each in LIGHT["project"]["dependencies"]} & set(HEAVY)
    for field in ("requires-python", "license", "scripts"):
        assert LIGHT["project"][field] == PROJECT[field]
    assert LIGHT["project"]["name"] == distribution.LIGHT


def test_what_it_packs_is_there():
    packed = LIGHT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert packed["../../fer_bench"] == "fer_bench"
    assert all((ROOT / "packaging" / "onnx" / source).exists() for source in packed)


@pytest.fixture
def light(monkeypatch):
    """Pretend that only the distribution without torch is installed."""

    def version(name):
        if name == distribution.NAME:
            raise metadata.PackageNotFoundError(name)
        return "1.2.3" if name == distribution.LIGHT else known(name)

    known = metadata.version
    monkeypatch.setattr(metadata, "version", version)
    distribution.version.cache_clear()
    yield
    distribution.version.cache_clear()


def test_its_version_is_found(light):
    assert distribution.version() == "1.2.3"
    assert distribution.is_light()


def test_the_whole_distribution_is_not_light():
    assert not distribution.is_light()


@pytest.mark.long
def test_a_command_that_needs_torch_says_so(light, run_cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run_cli("list", "methods")
    assert code == 0
    code, _, err = run_cli("run", "--method", "erm", "--dataset", "oulu", "--device", "auto")
    assert code == 2
    assert "leaves out" in err
    assert "pip install fer-bench instead of fer-bench-onnx" in err


def test_exports_are_opened_without_the_packages_that_it_leaves_out():
    code = BLOCKED.format(heavy=HEAVY) + (
        "import fer_bench.cli.main, fer_bench.cli.card, fer_bench.inference.onnx_model\n"
        "import fer_bench.inference.model_card_page\n"
        "from fer_bench.data.crops import recipe, detectors\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_an_export_is_evaluated_and_watched_without_the_packages_that_it_leaves_out(tmp_path):
    exported(tmp_path, "erm")
    draw = np.random.default_rng(0).integers
    for name in ("anger", "happiness"):
        for number in range(6):
            folder = tmp_path / "pictures" / name
            folder.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / f"{number}.png"), draw(0, 256, (40, 40, 3), np.uint8))
    model, pictures, store = (str(tmp_path / name) for name in ("erm.onnx", "pictures", "store"))
    old, new = (str(tmp_path / name) for name in ("old.csv", "new.csv"))
    whole, calibrated = ("--faces", "whole"), str(tmp_path / "calibrated.onnx")
    calibrating = ("--calibrate", "--max-error", "0.5", "--write-to", calibrated)
    commands = (
        ["evaluate", model, "-d", f"folder:{pictures}", *whole, "--runs-dir", store, *calibrating],
        ["predict", calibrated, pictures, *whole, "--out", old],
        ["predict", model, pictures, *whole, "--out", new],
        ["monitor", old, new, "--json"],
    )
    blocked = BLOCKED.format(heavy=HEAVY)
    for command in commands:
        code = f"{blocked}from fer_bench.cli.main import main\nsys.argv[1:] = {command!r}\nmain()\n"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 or command[0] == "monitor", (command, done.stdout, done.stderr)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert found["faces"] == {"old": 12, "new": 12}
    assert found["drift"] is bool(done.returncode)
