"""Loggers as a run uses them: the real Weights & Biases, offline, and what fails in it."""

import json
import struct
import sys
import time
from inspect import signature
from types import ModuleType

import pytest
import wandb
from wandb.proto import wandb_internal_pb2
from wandb.sdk.wandb_run import Run
from wandb.sdk.wandb_summary import Summary

from fer_bench.config import RunOptions
from fer_bench.results.record import LOGGER_FAILED
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.processes import Interrupted
from fer_bench.runs.training.loggers import FINISH_TIMEOUT, Loggers

OFFLINE = RunOptions(wandb="offline", group="friday")
SMALL = ("--profile", "quick", "--max-epochs", 1, "--set", "method.width=0.03", "--targets", "none")


@pytest.fixture(autouse=True)
def _own_wandb(monkeypatch, tmp_path):
    """Keep the account and settings of whoever runs the tests out of them."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def sessions(run):
    """Return what each attempt stored for Weights & Biases, as lists of its records in order."""
    files = sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb"))
    return [list(records_of(file.read_bytes())) for file in files]


def records_of(content):
    """Yield the records of a file of Weights & Biases: 7 bytes, then a LevelDB log in blocks of 32 KiB."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def merged(records, kind):
    """Return the values of all history or summary records, by name."""
    parts = [getattr(record, kind) for record in records if record.WhichOneof("record_type") == kind]
    items = [item for part in parts for item in (part.item if kind == "history" else part.update)]
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def exit_codes(run):
    ends = (r for records in sessions(run) for r in records if r.WhichOneof("record_type") == "exit")
    return [record.exit.exit_code != 0 for record in ends]


def test_offline_stores_settings_epochs_and_scores(plan, plain, workspace, tmp_path):
    planned, store = plan(method=plain, overrides=()), Store(tmp_path)
    record = execute(planned, store, workspace, options=OFFLINE)
    assert (record.status, record.warnings) == ("done", ())
    (stored,) = sessions(planned.folder(store))
    (opened,) = (r.run for r in stored if r.WhichOneof("record_type") == "run")
    assert (opened.run_id, opened.run_group, opened.display_name) == (planned.key, "friday", planned.name)
    assert "method" in {update.key for update in opened.config.update}
    history = [r.history for r in stored if r.WhichOneof("record_type") == "history"]
    assert len(history) == planned.config.train.max_epochs
    assert {"epoch", "val/uar", "train/total"} <= merged(stored, "history").keys()
    summary = merged(stored, "summary")
    for score in record.scores:
        assert summary[f"{score.target}@{score.selection}/uar"] == pytest.approx(score.metrics["uar"])
    assert exit_codes(planned.folder(store)) == [False]


def test_a_run_that_resumes_is_the_same_run_there(plan, plain, workspace, tmp_path):
    planned, store = plan(method=plain, overrides=()), Store(tmp_path)

    def stop(event):
        if event.phase == "train" and event.done == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        execute(planned, store, workspace, stop, OFFLINE)
    time.sleep(1)  # the library names its folders by the second
    execute(planned, store, workspace, options=OFFLINE)
    folder = planned.folder(store)
    opened = [r.run for records in sessions(folder) for r in records if r.WhichOneof("record_type") == "run"]
    assert [run.run_id for run in opened] == [planned.key] * 2
    assert exit_codes(folder) == [True, False]
    execute(planned, store, workspace, options=OFFLINE)
    assert len(sessions(folder)) == 2  # a finished run is left alone


def test_nothing_is_stored_unless_asked_and_no_number_changes(plan, plain, workspace, tmp_path):
    planned, with_it, without = plan(method=plain, overrides=()), Store(tmp_path / "a"), Store(tmp_path / "b")
    records = [
        execute(planned, with_it, workspace, options=OFFLINE),
        execute(planned, without, workspace),
    ]
    assert not (planned.folder(without).path / "wandb").exists()
    assert records[0].selection == records[1].selection
    assert records[0].scores == records[1].scores


def test_finishing_does_not_wait_for_ever(plan, plain, tmp_path):
    planned = plan(method=plain, overrides=())
    with Loggers(planned, planned.folder(Store(tmp_path)), OFFLINE, print) as loggers:
        settings = loggers._wandb.settings
        assert (settings.finish_timeout, settings.finish_timeout_raises) == (FINISH_TIMEOUT, True)


