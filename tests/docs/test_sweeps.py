"""docs/sweeps.md: its commands are run, and what it names exists."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from fer_bench.results.store import Store
from fer_bench.runs.completeness import STATES
from fer_bench.runs.launchers.ray import RaySettings
from fer_bench.runs.launchers.slurm import SlurmSettings
from fer_bench.runs.sweepfile import SWEEPS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [content for name, content in found if name == language]


@pytest.fixture
def swept(run_cli, tiny_root, tmp_path, monkeypatch):
    """Run the commands of the page in their order, on tiny faces and with a small network."""
    monkeypatch.setenv("FER_BENCH_DATA", str(tiny_root))
    (example,) = blocks("yaml")
    content = yaml.safe_load(example)
    content["set"].append("method.width=0.03")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    said = []
    (commands,) = blocks("")
    for line in commands.strip().splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "fer-bench"
        said.append((words, *run_cli(*words)))
    return said


@pytest.mark.long
def test_the_commands_do_what_the_page_says(swept, run_cli, tmp_path):
    assert [code for _, code, _, _ in swept] == [0] * len(swept)
    dry, first, more, without_a_file, status = swept
    assert dry[2].count("to do") == 4
    seeds = [int(seed) for seed in re.findall(r"seed (\d)", dry[2])]
    assert seeds == sorted(seeds)
    assert "4 of 4 runs are done" in first[2]
    assert "6 of 6 runs are done" in more[2]
    assert "4 of 6 run(s) are finished already" in more[3]
    assert re.findall(r"resemotenet\[(.*?)\] on oulu", without_a_file[2]) == ["lr=0.001", "lr=0.0001"]
    assert status[2].strip() == "6 done"

    one, two = [run.path.name for run in Store(tmp_path / "runs").run_dirs()][:2]
    assert run_cli("logs", one)[0] == 0
    assert run_cli("diff", one, two)[0] == 0
    assert run_cli("rerun", one)[0] == 0
    assert "\nquick " in run_cli("list", "sweeps")[1]
    assert "to do" in run_cli("sweep", "quick", "-d", "oulu", "--dry-run")[1]
    code, listed, _ = run_cli("runs", "-m", "resemotenet", "--status", "done", "--set", "lr=1e-3")
    assert (code, listed.count("UAR")) == (0, 3)
    assert "would remove 0 runs" in run_cli("prune")[1]
    assert {command for command in INLINE if command.startswith("fer-bench")} == {
        "fer-bench list sweeps",
        "fer-bench sweep quick",
        "fer-bench status",
        "fer-bench logs KEY",
        "fer-bench diff KEY KEY",
        "fer-bench prune",
        "fer-bench rerun KEY",
        "fer-bench runs",
    }


def test_every_option_exists(run_cli):
    names, said = ("sweep", "rerun", "runs", "diff", "prune"), set()
    known = "".join(run_cli(name, "--help")[1] for name in names)
    for text in INLINE:
        said |= set(re.findall(r"--[a-z0-9-]+", text))
    assert said >= {"--launcher", "--timeout", "--devices", "--tolerance"}
    assert {option for option in said if option not in known} == set()


def test_every_setting_of_a_launcher_is_named():
    for name, settings in (("ray", RaySettings), ("slurm", SlurmSettings)):
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `--launcher {name}`")]
        named = {
            word for text in re.findall(r"`([^`]+)`", row) for word in re.findall(r"\w+(?==)|^\w+$", text)
        }
        assert named >= set(settings.model_fields)


def test_every_state_of_a_plan_is_named():
    assert set(STATES) <= set(INLINE)


@pytest.mark.parametrize("name", ["quick", "small", "paper", "cross-dataset", "ablations"])
def test_the_examples_can_be_planned(run_cli, tiny_root, name):
    """On the three datasets that are there, and for profile and folds that these have."""
    changed = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())
    changed |= {"datasets": ["oulu", "rafdb"], "profile": "quick", "folds": "default", "targets": "none"}
    Path("example.yaml").write_text(yaml.safe_dump(changed))
    code, out, _ = run_cli("sweep", "example.yaml", "--data-root", tiny_root, "--dry-run", "--json")
    assert code == 0
    assert {run["state"] for run in json.loads(out)["runs"]} == {"to do"}
