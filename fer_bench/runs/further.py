"""Test a finished run on further targets without the data that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fer_bench import arithmetic
from fer_bench.data.protocols import evaluation_rows
from fer_bench.datasets import members_of
from fer_bench.errors import DataError, StoreError
from fer_bench.evaluation.subsets import score_subsets
from fer_bench.results.predictions import write_predictions
from fer_bench.results.record import Record
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.assessment import Evaluation
from fer_bench.runs.completeness import has_current
from fer_bench.runs.facts import describe_checkpoints
from fer_bench.runs.records import with_target_warnings
from fer_bench.runs.supervision import claimed
from fer_bench.workspace.workspace import Announce, Workspace


def score_further(
    store: Store,
    run: RunDir,
    names: Sequence[str],
    workspace: Workspace,
    *,
    device: str = "cpu",
    announce: Announce | None = None,
) -> Record:
    """Test the checkpoint of a finished run on further targets, and add them to its record.

    They are stored as `run --targets` stores them; what is stored and current is not predicted again.

    Args:
        store: The run store.
        run: The run's folder.
        names: Datasets that the run was not trained on.
        workspace: These datasets.
        device: `cpu` or `cuda`.
        announce: Called with a label, rows done and total rows.

    Returns:
        The record as it is stored.

    Raises:
        DataError: A target is absent or damaged, or has no row of a class that the model knows.
        StoreError: The run is not finished, its checkpoint is absent, the store cannot be written, or another
            process works on the run.
    """
    record = _finished(run)
    found: dict[str, Evaluation] = {}
    for name in names:
        if name in members_of(record.dataset):
            raise DataError("the run was trained on this dataset", value=name)
        evaluation = _test(run, record, name, workspace, device, announce)
        if evaluation is not None:
            found[name] = evaluation
    if not found:
        return record
    store.check_writable()
    with claimed(run, "run"):
        merged = _added(_finished(run), found, workspace)
        for name, one in found.items():
            write_predictions(run.predictions_file(name, record.headline), one.predictions)
            store.keep_index(one.data.fingerprint, workspace.source(name).dataset.index)
        merged = merged.model_copy(update={"subsets": score_subsets(store, merged)})
        run.write_record(merged)
        describe_checkpoints(run, merged)
        return merged


def _finished(run: RunDir) -> Record:
    record = run.read_record()
    if record is None or record.status != "done":
        raise StoreError(
            f"the run is {'not stored' if record is None else record.status}",
            file=run.path,
            hint="the command that began it finishes it",
        )
    return record


def _test(
    run: RunDir, record: Record, name: str, workspace: Workspace, device: str, announce: Announce | None
) -> Evaluation | None:
    """Return what the run's checkpoint does on a target; None where that is stored."""
    from fer_bench.methods import get
    from fer_bench.runs.evaluate import predict_and_score
    from fer_bench.runs.training.checkpoints import load_weights

    kind = get(record.method)
    size = kind.input_spec(kind.build_settings(record.settings["method"])).size
    source, pack = workspace.source(name), workspace.pack(name, size)
    if has_current(record, run, name, source, pack):
        return None
    if record.settings.get("portable") and device == "cpu":
        arithmetic.use(portable=True)  # as its other targets, where this machine can
    file = run.checkpoints / f"{record.headline}.pt"
    method = load_weights(file, expected=record.checkpoint)
    protocol, rows = evaluation_rows(
        source.dataset.index, source.dataset.card, None, quick=record.profile == "quick"
    )
    from fer_bench.data.loading.datamodule import EVAL_BATCH

    done = 0

    def count() -> None:
        nonlocal done
        done = min(done + EVAL_BATCH, len(rows))
        if announce is not None:
            announce(f"testing on {name}", done, len(rows))

    assert record.checkpoint is not None
    return predict_and_score(
        method,
        source,
        pack,
        rows,
        key=record.key,
        trained_on=record.dataset,
        target=name,
        protocol=protocol.name,
        selection=record.headline,
        checkpoint=record.checkpoint,
        device=device,
        on_batch=count,
    )


def _added(record: Record, found: Mapping[str, Evaluation], workspace: Workspace) -> Record:
    """Return a record with the scores of further targets."""
    scores = {(score.target, score.selection): score for score in record.scores}
    data, excluded = dict(record.targets), dict(record.excluded)
    for name, one in found.items():
        assert one.score is not None
        scores[name, one.score.selection], data[name] = one.score, one.data
        excluded.pop(name, None)
        excluded |= workspace.excluded((name,))
    return record.model_copy(
        update={
            "scores": tuple(scores[name] for name in sorted(scores)),
            "targets": dict(sorted(data.items())),
            "warnings": with_target_warnings(record, data),
            "missing": {name: why for name, why in record.missing.items() if name not in found},
            "excluded": dict(sorted(excluded.items())),
            "class_map": record.class_map | workspace.class_map(found),
        }
    )
