"""Test the checkpoints of a run on targets: predict, score and store; the same weights predict once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.protocols import evaluation_rows, find_protocol, in_label_set
from fer_bench.datasets import members_of
from fer_bench.results.mistakes import mistakes_file, write_mistakes
from fer_bench.results.predictions import write_predictions
from fer_bench.results.record import Record, Score, Selection, TargetData
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.distributed import Group
from fer_bench.runs.mistakes import worst_mistakes
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.spent import SpentClock
from fer_bench.workspace.sources import Source
from fer_bench.workspace.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from fer_bench.data.card import Protocol
    from fer_bench.runs.assessment import Evaluation


MOST_KEPT = 1 << 26
"""Bytes of predictions that are kept for weights that may be tested again."""


class Tester:
    """Predict and score with the checkpoints of one run.

    Selections often choose the same epoch, and `--track-peek` has tested them all already: weights predict a
    target once.

    Args:
        planned: The run.
        store: Where it is kept.
        workspace: Datasets and packs.
        run: Its folder.
        tick: Called after every batch.
        clock: Counts CPU time.
    """

    def __init__(
        self,
        planned: PlannedRun,
        store: Store,
        workspace: Workspace,
        run: RunDir,
        *,
        tick: Callable[..., None],
        clock: SpentClock,
    ) -> None:
        self.planned, self.config, self.store = planned, planned.config, store
        self.workspace, self.run, self.tick, self.clock = workspace, run, tick, clock
        card = workspace.source(planned.config.dataset).dataset.card
        self.protocol = find_protocol(card, planned.config.protocol)
        self._methods: dict[str, Any] = {}
        self._known: dict[tuple[str, str], pd.DataFrame] = {}

    def test(
        self, record: Record, target: str, selection: Selection, group: Group | None
    ) -> tuple[Score | None, TargetData]:
        """Predict and score one target with one checkpoint, and store the predictions.

        Args:
            record: The run's record, with its selections.
            target: A target; `val` for the validation rows of the source.
            selection: Which checkpoint.
            group: The run's processes if there are several.
        """
        checkpoint = record.selection[selection].checkpoint
        method = self._method(checkpoint, selection)
        found = self._predict(method, target, selection, checkpoint, group)
        if target in members_of(self.config.dataset):  # the only targets of further selections
            self._keep(target, checkpoint, found)
        write_predictions(self.run.predictions_file(target, selection), found.predictions)
        source = self.workspace.source(self.config.dataset if target == "val" else target)
        self.store.keep_index(found.data.fingerprint, source.dataset.index)
        if target in members_of(self.config.dataset) and selection == record.headline:
            self._keep_mistakes(found, source, method)
        self.clock.lap("save")
        return found.score, found.data

    def _keep_mistakes(self, found: Evaluation, source: Source, method: Any) -> None:
        """Keep the worst mistakes on the source's own test rows with their pictures, if these are drawn."""
        if source.kind == "synthetic" and found.score is not None:
            target = found.predictions.meta.target
            pack = self.workspace.pack(target, method.input_spec(method.settings).size)
            worst = worst_mistakes(found.predictions, found.score, source.dataset.index, pack)
            write_mistakes(mistakes_file(self.run, target), worst)

    def peek(self, weights: Path, target: str) -> float:
        """Return the UAR of weights on the test rows of a dataset of the source; nothing is stored.

        Args:
            weights: File of the weights.
            target: The source, or a member of the union that it is.
        """
        from fer_bench.methods.weights import state_hash
        from fer_bench.runs.training.checkpoints import load_weights

        method = load_weights(weights)
        checkpoint = state_hash(method.state_dict())
        found = self._predict(method, target, "peek", checkpoint, None)
        self._keep(target, checkpoint, found)
        assert found.score is not None
        return found.score.uar

    def _keep(self, target: str, checkpoint: str, found: Evaluation) -> None:
        """Keep predictions of test rows, and forget the oldest when they become too many."""
        self._known[target, checkpoint] = found.predictions.frame
        sizes = {name: int(frame.memory_usage().sum()) for name, frame in self._known.items()}
        while len(sizes) > 1 and sum(sizes.values()) > MOST_KEPT:
            oldest = next(iter(sizes))
            del sizes[oldest], self._known[oldest]

    def _predict(
        self, method: Any, target: str, selection: Selection, checkpoint: str, group: Group | None
    ) -> Evaluation:
        """Predict and score the rows of a target, unless the same weights have predicted them before."""
        from fer_bench.runs.evaluate import predict_and_score

        name = self.config.dataset if target == "val" else target
        source = self.workspace.source(name)
        pack = self.workspace.pack(name, method.input_spec(method.settings).size)
        protocol, rows = self._rows(source, target, with_affect=method.predicts_affect)
        return predict_and_score(
            method,
            source,
            pack,
            rows,
            key=self.planned.key,
            trained_on=self.config.dataset,
            target=target,
            protocol=protocol.name,
            selection=selection,
            checkpoint=checkpoint,
            device=self.config.device,
            group=group,
            on_batch=self.tick,
            weights=self.run.checkpoints / f"{selection}.pt",
            known=self._known.get((target, checkpoint)),
            clock=self.clock,
        )

    def _method(self, checkpoint: str, selection: Selection) -> Any:
        """Return the method with the weights of a checkpoint, loaded once."""
        from fer_bench.runs.training.checkpoints import load_weights

        if checkpoint not in self._methods:
            file = self.run.checkpoints / f"{selection}.pt"
            self._methods[checkpoint] = load_weights(file, expected=checkpoint)
        return self._methods[checkpoint]

    def _rows(self, source: Source, target: str, *, with_affect: bool) -> tuple[Protocol, NDArray[np.int64]]:
        """Return the protocol and the index positions of the rows to predict."""
        index, card = source.dataset.index, source.dataset.card
        if target == "val":
            validation = source.dataset.roles(self.protocol, self.config.fold) == "val"
            return self.protocol, np.flatnonzero(validation & in_label_set(index, self.protocol))
        return evaluation_rows(
            index,
            card,
            self.protocol if target in members_of(self.config.dataset) else None,
            fold=self.config.fold,
            quick=self.config.profile == "quick",
            with_affect=with_affect,
        )
