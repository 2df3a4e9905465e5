import dataclasses
import json
import socket

import pytest

from fer_bench.results.store import Store
from fer_bench.runs import environment
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

COMMON = ("--profile", "quick", "--max-epochs", "2", "--targets", "none", "--set", "train.batch_size=16")


@pytest.fixture
def stored(run_cli, tiny_root, tmp_path):
    """Two runs that differ in their seed."""
    keys = []
    for seed in (0, 1):
        code, out, _ = run_cli(
            *("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *COMMON),
            *("--set", "method.width=0.03", "--seed", seed, "--json"),
        )
        assert code == 0
        keys.append(json.loads(out)["key"])
    return keys


def test_rerun_status_logs_and_diff(run_cli, tiny_root, stored, tmp_path):
    one, two = stored
    code, out, _ = run_cli("rerun", one, "--data-root", tiny_root, "--json")
    again = json.loads(out)
    assert (code, again["identical"], again["changed"], again["key"]) == (0, True, [], one)
    assert set(again["differences"]) == {"oulu@val.parquet", "oulu@last.parquet", "val@val.parquet"}

    code, out, _ = run_cli("diff", one, two, "--json")
    fields = {row["field"]: (row["one"], row["other"]) for row in json.loads(out)}
    assert fields["seed"] == (0, 1)
    assert fields["key_fields.seed"] == (0, 1)
    assert not any(name.startswith(("settings", "environment")) for name in fields)
    code, out, err = run_cli("diff", one[:9], two[:9])
    assert "seed: 0 | 1" in out
    assert len(out.splitlines()) <= 2  # the seed and perhaps the UAR
    assert f"to list them: fer-bench diff {one[:9]} {two[:9]} --all" in err
    assert "key_fields.seed: 0 | 1" in run_cli("diff", one[:9], two[:9], "--all")[1]

    assert run_cli("logs", one)[0] == 0
    assert "no run has this key" in run_cli("logs", "nothing")[2]
    assert run_cli("status")[1].strip() == "2 done"

    run = Store(tmp_path / "runs").find(two)
    record = run.read_record().model_copy(update={"status": "running"})
    run.write_record(record)
    assert "its process is gone" in run_cli("status")[1]
    assert run.lock().acquire()
    run.progress_file.write_text(
        json.dumps({"phase": "train", "done": 3, "total": 9, "rate": 250.0, "host": socket.gethostname()})
    )
    assert "train 3/9, 250 images/s" in run_cli("status")[1]
    assert json.loads(run_cli("status", "--json")[1])["counts"] == {"done": 1, "running": 1}


@pytest.mark.long
def test_rerun_repeats_also_targets_that_were_asked_for_later(run_cli, tiny_root, stored):
    more = ("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *COMMON)
    code, out, _ = run_cli(*more, "--set", "method.width=0.03", "--targets", "rafdb", "--json")
    assert (code, json.loads(out)["key"]) == (0, stored[0])
    code, out, _ = run_cli("rerun", stored[0], "--data-root", tiny_root)
    assert code == 0
    assert "rafdb@val.parquet" in out
    assert "absent" not in out


def test_rerun_of_a_run_that_is_not_done_is_refused(run_cli, tiny_root, stored, tmp_path):
    run = Store(tmp_path / "runs").find(stored[0])
    run.write_record(run.read_record().model_copy(update={"status": "interrupted"}))
    code, _, err = run_cli("rerun", stored[0], "--data-root", tiny_root)
    assert code == 2
    assert "the run is interrupted, so it has no predictions to compare with" in err


def test_rerun_tells_a_difference(run_cli, tiny_root, stored, tmp_path, monkeypatch):
    from fer_bench.runs.training import fit as train

    original = train.EpochSeeds.__init__
    monkeypatch.setattr(train.EpochSeeds, "__init__", lambda self, seed: original(self, seed + 7))
    monkeypatch.setattr("fer_bench.data.loading.batches.EpochBatches.order", lambda self, epoch: self.rows)
    code, out, _ = run_cli("rerun", stored[0], "--data-root", tiny_root, "--json")
    assert code == 1
    assert not json.loads(out)["identical"]


@pytest.mark.long
def test_rerun_names_other_arithmetic(run_cli, tiny_root, stored, tmp_path, monkeypatch):
    folder = Store(tmp_path / "runs").find(stored[0])
    record = folder.read_record()
    then = {"torch": "AVX512", "onednn": "all", "mkl": "off", "processor": "AVX-512", "digest": "0" * 12}
    folder.write_record(record.model_copy(update={"environment": {**record.environment, "arithmetic": then}}))
    monkeypatch.setattr("fer_bench.data.loading.batches.EpochBatches.order", lambda self, epoch: self.rows)
    code, out, err = run_cli("rerun", stored[0], "--data-root", tiny_root)
    assert code == 1
    assert "other arithmetic, by up to" in out
    assert "differs" not in out
    assert "torch AVX512 then, " in err
    assert "3.4 points on average" in err
    told = json.loads(run_cli("rerun", stored[0], "--data-root", tiny_root, "--json")[1])
    assert told["arithmetic"].startswith("torch AVX512 then")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    same = json.loads(run_cli("rerun", stored[1], "--data-root", tiny_root, "--json")[1])
    assert (same["identical"], same["arithmetic"]) == (True, None)


@pytest.mark.long
def test_rerun_crops_faces_as_the_run_did(run_cli, tiny_root):
    code, out, _ = run_cli(
        *("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *COMMON, "--max-epochs", 1),
        *("--set", "method.width=0.03", "--crop", "oulu=detect+0.4", "--json"),
    )
    key = json.loads(out)["key"]
    code, out, _ = run_cli("rerun", key, "--data-root", tiny_root, "--json")
    again = json.loads(out)
    assert (code, again["identical"], again["changed"], again["key"]) == (0, True, [], key)


@pytest.fixture
def made_without(run_cli, tiny_root, tmp_path):
    """A run without two rows of its source and one of its target, by files that are gone afterwards."""
    left_out = {"oulu": ("first", "second"), "rafdb": ("first",)}
    workspace, lines = Workspace(find_roots(str(tiny_root))), []
    for name, some in left_out.items():
        samples = tuple(workspace.source(name).dataset.index["sample_id"].iloc[3 : 3 + len(some)])
        left_out[name] = samples
        lines += [f"{name}: {sample}" for sample in samples]
    file = tmp_path / "bad.txt"
    file.write_text("\n".join(lines))
    code, out, err = run_cli(
        *("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *COMMON, "--max-epochs", 1),
        *("--set", "method.width=0.03", "--targets", "rafdb", "--exclude", file, "--json"),
    )
    assert code == 0, err
    file.rename(tmp_path / "kept.txt")
    return json.loads(out)["key"], left_out


@pytest.mark.long
def test_rerun_leaves_out_what_the_run_left_out(run_cli, tiny_root, made_without, tmp_path):
    key, left_out = made_without
    store = Store(tmp_path / "runs")
    record = store.find(key).read_record()
    assert record.excluded == left_out
    code, out, err = run_cli("rerun", key, "--data-root", tiny_root)
    assert code == 0, out
    assert "not as then" not in out
    assert "rafdb@val.parquet" in out
    assert "[    1/1] done" in err  # progress is shown as that of `run`

    store.find(key).write_record(record.model_copy(update={"excluded": {}}))  # as older versions wrote it
    code, out, err = run_cli("rerun", key, "--data-root", tiny_root)
    assert code == 1
    assert "not as then: fingerprint" in out
    assert "--exclude FILE" in err
    again = run_cli("rerun", key, "--data-root", tiny_root, "--exclude", tmp_path / "kept.txt", "--json")
    assert (again[0], json.loads(again[1])["changed"], again[2]) == (0, [], "")


def sweep_plan(run_cli, root, *options):
    """Return the runs' names and what is said of a dry sweep without a file."""
    code, out, err = run_cli(
        *("sweep", "-m", "resemotenet", "-d", "oulu", "--targets", "none", "--data-root", root),
        *("--dry-run", *options),
    )
    assert code == 0, err
    return [line.split("  ", 1)[1] for line in out.splitlines()], err


def test_training_paper_on_a_processor_with_bfloat16_names_the_option(run_cli, tiny_root, monkeypatch):
    monkeypatch.setattr(environment, "has_bf16", lambda: False)
    paper = ("--device", "cpu", "--profile", "paper", "--protocol", "6-4fold")
    assert "precision:" not in sweep_plan(run_cli, tiny_root, *paper)[1]
    monkeypatch.setattr(environment, "has_bf16", lambda: True)
    assert "--precision bf16-mixed may take half" in sweep_plan(run_cli, tiny_root, *paper)[1]
    for chosen in (("--precision", "32"), ("--portable",), ("--profile", "quick")):
        assert "precision:" not in sweep_plan(run_cli, tiny_root, *paper, *chosen)[1]


def test_a_sweep_without_a_file_takes_profile_protocol_and_folds(run_cli, tiny_root):
    names, err = sweep_plan(run_cli, tiny_root)
    assert "profile: quick, the default for synthetic data" in err
    assert len(names) == 1
    names, err = sweep_plan(run_cli, tiny_root, "--protocol", "oulu=7n-4fold", "--fold", 2, "--fold", 3)
    assert [name.partition("(")[2] for name in names] == [
        f"7n-4fold, fold {fold}, seed 0)" for fold in (2, 3)
    ]
    names, err = sweep_plan(
        run_cli, tiny_root, "--profile", "paper", "--protocol", "6-4fold", "--fold", "all"
    )
    assert len(names) == 4
    assert "profile:" not in err
    for wrong, said in (
        (("--fold", "two"), "a fold is a number, or all"),
        (("--protocol", "rafdb=basic"), "unknown source"),
        (("--protocol", "nothing"), "nothing"),
    ):
        command = ("sweep", "-m", "gcn", "-d", "oulu", "--data-root", tiny_root, "--dry-run", *wrong)
        code, _, err = run_cli(*command)
        assert code == 2
        assert said in err


def test_a_sweep_takes_the_profile_that_run_takes_on_real_data(tiny_root):
    workspace = Workspace(find_roots(str(tiny_root)))
    content = {"methods": ["resemotenet"], "datasets": ["oulu"], "targets": "none", "folds": [1]}
    content["protocols"] = {"oulu": "6-4fold"}  # paper has ten folds, of more people than these
    asked = check_sweep({**content, "profile": "quick"})
    (drawn,), _ = plan_sweep(check_sweep(content), workspace)
    workspace._sources["oulu"] = dataclasses.replace(workspace.source("oulu"), kind="real")
    (real,), _ = plan_sweep(check_sweep(content), workspace)
    (quick,), _ = plan_sweep(asked, workspace)
    assert [run.config.profile for run in (drawn, real, quick)] == ["quick", "paper", "quick"]


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_several_machines_are_refused_before_anything_is_stored(run_cli, tiny_root, tmp_path, command):
    code, _, err = run_cli(
        *(command, "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, "--nodes", 2)
    )
    assert code == 2
    assert "several machines need something that starts a process on each" in err
    assert not (tmp_path / "runs").exists()


def test_a_grid_on_the_command_line_and_its_plan(run_cli, tiny_root, tmp_path):
    command = (
        *("sweep", "-m", "resemotenet[lr=1e-3,1e-4]", "-d", "oulu", "--seed", 0, "--seed", 1),
        *("--targets", "none", "--set", "method.width=0.03", "--set", "train.max_epochs=1"),
        *("--data-root", tiny_root),
    )
    code, out, err = run_cli(*command, "--dry-run")
    assert (code, out.count("to do")) == (0, 4)
    assert "estimated from measured rates: " in err
    assert "core-hours for 4 runs, within a factor of 2" in err
    code, _, err = run_cli(*command)
    assert code == 0
    ends = [line.partition("done ")[2] for line in err.splitlines() if "/4]" in line]
    ended = [text.strip().partition("  ")[0] for text in ends]
    assert len(set(ended)) == 4, ended
    assert all(ended.count(name) == 1 and ("lr=0.001" in name) != ("lr=0.0001" in name) for name in ended)
    lines = run_cli("runs", "--set", "lr=1e-3")[1].splitlines()
    assert [("[lr=0.001," in line, "UAR" in line) for line in lines[:-1]] == [(True, True)] * 2
    assert lines[-1] == "2 runs"
    listed = json.loads(run_cli("runs", "-m", "resemotenet", "--status", "done", "--json")[1])["runs"]
    assert {run["varied"]["lr"] for run in listed} == {"0.001", "0.0001"}
    more = (*command[:3], "-d", "oulu", "--seed", 2, *command[9:])
    plan = json.loads(run_cli(*more, "--dry-run", "--json")[1])
    assert plan["estimate"]["runs_without_estimate"] == 0
    assert plan["estimate"]["device_hours"] > 0
    assert run_cli("sweep")[0] == 2


def test_loggers_that_are_asked_for(run_cli, tiny_root, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    code, out, err = run_cli(
        *("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *COMMON),
        *("--set", "method.width=0.03", "--wandb", "offline", "--tensorboard", "--json"),
    )
    assert code == 0, err
    key = json.loads(out)["key"]
    run = Store(tmp_path / "runs").find(key)
    assert list((run.path / "tensorboard").glob("events.*"))
    assert [path for path in (run.path / "wandb").glob("offline-run-*") if path.name.endswith(key)]
