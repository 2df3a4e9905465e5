"""Log to Weights & Biases and TensorBoard on request; neither changes a number or can make a run fail.

The history is in `metrics.csv` in any case.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.results.record import Record
from fer_bench.results.store import RunDir
from fer_bench.runs.plan import PlannedRun

PROJECT = "fer-bench"
"""Project in Weights & Biases, unless WANDB_PROJECT is set."""


def check_loggers(options: RunOptions) -> None:
    """Refuse loggers that are not installed, before anything is computed.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "TensorBoard is not installed", value="--tensorboard", hint='pip install "fer-bench[tensorboard]"'
        )


class Loggers:
    """The loggers of one run, from its first epoch to its scores.

    In Weights & Biases the id of a run is its key, so that a resumed attempt continues the same run, and the
    runs of a sweep are a group.

    Args:
        planned: The run.
        run: Its folder, which holds what loggers write.
        options: Which loggers.
    """

    def __init__(self, planned: PlannedRun, run: RunDir, options: RunOptions) -> None:
        self.planned, self.run, self.options = planned, run, options
        self._wandb: Any = None
        self._board: Any = None

    def __enter__(self) -> Loggers:
        """Open the loggers."""
        if self.options.wandb != "off":
            self._guarded(self._open_wandb)
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        """Close the loggers, and mark a run that failed."""
        if self._board is not None:
            self._guarded(self._board.close)
        if self._wandb is not None:
            self._guarded(self._wandb.finish, exit_code=0 if kind is None else 1, quiet=True)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch, from 0."""
        if self.options.tensorboard:
            self._guarded(self._write_board, epoch, metrics)
        if self._wandb is not None:
            self._guarded(self._wandb.log, {**metrics, "epoch": epoch}, step=epoch)

    def scores(self, record: Record) -> None:
        """Log the scores of a finished run."""
        if self._wandb is None:
            return
        found = {
            f"{score.target}@{score.selection}/{name}": value
            for score in record.scores
            for name, value in score.metrics.items()
        }
        self._guarded(self._wandb.summary.update, found)

    def _open_wandb(self) -> None:
        import wandb

        config = self.planned.config
        self._wandb = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self.planned.key,
            resume="allow",
            group=self.options.group,
            name=self.planned.name,
            config=config.model_dump(mode="json"),
            mode="online" if self.options.wandb == "online" else "offline",
            dir=str(self.run.path),
            settings=wandb.Settings(console="off", silent=True),
        )

    def _write_board(self, epoch: int, metrics: Mapping[str, float]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._board is None:  # purge: an attempt that was killed may have written this epoch already
            self._board = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=epoch)
        for name, value in metrics.items():
            self._board.add_scalar(name, value, epoch)
        self._board.flush()

    def _guarded(self, action: Callable[..., object], *arguments: Any, **named: Any) -> None:
        """Call something that may fail without harm: a full disk, no network, no account."""
        try:
            action(*arguments, **named)
        except Exception as error:
            with contextlib.suppress(Exception):
                logging.getLogger("fer_bench").warning("a logger failed: %s: %s", type(error).__name__, error)
