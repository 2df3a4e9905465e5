"""A run and everything that draws work whatever matplotlib backend the surroundings name."""

import os
import subprocess
import sys

import pytest

from fer_bench.figures import figure_style, new_figure, save_figure

INLINE = "module://matplotlib_inline.backend_inline"
"""What a notebook sets for every command that it starts."""
WITHOUT_INLINE = """
import importlib.metadata, sys
real = importlib.metadata.entry_points
def entry_points(**named):
    found = real(**named)
    if named.get("group") != "matplotlib.backend":
        return found
    return importlib.metadata.EntryPoints(e for e in found if "matplotlib_inline" not in e.value)
importlib.metadata.entry_points = entry_points
sys.modules["matplotlib_inline"] = None
"""
"""Hides the notebook's package, as in an environment into which only this package was installed."""
BACKENDS = [INLINE, "no such backend", "module://nowhere.at.all", "TkAgg"]


def run_python(code, backend, folder):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_INLINE + code],
        env={**os.environ, "MPLBACKEND": backend},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_command(arguments, backend, folder):
    code = (
        f"sys.argv = ['fer-bench', *{list(map(str, arguments))!r}]\nimport fer_bench.cli.main as m\nm.main()"
    )
    return run_python(code, backend, folder)


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_a_notebooks_backend_breaks_neither_run_nor_leaderboard(backend, tiny_root, tmp_path):
    small = ("--profile", "quick", "--max-epochs", 1, "--set", "method.width=0.03", "--targets", "none")
    out = run_command(
        ("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *small), backend, tmp_path
    )
    assert "done" in out
    assert "wrote" in run_command(("leaderboard",), backend, tmp_path)
    assert list((tmp_path / "leaderboard").rglob("*.png"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("command", [("stats", "--plots"), ("sheet", "--out")])
def test_a_notebooks_backend_does_not_break_figures_of_data(backend, command, tiny_root, tmp_path):
    run_command(
        ("data", command[0], "-d", "rafdb", "--data-root", tiny_root, command[1], "x"), backend, tmp_path
    )
    assert list((tmp_path / "x").rglob("*.*g"))


@pytest.mark.long
@pytest.mark.parametrize("module", ["fer_bench.methods", "fer_bench.data.loading.datamodule"])
def test_a_broken_backend_does_not_keep_python_users_from_lightning(module, tmp_path):
    run_python(f"import {module}, lightning, torchmetrics", "no such backend", tmp_path)


def test_a_backend_that_works_is_left_alone(tmp_path):
    code = "import os, fer_bench.methods, matplotlib.pyplot as plt\nprint(plt.get_backend())"
    assert run_python(code, "svg", tmp_path).strip() == "svg"


def test_a_figure_uses_neither_pyplot_nor_the_users_style(tmp_path):
    code = """
import sys
from pathlib import Path
import matplotlib
matplotlib.rcParams["savefig.facecolor"] = "red"
from fer_bench.figures import figure_style, new_figure, save_figure
with figure_style():
    figure = new_figure(1, 1)
    figure.subplots()
    save_figure(figure, Path("a.png"))
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams["savefig.facecolor"] == "red"
"""
    run_python(code, "svg", tmp_path)
    with figure_style():
        figure = new_figure(1, 1)
        figure.subplots()
        save_figure(figure, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
