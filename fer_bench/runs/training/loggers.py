"""Log to Weights & Biases and TensorBoard on request; neither changes a number or can make a run fail.

The history is in `metrics.csv` in any case. A failure is a warning on the screen and in the record.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fer_bench.config import RunOptions
from fer_bench.distribution import install_hint
from fer_bench.errors import UsageError, one_line
from fer_bench.results.record import LOGGER_FAILED, Record
from fer_bench.results.store import RunDir
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.plan import PlannedRun

WANDB, TENSORBOARD = "Weights & Biases", "TensorBoard"
PROJECT = "fer-bench"
"""Project in Weights & Biases, unless WANDB_PROJECT is set."""

FINISH_TIMEOUT = 300.0
"""Seconds that a finished run waits for Weights & Biases, for example while there is no network."""


def check_loggers(options: RunOptions) -> None:
    """Refuse loggers that are not installed, before anything is computed.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "TensorBoard is not installed", value="--tensorboard", hint=install_hint("tensorboard")
        )


class Loggers:
    """The loggers of one run, from its first epoch to its scores.

    In Weights & Biases the id of a run is its key, so that a resumed attempt continues the same run, and the
    runs of a sweep are a group.

    Args:
        planned: The run.
        run: Its folder, which holds what loggers write.
        options: Which loggers.
        on_event: Told of each failure of a logger, as a warning.

    """

    def __init__(self, planned: PlannedRun, run: RunDir, options: RunOptions, on_event: OnEvent) -> None:
        self.planned, self.run, self.options, self.on_event = planned, run, options, on_event
        self._failed: dict[str, str] = {}
        self._wandb: Any = None
        self._board: Any = None

    def __enter__(self) -> Loggers:
        """Open the loggers."""
        if self.options.wandb != "off":
            with self._guard(f"{WANDB} did not start"):
                self._wandb = self._open_wandb()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        """Close the loggers, and mark a run that failed."""
        if self._board is not None:
            with self._guard(f"{TENSORBOARD} was not closed"):
                self._board.close()
        if self._wandb is not None:
            with self._guard(f"{WANDB} did not finish"):
                self._wandb.finish(exit_code=0 if kind is None else 1)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch, from 0."""
        if self.options.tensorboard:
            with self._guard(f"{TENSORBOARD} did not take an epoch"):
                self._write_board(epoch, metrics)
        if self._wandb is not None:
            with self._guard(f"{WANDB} did not take an epoch"):
                self._wandb.log({**metrics, "epoch": epoch}, step=epoch)

    def scores(self, record: Record) -> None:
        """Log the scores of a finished run."""
        if self._wandb is not None:
            found = {
                f"{score.target}@{score.selection}/{name}": value
                for score in record.scores
                for name, value in score.metrics.items()
            }
            with self._guard(f"{WANDB} did not take the scores"):
                self._wandb.summary.update(found)

    @property
    def failures(self) -> tuple[str, ...]:
        """Return what failed so far: of each logger and step the first failure."""
        return tuple(self._failed.values())

    def noted(self, record: Record) -> Record:
        """Return a record with the failures as warnings."""
        return record.model_copy(update={"warnings": (*record.warnings, *self.failures)})

    def _open_wandb(self) -> Any:
        import wandb

        known = wandb.Settings.model_fields  # older versions have no limit
        patience = {"finish_timeout": FINISH_TIMEOUT, "finish_timeout_raises": True}
        limits = {name: value for name, value in patience.items() if name in known}
        config = self.planned.config
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self.planned.key,
            resume="allow",
            group=self.options.group,
            name=self.planned.name,
            config=config.model_dump(mode="json"),
            mode="online" if self.options.wandb == "online" else "offline",
            dir=str(self.run.path),
            settings=wandb.Settings(console="off", silent=True, **limits),
        )

    def _write_board(self, epoch: int, metrics: Mapping[str, float]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._board is None:  # purge: an attempt that was killed may have written this epoch already
            self._board = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=epoch)
        for name, value in metrics.items():
            self._board.add_scalar(name, value, epoch)
        self._board.flush()

    @contextmanager
    def _guard(self, failure: str) -> Iterator[None]:
        """Turn an error into a warning: a full disk, no network, no account, another version of a library."""
        try:
            yield
        except (Exception, SystemExit) as error:
            reason = f"{LOGGER_FAILED}{failure}: {type(error).__name__}: {one_line(error)}"
            logging.getLogger("fer_bench").warning("%s", reason, exc_info=error)
            if failure not in self._failed:
                self._failed[failure] = reason
                self.on_event(Event(self.planned.key, "warning", message=reason))
