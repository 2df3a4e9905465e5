"""What every launcher does in the process that works on a run, and how it learns how that ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fer_bench.config import RunOptions
from fer_bench.errors import FerBenchError, StoreError
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.distributed import follow, given_place
from fer_bench.runs.execute import Busy, execute
from fer_bench.runs.keys import refuse_other_code
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.supervision import HANG_MARK, TIMED_OUT, Event, Interrupted, Watch, log_tail, record_death
from fer_bench.workspace.workspace import Workspace

FAILED, STOPPED = 1, 130
"""Exit codes, besides 0: the run did not end well; somebody stopped it."""


def run_dir(run: PlannedRun, store: Store) -> RunDir:
    """Return the folder of a planned run."""
    return store.run_dir(run.config.method, run.config.dataset, run.key)


def work(run: PlannedRun, store: Store, workspace: Workspace, options: RunOptions, watch: Watch) -> int:
    """Work off one run in this process, its output going to its log; return an exit code.

    Args:
        run: The run. One that is complete already is left alone.
        store: Where it is kept.
        workspace: Datasets and packs.
        options: Loggers and the hang watch.
        watch: Called on every event, the last of which says how the run ended: `running` when another
            process works on it.
    """
    import torch

    if run.config.device == "cpu":
        torch.set_num_threads(1)
    folder = run_dir(run, store)
    with _output_to(folder.log_file):
        try:
            refuse_other_code(run)
            place = given_place(run.config.devices, run.config.nodes)
            if place is not None and place.rank > 0:
                follow(run, workspace, place, folder.checkpoints)
                watch(Event(run.key, "end", status="done"))
                return 0
            record = execute(run, store, workspace, watch, options)
        except Interrupted as error:
            reason = str(error) or "stopped"
            with suppress(StoreError):  # where the run had no time to say so itself
                reason = record_death(folder, reason, status="interrupted")
            watch(Event(run.key, "end", status="interrupted", message=reason))
            return STOPPED
        except Busy as error:
            watch(Event(run.key, "end", status="running", message=error.message))
            return 0
        except FerBenchError as error:
            watch(Event(run.key, "end", status="failed", message=str(error)))
            return FAILED
    return 0 if record.status == "done" else FAILED


def bury(run: PlannedRun, store: Store, code: int) -> str:
    """Put on record that the process of a run ended without a word; return why.

    Args:
        run: The run.
        store: Where it is kept.
        code: Exit code of the process, negative for a signal.
    """
    folder = run_dir(run, store)
    if code < 0:
        reason = f"the process was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            reason += ", as a system does that has no memory left"
    elif code == TIMED_OUT or log_tail(folder.log_file, since=HANG_MARK).startswith(HANG_MARK):
        reason = "no progress for too long, so the run was stopped"
    else:
        reason = f"the process ended with exit code {code}"
    with suppress(StoreError):
        reason = record_death(folder, reason)
    return reason


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send what this process and its libraries print to a log, and what comes later where it went before."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = {number: os.dup(number) for number in (1, 2)}
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in before:
        os.dup2(handle, number)
    os.close(handle)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in before.items():
            os.dup2(old, number)
            os.close(old)
