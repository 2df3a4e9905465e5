"""The table of the README is that of the stored board, and its picture shows one face per emotion."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fer_bench.api import open_dataset

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("readme_table")


def _as_committed(path):
    return subprocess.run(["git", "diff", "--quiet", "HEAD", "--", path], cwd=ROOT).returncode == 0


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """The stored board; `make bench` writes another one over it, which the README does not show."""
    if not _as_committed("README.md") or _as_committed("leaderboard"):
        return ROOT / "leaderboard"
    folder = tmp_path_factory.mktemp("committed")
    stored = subprocess.run(
        ["git", "archive", "HEAD", "leaderboard"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=stored.stdout, check=True)
    return folder / "leaderboard"


def test_the_readme_shows_the_stored_board(script, board):
    table = script.board_table(board)
    assert f"<!-- board -->\n\n{table}\n\n<!-- /board -->" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    ), "write it anew with: python benchmarks/readme_table.py"


def test_a_method_has_a_line_with_its_page_best_transfer_first_and_those_apart_last(script, board):
    lines = script.board_table(board).splitlines()[2:-2]
    apart = [line for line in lines if "*not compared*" in line]
    compared = lines[: len(lines) - len(apart)]
    assert lines == compared + apart
    for part in (compared, apart):
        transfers = [float(line.split("|")[3].split()[0]) for line in part]
        assert transfers == sorted(transfers, reverse=True)
    assert all(line.split("|")[3].split()[1].isalpha() for line in compared)  # their letters
    assert any("[gcn](fer_bench/methods/gcn/README.md)" in line for line in lines)


def test_synthetic_scores_say_so_and_kinds_are_not_mixed(script, board, tmp_path):
    assert "*SYNTHETIC DATA: " in script.board_table(board)
    mixed = shutil.copytree(board, tmp_path / "board")
    lines = (mixed / "results.csv").read_text().splitlines()
    (mixed / "results.csv").write_text("\n".join([*lines, lines[1].replace("synthetic", "real", 1)]))
    with pytest.raises(SystemExit, match="mixes real and synthetic"):
        script.board_table(mixed)


def test_the_strip_has_seven_different_faces(script, tiny_root):
    strip = script.faces_strip(open_dataset("rafdb", tiny_root))
    assert strip.shape == (script.SIZE, 7 * script.SIZE + 6 * script.GAP, 3)
    faces = [strip[:, i : i + script.SIZE] for i in range(0, strip.shape[1], script.SIZE + script.GAP)]
    assert len({face.tobytes() for face in faces}) == 7
    assert np.std(faces[0]) > 10
