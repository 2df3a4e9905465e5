"""Sweeps: a file of methods x datasets x folds x seeds becomes an ordered list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fer_bench import methods
from fer_bench.config import Precision, SweepConfig, build
from fer_bench.datasets import MAIN_SEVEN
from fer_bench.errors import DataError
from fer_bench.runs.plan import PlannedRun, default_profile, folds_to_run, plan_run
from fer_bench.runs.sweepfile import parse_grid, read_sweep
from fer_bench.workspace.unions import available_sources
from fer_bench.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fer_bench.data.card import Card

__all__ = ["UNUSABLE", "expand", "folds_asked", "prepare_targets", "read_sweep"]

UNUSABLE = "cannot be used"
"""How the reason begins where data are there but damaged."""


def expand(
    sweep: SweepConfig,
    workspace: Workspace,
    *,
    device: str = "cpu",
    precision: Precision | None = None,
    keep_checkpoints: bool = False,
) -> tuple[list[PlannedRun], dict[str, str]]:
    """Return the runs of a sweep in the order they shall run, and why sources are absent.

    The cheapest information comes first: one seed of every method, dataset and fold before the second seed
    of any.

    Args:
        sweep: What to run. Where it does not set a profile, each source's kind of data decides.
        workspace: Datasets and packs; sources are packed to compute keys.
        device: `cpu` or `cuda`.
        precision: Wanted precision, instead of the sweep's.
        keep_checkpoints: As of `RunConfig`.

    Raises:
        UsageError: A name, protocol, fold or setting that does not exist.
        DataError: No source at all.
    """
    wanted = MAIN_SEVEN if sweep.datasets == "all" else sweep.datasets
    found, missing = available_sources(wanted, workspace.roots)
    if not found:
        raise DataError(
            f"none of the sweep's datasets is there ({workspace.roots.origin})", hint="fer-bench doctor"
        )
    runs: list[PlannedRun] = []
    for seed in sweep.seeds:
        for dataset in found:
            if dataset in missing:
                continue
            try:
                runs += _runs_of(
                    sweep, workspace, dataset, seed, device, precision or sweep.precision, keep_checkpoints
                )
            except DataError as error:  # one damaged dataset does not keep the others from running
                missing[dataset] = f"{UNUSABLE}: {error}"
    return list({run.key: run for run in runs}.values()), missing


def _runs_of(
    sweep: SweepConfig,
    workspace: Workspace,
    dataset: str,
    seed: int,
    device: str,
    precision: Precision,
    keep_checkpoints: bool,
) -> list[PlannedRun]:
    """Return the runs of one source and seed."""
    source = workspace.source(dataset)
    profile = sweep.profile if "profile" in sweep.model_fields_set else default_profile(source.kind)
    return [
        plan_run(
            workspace,
            method=method,
            dataset=dataset,
            protocol=protocol,
            fold=fold,
            seed=seed,
            profile=profile,
            overrides=(*sweep.set, *change, *combination),
            targets=sweep.targets,
            device=device,
            precision=precision,
            tf32=sweep.tf32,
            compile=sweep.compile,
            devices=sweep.devices,
            nodes=sweep.nodes,
            keep_checkpoints=keep_checkpoints,
        )
        for method, grid in map(parse_grid, methods.names() if sweep.methods == "all" else sweep.methods)
        for combination in grid
        for change in sweep.variants.values() or [()]
        for protocol, fold in folds_asked(sweep, dataset, source.dataset.card, profile)
    ]


def folds_asked(sweep: SweepConfig, dataset: str, card: Card, profile: str) -> list[tuple[str, int]]:
    """Return protocol and number of every fold that a sweep asks for of one source.

    Args:
        sweep: The sweep.
        dataset: The source, as the sweep calls it.
        card: Of the source.
        profile: Profile name.

    Raises:
        UsageError: Unknown protocol or fold.
    """
    wanted: Sequence[int | str | None] = (
        sweep.folds if isinstance(sweep.folds, tuple) else [None if sweep.folds == "default" else "all"]
    )
    found = (folds_to_run(card, sweep.protocols.get(dataset), profile, fold) for fold in wanted)
    return [(protocol, fold) for protocol, folds in found for fold in folds]


def prepare_targets(
    runs: list[PlannedRun], workspace: Workspace, *, skip_damaged: bool = False
) -> list[PlannedRun]:
    """Open and pack every target of the runs once, before processes share the work.

    Args:
        runs: The runs.
        workspace: Datasets and packs.
        skip_damaged: Turn a damaged target into a missing one, with the reason, instead of refusing.

    Returns:
        The runs, without the targets that were skipped.

    Raises:
        DataError: A target that is there but damaged.
    """
    damaged: dict[str, str] = {}
    ready: list[PlannedRun] = []
    for run in runs:
        kind = methods.get(run.config.method)
        settings = build(kind.settings_type, run.config.method_settings, "settings")
        for target in run.config.targets:
            try:
                if target not in damaged:
                    workspace.pack(target, kind.input_spec(settings).size)
            except DataError as error:
                if not skip_damaged:
                    raise
                damaged[target] = f"{UNUSABLE}: {error.message}"
        lost = {target: damaged[target] for target in run.config.targets if target in damaged}
        config = run.config.model_copy(
            update={"targets": tuple(t for t in run.config.targets if t not in damaged)}
        )
        ready.append(replace(run, config=config, missing={**run.missing, **lost}) if lost else run)
    return ready