def test_what_fails_is_a_warning_on_the_screen_and_in_the_record(run_cli, tiny_root, tmp_path):
    command = ("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *SMALL)
    code, out, err = run_cli(*command, "--wandb", "online")  # there is no account
    assert code == 0
    (warning,) = (line for line in err.splitlines() if line.startswith("warning: resemotenet["))
    assert "Weights & Biases did not start: " in warning
    assert "API key" in warning
    assert "Weights & Biases did not start: " in out
    (record,) = Store(tmp_path / "runs").scan()[0]
    assert [text.startswith(LOGGER_FAILED) for text in record.warnings] == [True]


STEPS = {
    "did not start": (wandb, "init"),
    "did not take an epoch": (Run, "log"),
    "did not take the scores": (Summary, "update"),
    "did not finish": (Run, "finish"),
}
"""Functions of the library by what is said when they fail."""


def failing(function, error):
    """Return a function that takes what the library's takes, and fails."""

    def fail(*given, **named):
        signature(function).bind(*given, **named)
        raise error

    return fail


@pytest.mark.parametrize("error", [OSError("no route\n\x1b[31mto host\x1b[0m"), SystemExit("no disk")])
@pytest.mark.parametrize("step", STEPS)
def test_no_failure_of_a_logger_fails_a_run(plan, plain, workspace, tmp_path, monkeypatch, step, error):
    owner, name = STEPS[step]
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), error))
    planned, store, events = plan(method=plain, overrides=(), targets="none"), Store(tmp_path), []
    record = execute(planned, store, workspace, events.append, OFFLINE)
    monkeypatch.undo()
    wandb.teardown()
    assert record.status == "done"
    (warning,) = record.warnings  # one, though three epochs failed
    said = "no route to host" if isinstance(error, OSError) else "no disk"
    assert warning == f"{LOGGER_FAILED}Weights & Biases {step}: {type(error).__name__}: {said}"
    assert record == planned.folder(store).read_record()
    assert [event.message for event in events if event.phase == "warning"] == [warning]
    assert events[-1].warnings == (warning,)
    assert step in planned.folder(store).log_file.read_text()


def test_a_failed_run_keeps_the_warning_too(plan, plain, workspace, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("odd")

    monkeypatch.setattr(Run, "finish", failing(Run.finish, OSError("no route to host")))
    monkeypatch.setattr("fer_bench.runs.training.fit.fit", broken)
    events = []
    record = execute(plan(method=plain, overrides=()), Store(tmp_path), workspace, events.append, OFFLINE)
    monkeypatch.undo()
    wandb.teardown()
    assert record.status == "failed"
    assert "odd" in record.error.message
    assert any("did not finish: OSError: no route to host" in text for text in record.warnings)
    assert events[-1].warnings


class TestTensorBoard:
    """It is an extra; the stand-in takes what the real writer takes."""

    @pytest.fixture
    def written(self, monkeypatch):
        calls = []

        class SummaryWriter:
            fails: str | None = None

            def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120):
                calls.append(("open", purge_step))

            def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False):
                self.note("add_scalar", tag, scalar_value, global_step)

            def flush(self):
                self.note("flush")

            def close(self):
                self.note("close")

            def note(self, name, *given):
                if name == SummaryWriter.fails:
                    raise OSError("disk quota exceeded")
                calls.append((name, *given))

        module = ModuleType("torch.utils.tensorboard")
        module.SummaryWriter = SummaryWriter
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
        return calls, SummaryWriter

    def test_gets_every_epoch(self, plan, plain, workspace, tmp_path, written):
        options = RunOptions(tensorboard=True)
        planned = plan(method=plain, overrides=(), targets="none")
        record = execute(planned, Store(tmp_path), workspace, options=options)
        calls, _ = written
        assert record.warnings == ()
        assert [given[2] for _, *given in calls if given[:1] == ["val/uar"]] == [0, 1, 2]
        assert (calls[0], calls[-1]) == (("open", 0), ("close",))

    @pytest.mark.parametrize(
        ("call", "step"),
        [
            ("add_scalar", "did not take an epoch"),
            ("flush", "did not take an epoch"),
            ("close", "was not closed"),
        ],
    )
    def test_failing_does_not_fail_the_run(self, plan, plain, workspace, tmp_path, written, call, step):
        written[1].fails = call
        planned = plan(method=plain, overrides=(), targets="none")
        record = execute(planned, Store(tmp_path), workspace, options=RunOptions(tensorboard=True))
        assert record.status == "done"
        assert record.warnings == (f"{LOGGER_FAILED}TensorBoard {step}: OSError: disk quota exceeded",)
