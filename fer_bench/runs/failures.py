"""Turn errors into the status and failure of a record."""

from __future__ import annotations

import logging
import traceback

from fer_bench.errors import DivergedError, FerBenchError, without_escape_codes
from fer_bench.methods.faults import describe_fault
from fer_bench.results.record import Failure, Record, Status
from fer_bench.results.store import RunDir
from fer_bench.runs import environment
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import Interrupted
from fer_bench.runs.records import first_record
from fer_bench.runs.supervision import log_tail

TRACEBACK_LINES = 30
NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate")
"""Messages of libraries without an exception of their own for it."""


def reason_of(error: BaseException, planned: PlannedRun, run: RunDir) -> tuple[Status, Failure]:
    """Return the status and failure of a run that raised an error, and write the reason into its log."""
    status, kind = _status_of(error)
    trace = without_escape_codes("".join(traceback.format_exception(error)))
    tail = "\n".join(trace.splitlines()[-TRACEBACK_LINES:])
    message = message_of(error, planned.config.method) or kind
    if status == "oom":
        message = f"out of memory at batch size {planned.config.train.batch_size}: {message}"
    log, expected = log_tail(run.log_file), isinstance(error, FerBenchError) or status == "interrupted"
    failure = Failure(kind=kind, message=message, traceback=tail, log=log)
    logging.getLogger("fer_bench").error("%s", failure.reason if expected else f"{failure.reason}\n{tail}")
    return status, failure


def message_of(error: BaseException, method: str) -> str:
    """Return what an error says; of one that nobody foresaw also its type and its place in a method's code.

    Args:
        error: The error.
        method: Name of the method.
    """
    foreseen = isinstance(error, FerBenchError) or _status_of(error)[0] != "failed"
    return without_escape_codes(str(error) if foreseen else describe_fault(method, error))


def fail_before_start(planned: PlannedRun, run: RunDir, error: Exception) -> Record:
    """Record that a run could not start, for example because its data cannot be read from this machine.

    Raises:
        StoreError: The record cannot be read or written.
    """
    status, failure = reason_of(error, planned, run)
    record = run.read_record() or first_record(planned, environment.describe())
    if record.status != "done":
        record = record.model_copy(update={"status": status, "error": failure})
        run.write_record(record)
    return record


def _status_of(error: BaseException) -> tuple[Status, str]:
    name = type(error).__name__
    if isinstance(error, DivergedError):
        return "diverged", name
    if isinstance(error, Interrupted | KeyboardInterrupt | SystemExit):  # schedulers exit to requeue a job
        return "interrupted", name
    text = str(error)
    if (
        name == "OutOfMemoryError"
        or isinstance(error, MemoryError)
        or any(sign in text for sign in NO_MEMORY)
    ):
        return "oom", name
    return "failed", name
