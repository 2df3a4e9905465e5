"""Score the checkpoint that a run starts from on the run's test rows, beside what training made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fer_bench.evaluation.before_after import compare
from fer_bench.results.predictions import Predictions, read_predictions, write_predictions
from fer_bench.results.record import START, Record
from fer_bench.results.scores import BeforeAfter
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.start import start_of
from fer_bench.workspace.workspace import Workspace


def score_start(
    planned: PlannedRun,
    record: Record,
    run: RunDir,
    workspace: Workspace,
    *,
    targets: Sequence[str],
    tick: Callable[..., None],
) -> tuple[BeforeAfter, ...]:
    """Predict a run's test rows with the checkpoint that it started from, and compare.

    The predictions are stored beside the run's own, as `<target>@start.parquet`.

    Args:
        planned: The run.
        record: Its record, with its selections.
        run: Its folder, which holds its predictions.
        workspace: Datasets and packs.
        targets: The run's dataset, or the members of its union.
        tick: Called after every batch.

    Returns:
        One comparison per target; none where the run started from no checkpoint.
    """
    start = start_of(planned.config)
    if start is None:
        return ()
    from fer_bench.runs.evaluate import predict
    from fer_bench.runs.training.checkpoints import load_weights

    method = load_weights(start.file, expected=start.weights)
    found = []
    for target in targets:
        after = read_predictions(run.predictions_file(target, record.headline))
        dataset = workspace.source(target).dataset
        pack = workspace.pack(target, method.input_spec(method.settings).size)
        place = {name: at for at, name in enumerate(dataset.index["sample_id"])}
        rows = np.array([place[name] for name in after.frame["sample_id"]], np.int64)
        frame = predict(method, dataset, pack, rows, device=planned.config.device, on_batch=tick)
        meta = after.meta.model_copy(
            update={
                "method": start.method,
                "source": start.source,
                "selection": "last",
                "checkpoint": start.weights,
                "classes": start.classes,
                "pixels": pack.pixel_hash,
                "recipe": pack.recipe.text,
            }
        )
        before = Predictions(frame, meta)
        write_predictions(run.predictions_file(target, START), before)
        about = BeforeAfter(
            target=target,
            method=start.method,
            weights=start.weights,
            trained_on=start.trained_on,
            classes=start.classes,
            unit=dataset.card.unit,
        )
        found.append(_compared(about, before, after))
    return tuple(found)


def pool_folds(store: Store, records: Sequence[Record]) -> list[BeforeAfter]:
    """Return what training added over all folds of a dataset: every row once, by the model of its fold.

    Args:
        store: Where the runs are.
        records: Runs of one method and source that started from the same checkpoint.

    Returns:
        One comparison per seed with several finished folds, and per target.

    Raises:
        StoreError: Predictions are absent or damaged.
    """
    found = []
    done = [record for record in records if record.status == "done" and record.start]
    for seed in sorted({record.seed for record in done}):
        folds = [record for record in done if record.seed == seed]
        if len(folds) < 2:
            continue
        runs = [store.run_dir(one.method, one.dataset, one.key) for one in folds]
        for at, first in enumerate(folds[0].start):
            sides = []
            for which in (START, folds[0].headline):
                parts = [read_predictions(run.predictions_file(first.target, which)) for run in runs]
                frame = pd.concat([part.frame for part in parts], ignore_index=True)
                sides.append(Predictions(frame, parts[0].meta))
            assert all(one.start[at].weights == first.weights for one in folds)
            found.append(_compared(first, *sides))
    return found


def _compared(like: BeforeAfter, before: Predictions, after: Predictions) -> BeforeAfter:
    """Return a comparison of predictions of the same rows, with what else is known of the checkpoint."""
    compared = compare(before, after)
    return like.model_copy(
        update={
            "label_set": compared.label_set,
            "n": 0 if compared.after is None else compared.after.n,
            "units": 0 if compared.after is None else compared.after.units,
            "changes": {name: metric.change for name, metric in compared.metrics.items()},
        }
    )
