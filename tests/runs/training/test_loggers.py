"""Weights & Biases as a run uses it; a stand-in notes what it is told."""

import sys
from types import SimpleNamespace

import pytest

from fer_bench.config import RunOptions
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.processes import Interrupted


@pytest.fixture
def told(monkeypatch):
    calls = []

    def init(**named):
        calls.append(("init", named))
        return SimpleNamespace(
            log=lambda metrics, **named: calls.append(("log", {**metrics, **named})),
            summary=SimpleNamespace(update=lambda found: calls.append(("summary", found))),
            finish=lambda **named: calls.append(("finish", named)),
        )

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=lambda **named: named))
    return calls


def named(calls, what):
    return [content for name, content in calls if name == what]


def test_a_run_that_resumes_is_the_same_run_there(plan, plain, workspace, tmp_path, told):
    run, store = plan(method=plain, overrides=()), Store(tmp_path)
    options = RunOptions(wandb="offline", group="friday")

    def stop(event):
        if event.phase == "train" and event.done == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        execute(run, store, workspace, stop, options)
    execute(run, store, workspace, options=options)
    opened = named(told, "init")
    assert [(o["id"], o["resume"], o["group"], o["mode"]) for o in opened] == [
        (run.key, "allow", "friday", "offline")
    ] * 2
    assert [finish.get("exit_code", 0) != 0 for finish in named(told, "finish")] == [True, False]
    (summary,) = named(told, "summary")
    assert {"oulu@val/uar", "rafdb@val/uar"} <= set(summary)
    execute(run, store, workspace, options=options)
    assert len(named(told, "init")) == 2  # a finished run is left alone


def test_nothing_is_told_unless_asked(plan, plain, workspace, tmp_path, told):
    execute(plan(method=plain, overrides=()), Store(tmp_path), workspace)
    assert told == []


def test_a_logger_that_fails_does_not_fail_the_run(plan, plain, workspace, tmp_path, monkeypatch):
    def init(**named):
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=lambda **named: named))
    run, store = plan(method=plain, overrides=()), Store(tmp_path)
    record = execute(run, store, workspace, options=RunOptions(wandb="online"))
    assert record.status == "done"
    log = run.folder(store).log_file.read_text()
    assert "no route to host" in log
