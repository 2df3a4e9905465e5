"""Work on one run in the process that a launcher started for it, and learn how a lost process ended."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from fer_bench.config import RunOptions
from fer_bench.errors import FerBenchError, StoreError
from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.distributed import place_from_environment
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.execute import Busy, execute
from fer_bench.runs.follow import follow
from fer_bench.runs.keys import refuse_other_code
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import Interrupted, output_to
from fer_bench.runs.supervision import record_lost_run
from fer_bench.workspace.workspace import Workspace


def work(
    run: PlannedRun, store: Store, workspace: Workspace, options: RunOptions, on_event: OnEvent | None = None
) -> Event:
    """Work on one run in this process, with its output in its log.

    Args:
        run: The run. One that is complete already is left alone.
        store: Where it is stored.
        workspace: Datasets and packs.
        options: Loggers and time limit; a run that makes no progress ends this process.
        on_event: Called on every event but the last.

    Returns:
        The last event, which says how the run ended; its status is `running` when another process works on
        the run.
    """
    started, end = time.perf_counter(), Event(run.key, "end", status="done")

    def forward(event: Event) -> None:
        nonlocal end
        if event.phase == "end":
            end = event
        elif on_event is not None:
            on_event(event)

    folder = run.folder(store)
    with output_to(folder.log_file):
        try:
            refuse_other_code(run.config.method, run.key_fields)
            place = place_from_environment(run.config.devices, run.config.nodes)
            if place is None or place.rank == 0:
                execute(run, store, workspace, forward, options)
            else:
                follow(run, workspace, place, folder.checkpoints)
        except Interrupted as error:
            reason = record_lost_run(folder, str(error) or "stopped", "interrupted")
            end = Event(run.key, "end", status="interrupted", message=reason)
        except Busy as error:
            end = Event(run.key, "end", status="running", message=error.message)
        except FerBenchError as error:
            end = Event(run.key, "end", status="failed", message=str(error))
    return replace(end, seconds=time.perf_counter() - started)


def end_of_lost_run(run: PlannedRun, store: Store, workspace: Workspace, reason: str) -> Event:
    """Return the last event of a run whose process is gone without one, and record the reason.

    Args:
        run: The run.
        store: Where it is stored.
        workspace: Datasets and packs.
        reason: What the launcher knows, for a record that does not say how the run ended.
    """
    folder = run.folder(store)
    reason = record_lost_run(folder, reason)
    if is_complete(run, store, workspace):
        return Event(run.key, "end", status="done")
    with suppress(StoreError):
        record = folder.read_record()
        if record is not None and record.status == "done":  # trained, but a target could not be predicted
            lost = [
                f"{name}: {record.missing[name]}" for name in run.config.targets if name in record.missing
            ]
            return Event(run.key, "end", status="failed", message=(lost or [reason])[0])
        if record is not None and record.status not in ("running", "planned"):
            return Event(run.key, "end", status=record.status, message=reason)
    return Event(run.key, "end", status="failed", message=reason)
