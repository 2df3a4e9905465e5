"""Select epochs: keep the best weights by validation scores, the last ones, and a state to resume from."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from fer_bench.config import TrainSettings
from fer_bench.errors import DivergedError, StoreError
from fer_bench.files import write_text
from fer_bench.methods.base import Method
from fer_bench.methods.weights import state_hash
from fer_bench.results.record import Chosen, Selection
from fer_bench.runs.spent import SpentClock
from fer_bench.runs.training.checkpoints import LAST_STATE, load_weights, save_weights

OnEpoch = Callable[[int, int, Mapping[str, float]], None]
Peek = Callable[[Path], float]
"""Returns the UAR of weights, given as a file, on the test rows."""
WRITING = 0.01
"""Share of the training time that writing takes at most, but for an attempt's first and last epoch."""
LONGEST = 300.0
"""Seconds after which the next epoch is written whatever it takes."""


@dataclass(frozen=True)
class FitResult:
    """What a training produced.

    Attributes:
        selection: The epoch that each selection chose, the earlier one on ties: `val` (validation UAR) where
            there is validation, `val_abaw` (ABAW sum on validation rows) where that is defined, `peek` (UAR
            on the test rows) where it was asked for, and `last`.
        seconds: Time spent in training, over all attempts.
    """

    selection: dict[Selection, Chosen]
    seconds: float


