import json
import socket

import pytest

from fer_bench.runs.store import Store

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
    assert "seed: 0 | 1" in run_cli("diff", one[:9], two[:9])[1]

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
    assert "the run is interrupted, so there are no predictions to compare with" in err


def test_rerun_tells_a_difference(run_cli, tiny_root, stored, tmp_path, monkeypatch):
    from fer_bench.runs import train

    original = train.EpochSeeds.__init__
    monkeypatch.setattr(train.EpochSeeds, "__init__", lambda self, seed: original(self, seed + 7))
    monkeypatch.setattr("fer_bench.data.datamodule.EpochBatches._order", lambda self: self.rows)
    code, out, _ = run_cli("rerun", stored[0], "--data-root", tiny_root, "--json")
    assert code == 1
    assert not json.loads(out)["identical"]


def test_rerun_crops_faces_as_the_run_did(run_cli, tiny_root):
    code, out, _ = run_cli(
        *("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *COMMON, "--max-epochs", 1),
        *("--set", "method.width=0.03", "--crop", "oulu=detect+0.4", "--json"),
    )
    key = json.loads(out)["key"]
    code, out, _ = run_cli("rerun", key, "--data-root", tiny_root, "--json")
    again = json.loads(out)
    assert (code, again["identical"], again["changed"], again["key"]) == (0, True, [], key)


def test_a_grid_on_the_command_line_and_its_plan(run_cli, tiny_root, tmp_path):
    command = (
        *("sweep", "-m", "resemotenet[lr=1e-3,1e-4]", "-d", "oulu", "--seed", 0, "--seed", 1),
        *("--targets", "none", "--set", "method.width=0.03", "--set", "train.max_epochs=1"),
        *("--data-root", tiny_root),
    )
    code, out, err = run_cli(*command, "--dry-run")
    assert (code, out.count("to do")) == (0, 4)
    assert "4 of them have no earlier run" in err
    assert run_cli(*command)[0] == 0
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
