"""docs/own-pictures.md: its commands are run in their order, on drawn faces of a few people."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.inference.conftest import trained, trained_store
from tests.inference.pictures import lay_out
from tests.runs.conftest import plan, workspace

__all__ = ["plan", "trained", "trained_store", "workspace"]
TEXT = (Path(__file__).parents[2] / "docs" / "own-pictures.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("fer-bench")
]
FAST = {"run": ("--max-epochs", "1", "--device", "cpu", "--jobs", "1")}
CROPS = {"run", "evaluate", "predict"}


@pytest.mark.slow
def test_every_command_of_the_page_runs(run_cli, trained_store, trained, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained_store.root, tmp_path / "runs")
    lay_out(tmp_path / "pictures", tiny_root, "oulu")
    said = []
    for line in COMMANDS:
        _, command, *words = shlex.split(line)
        words = [trained.name[:8] if word == "KEY" else word for word in words]
        more = (*FAST.get(command, ()), *(("--faces", "whole") if command in CROPS else ()))
        code, out, err = run_cli(command, *words, *more)
        assert code == 0, f"{line}\n{out}{err}"
        said.append(out)
    text = "\n".join(said)
    for words in (
        "oulu, same classes",
        "taken: temperature",
        "all folds together",
        "features",
        "no drift is shown",
    ):
        assert words in text
    for name in ("sheets", "calibrated.pt", "curve.png", "january.csv", "march.parquet"):
        assert (tmp_path / name).exists(), name


def test_the_page_names_each_option_of_its_commands():
    from typer.testing import CliRunner

    from fer_bench.cli.main import app

    for line in COMMANDS:
        _, command, *words = shlex.split(line)
        arguments = [command, *words[:1]] if command == "data" else [command]
        known = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"}).output
        assert {word for word in words if word.startswith("-")} <= set(re.findall(r"-[-\w]+", known)), line
