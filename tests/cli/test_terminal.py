"""What people see of a sweep: a live table on a terminal, plain lines elsewhere."""

import io
import sys
import time

import pytest
from rich.console import Console

from fer_bench.cli import terminal
from fer_bench.cli.terminal import SweepDisplay
from fer_bench.runs.events import Event

RUN = "resemotenet[train.batch_size=16,train.max_epochs=3,width=0.03] on oulu"
"""Its name says what differs from the profile."""


@pytest.fixture
def runs(plan):
    return [plan(seed=seed) for seed in range(4)]


def events_of(runs):
    """One run is done, one failed, one trains on a GPU, one waits."""
    done, failed, trains, _ = (run.key for run in runs)
    yield Event(done, "train", 3, 3, {"val/uar": 0.4})
    yield Event(done, "end", status="done")
    yield Event(failed, "train", 1, 3, {})
    yield Event(failed, "end", status="oom", message="out of memory at batch size 16\nmore")
    yield Event(trains, "step", 5, 9, rate=250.0, memory=3 * 2**30)
    yield Event(trains, "train", 2, 3, {"val/uar": 0.5})
    yield Event("", "tick")


def test_a_terminal_shows_a_live_table(runs, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "_console", lambda: Console(file=screen, force_terminal=True, width=160))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with SweepDisplay(runs) as display:
        display._zero -= 60
        for event in events_of(runs):
            display(event)
        shown = screen.getvalue()
    assert "1/4 done, 1 failed" in shown
    assert "left" in shown
    assert "epoch 2/3  val UAR 50.0 %  250 images/s  3.0 GiB" in shown
    assert "step 5/9  250 images/s  3.0 GiB" in shown  # before its first epoch is done
    assert "oom" in shown
    assert "out of memory at batch size 16" in shown
    assert display.failures == {runs[1].key: ("oom", "out of memory at batch size 16\nmore")}


def test_a_warning_is_shown_once_and_also_when_only_the_end_tells_of_it(runs, capsys):
    with SweepDisplay(runs) as display:
        display(Event(runs[0].key, "warning", message="logger: no network"))
        display(Event(runs[0].key, "end", status="done", warnings=("logger: no network",)))
        display(Event(runs[1].key, "end", status="done", warnings=("logger: no disk",)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert lines == [
        f"warning: {RUN} (6-4fold, fold 1, seed 0): logger: no network",
        f"warning: {RUN} (6-4fold, fold 1, seed 1): logger: no disk",
    ]
    assert display.failures == {}


def test_elsewhere_it_is_a_line_per_end(runs, capsys):
    with SweepDisplay(runs) as display:
        for event in events_of(runs):
            display(event)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"[    1/4] done     {RUN}")
    assert "out of memory at batch size 16" in lines[1]
    assert "more" not in lines[1]


def test_the_time_that_is_left_follows_from_the_pace(runs):
    display = SweepDisplay(runs, quiet=True)
    assert display.eta() is None
    display._zero = time.monotonic() - 30
    display(Event(runs[0].key, "end", status="done"))
    assert display.eta() == pytest.approx(90, rel=0.05)