class EpochSelection(Checkpoint):
    """Write the selected weights and a state to resume from after epochs, and stop early.

    Writes after the first epoch of an attempt and the last, and between them as often as `WRITING` and
    `LONGEST` say: after every epoch, unless epochs are short beside the writing. Weights that are selected in
    between stay in memory.

    Runs after the scheduler has seen the validation. What resuming needs is part of the state itself. New
    weights take the place of older ones only when the state that names them is written, so that the two agree
    whenever an attempt is killed. Only the process with rank 0 writes and hashes weights.

    Args:
        folder: Where `val.pt`, `val_abaw.pt`, `peek.pt`, `last.pt` and `last.ckpt` go.
        validates: Whether the protocol has validation rows.
        train: Number of epochs and early stopping.
        on_epoch: Called with epochs done, number of epochs and the epoch's metrics.
        frozen: Folder for weights that are never trained, see `save_weights`.
        clock: Counts CPU time.
        peek: Scores each epoch's weights on the test rows; None never looks at them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        validates: bool,
        train: TrainSettings,
        on_epoch: OnEpoch | None = None,
        frozen: Path | None = None,
        clock: SpentClock | None = None,
        peek: Peek | None = None,
    ) -> None:
        self.clock, self.peek = clock or SpentClock(), peek
        self.folder, self.validates, self.train_settings = folder, validates, train
        self.on_epoch, self.frozen = on_epoch, frozen
        self.chosen: dict[Selection, Chosen] = {}
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self._started = 0.0
        self._unwritten: dict[Selection, dict[str, Tensor] | None] = {}
        """Weights that were selected since the last writing; None for those that the method has."""
        self._written, self._cost = time.perf_counter(), math.inf

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know, as plain types."""
        chosen = {name: epoch.model_dump() for name, epoch in self.chosen.items()}
        return {"chosen": chosen, "history": self.history, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what an earlier attempt knew."""
        self.chosen = {name: Chosen(**epoch) for name, epoch in state_dict["chosen"].items()}
        self.history, self.seconds = list(state_dict["history"]), state_dict["seconds"]
        for name, epoch in self.chosen.items():
            self._settle(name, epoch.checkpoint)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once when an earlier attempt had already stopped early."""
        trainer.should_stop = self._out_of_patience()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._started = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count what training took."""
        self.clock.lap("train")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count what validation took."""
        self.clock.lap("validate")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Select, write the history and, when it is time, checkpoints; stop early when it is time."""
        assert isinstance(pl_module, Method)
        epoch = trainer.current_epoch
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        uar, abaw = (metrics.get(name) if self.validates else None for name in ("val/uar", "val/abaw"))
        self.seconds += time.perf_counter() - self._started
        self.clock.lap("train")
        self.history.append({"epoch": float(epoch), **metrics})
        if self._is_best("val", uar):
            self._choose("val", epoch=epoch, val_uar=uar)
        if self._is_best("val_abaw", abaw):
            self._choose("val_abaw", epoch=epoch, val_uar=uar, val_abaw=abaw)
        if self.peek is not None and trainer.is_global_zero:
            self._choose_on_test_rows(self.peek, pl_module, epoch, uar)
        if self._out_of_patience():
            trainer.should_stop = True
        if trainer.is_global_zero:
            self._write_history()
        if self._is_due(trainer):
            self._write(trainer, pl_module)
        elif trainer.is_global_zero:
            self._keep(pl_module)
        self.clock.lap("save")
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1, self.train_settings.max_epochs, metrics)

    def finish(self, method: Method, *, write: bool) -> FitResult:
        """Choose the last epoch as well, and return the result.

        Args:
            method: The trained method.
            write: Whether this process writes and hashes weights.

        Raises:
            DivergedError: Not even the first epoch is complete.
        """
        if not self.history:
            raise DivergedError("training ended before its first epoch was complete")
        last = self.history[-1]
        uar = last.get("val/uar") if self.validates else None
        self._choose("last", epoch=int(last["epoch"]), val_uar=uar)
        if write:
            for name in self._write_weights(method):
                self._promote(name)
        return FitResult(self.chosen, self.seconds)

    def _choose_on_test_rows(self, peek: Peek, method: Method, epoch: int, uar: float | None) -> None:
        """Score a copy of the weights, so that the method that trains is left as it is."""
        weights = self.folder / "peeked.pt"
        save_weights(method, weights, frozen=self.frozen)
        score, best = peek(weights), self.chosen.get("peek")
        weights.unlink()
        self.history[-1]["test/uar"] = score
        if best is None or best.test_uar is None or score > best.test_uar:
            self._choose("peek", epoch=epoch, val_uar=uar, test_uar=score)
        self.clock.lap("predict")

    def _is_best(self, name: Selection, score: float | None) -> bool:
        best = self.chosen.get(name)
        before = None if best is None else best.val_uar if name == "val" else best.val_abaw
        return score is not None and (before is None or score > before)

    def _choose(self, name: Selection, **fields: Any) -> None:
        self.chosen[name] = Chosen(checkpoint="", **fields)
        self._unwritten[name] = None

    def _is_due(self, trainer: Trainer) -> bool:
        """Return whether this epoch is written, which the process with rank 0 decides for all."""
        assert trainer.max_epochs is not None
        ends = trainer.should_stop or trainer.current_epoch + 1 >= trainer.max_epochs
        passed = time.perf_counter() - self._written
        due = ends or math.isinf(self._cost) or self._cost <= WRITING * passed or passed >= LONGEST
        return bool(trainer.strategy.broadcast(due))

    def _write(self, trainer: Trainer, method: Method) -> None:
        """Write the selected weights beside older ones, then the state that names them; replace the older."""
        began = time.perf_counter()
        names = self._write_weights(method) if trainer.is_global_zero else []
        trainer.save_checkpoint(self.folder / LAST_STATE)
        for name in names:
            self._promote(name)
        self._written = time.perf_counter()
        self._cost = min(self._cost, self._written - began)

    def _write_weights(self, method: Method) -> list[Selection]:
        for name, kept in self._unwritten.items():
            state = method.state_dict() if kept is None else kept
            save_weights(method, self._new(name), state=state, frozen=self.frozen)
            self.chosen[name] = self.chosen[name].model_copy(update={"checkpoint": state_hash(state)})
        written = list(self._unwritten)
        self._unwritten.clear()
        return written

    def _keep(self, method: Method) -> None:
        """Copy the weights that this epoch selected, before training goes on."""
        new = [name for name, kept in self._unwritten.items() if kept is None]
        if new:
            self._unwritten |= dict.fromkeys(new, deepcopy(method.state_dict()))

    def _new(self, name: Selection) -> Path:
        """Return where weights are until the state that names them is written."""
        return self.folder / f"{name}.new.pt"

    def _promote(self, name: Selection) -> None:
        with suppress(FileNotFoundError):  # another process of the run was faster
            self._new(name).replace(self.folder / f"{name}.pt")

    def _settle(self, name: Selection, checkpoint: str) -> None:
        """Take the new weights that a killed attempt left if the state names them, else delete them."""
        if not self._new(name).exists():
            return
        with suppress(StoreError):
            load_weights(self._new(name), expected=checkpoint)
            self._promote(name)
        self._new(name).unlink(missing_ok=True)

    def _out_of_patience(self) -> bool:
        patience, best = self.train_settings.early_stop, self.chosen.get("val")
        return patience is not None and best is not None and self.history[-1]["epoch"] - best.epoch > patience

    def _write_history(self) -> None:
        columns = ["epoch", *sorted({name for row in self.history for name in row} - {"epoch"})]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in self.history)
        write_text(self.folder.parent / "metrics.csv", text.getvalue())
