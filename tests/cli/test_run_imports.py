"""What a run imports: large packages only where they are used."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
sys.argv = ["fer-bench", *sys.argv[1:]]
from fer_bench.cli.main import main
try:
    main()
except SystemExit as end:
    code = end.code
names = ("torch", "lightning", "wandb", "albumentations", "ray", "submitit", "onnxruntime", "tensorboard")
names += ("scipy",)
print("\\n" + json.dumps([code or 0, sorted(set(names) & set(sys.modules))]))
"""


def imported(*arguments, cwd):
    """Run the command line in a new process; return its exit code and which large packages it imported."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    return tuple(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.long
def test_a_whole_run_needs_torch_and_lightning_alone_and_a_finished_one_neither(tiny_root, tmp_path):
    what = ("-m", "resemotenet", "-d", "oulu", "--targets", "none", "--data-root", tiny_root)
    small = ("--profile", "quick", "--max-epochs", 1, "--set", "method.width=0.03", "--device", "cpu")
    assert imported("run", *what, *small, cwd=tmp_path) == (0, ["lightning", "scipy", "torch"])
    assert imported("run", *what, *small, cwd=tmp_path) == (0, [])
    for command in ("status", "runs", "leaderboard"):
        code, found = imported(command, cwd=tmp_path)
        assert (code, {*found} - {"scipy"}) == (0, set()), command


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("list", "sweeps"), ("docs",), ("data", "describe", "oulu")],
    ids=" ".join,
)
def test_what_trains_nothing_answers_without_torch(arguments, tmp_path):
    code, found = imported(*arguments, cwd=tmp_path)
    assert code == 0
    assert {"torch", "lightning", "wandb", "albumentations"}.isdisjoint(found)
