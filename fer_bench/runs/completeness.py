"""What of a run is there already: whether it is complete, and which targets' predictions are out of date."""

from __future__ import annotations

from collections.abc import Mapping

from fer_bench import methods
from fer_bench.config import build
from fer_bench.datasets import members_of
from fer_bench.errors import StoreError
from fer_bench.results.predictions import read_predictions
from fer_bench.results.record import Record, TargetData
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.keys import recipe_text
from fer_bench.runs.plan import PlannedRun
from fer_bench.workspace.workspace import Workspace


def is_complete(planned: PlannedRun, store: Store, workspace: Workspace) -> bool:
    """Return whether a run is done and has current predictions on everything it was asked for."""
    run = store.run_dir(planned.config.method, planned.config.dataset, planned.key)
    try:
        record = run.read_record()
    except StoreError:
        return False
    if record is None or record.status != "done":
        return False
    if still_missing(planned, record) != record.missing:
        return False
    return not stale_targets(planned, record, run, workspace)


def stale_targets(planned: PlannedRun, record: Record, run: RunDir, workspace: Workspace) -> set[str]:
    """Return which of the asked-for targets lack predictions that fit the checkpoint and today's data."""
    headline = record.headline
    kind = methods.get(planned.config.method)
    settings = build(kind.settings_type, planned.config.method_settings, "settings")
    spec = kind.input_spec(settings)
    stale: set[str] = set()
    for target in (*members_of(planned.config.dataset), *planned.config.targets):
        path = run.predictions_file(target, headline)
        known = record.targets.get(target)
        if known is None or not path.exists():
            stale.add(target)
            continue
        source = workspace.source(target)
        if known.recipe != recipe_text(source, spec) or known.card_version != source.dataset.card.version:
            stale.add(target)
            continue
        pack = workspace.pack(target, spec.size)
        if (known.fingerprint, known.pixels) != (pack.fingerprint, pack.pixel_hash):
            stale.add(target)
            continue
        try:
            meta = read_predictions(path).meta
        except StoreError:
            stale.add(target)
            continue
        if meta.checkpoint != record.selection[headline].checkpoint:
            stale.add(target)
    return stale


def still_missing(
    planned: PlannedRun, record: Record, evaluated: Mapping[str, TargetData] | None = None
) -> dict[str, str]:
    """Return the absent targets: those known before and those met now, less those that were evaluated."""
    there = {*(record.targets if evaluated is None else evaluated), *planned.config.targets}
    known = {**record.missing, **planned.missing}
    return {target: known[target] for target in sorted(known) if target not in there}
