"""Turn a sweep into runs with keys: settings are resolved and data are found, nothing is trained yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from fer_bench import methods
from fer_bench.config import RunConfig, SweepConfig, TrainSettings
from fer_bench.datasets import MAIN_SEVEN, source_name
from fer_bench.errors import DataError, UsageError
from fer_bench.files import short_hash, spelled
from fer_bench.results.record import method_with
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.keys import key_fields
from fer_bench.runs.resolve import (
    changed_settings,
    input_spec,
    resolve_device,
    resolve_fields,
    resolve_folds,
    resolve_portable,
    resolve_precision,
    resolve_profile,
)
from fer_bench.runs.start import open_start, start_changes, start_field, start_of, start_settings
from fer_bench.runs.sweepfile import Change, parse_grid
from fer_bench.workspace.sources import DataKind
from fer_bench.workspace.unions import available_sources
from fer_bench.workspace.workspace import Workspace

UNUSABLE = "cannot be used"
"""How the reason begins where data are present but damaged."""


@dataclass(frozen=True)
class PlannedRun:
    """A run that is ready to start.

    Attributes:
        config: Resolved settings.
        key: Hash of `key_fields`.
        key_fields: Everything that can change the trained weights or the rows.
        missing: Targets that were asked for and are absent, with the reason.
        data_kind: Whether the source's faces are `real` or `synthetic`.
        changed: Settings that differ from the profile's, and chosen crops; by name, as text.
        shared: Settings that are the profile's while other runs of the sweep and method change them.
    """

    config: RunConfig
    key: str
    key_fields: dict[str, Any]
    missing: dict[str, str]
    data_kind: DataKind
    changed: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return a readable name, in which runs of one sweep or profile differ."""
        c = self.config
        method = method_with(c.method, dict(sorted({**self.changed, **self.shared}.items())))
        return f"{method} on {c.dataset} ({c.protocol}, fold {c.fold}, seed {c.seed})"

    def folder(self, store: Store) -> RunDir:
        """Return the run's folder in a store."""
        return store.run_dir(self.config.method, self.config.dataset, self.key)


def plan_sweep(
    sweep: SweepConfig, workspace: Workspace, *, elsewhere: bool = False
) -> tuple[list[PlannedRun], dict[str, str]]:
    """Return the runs of a sweep in the order in which to run them, and why sources are absent.

    The cheapest information comes first: one seed of every method, dataset and fold before the second seed
    of any. Sources are packed to compute keys. A source that is absent or damaged does not keep the others
    from running; where it is the only one, its error is raised.

    Args:
        sweep: What to run.
        workspace: Datasets and packs.
        elsewhere: Whether runs go to other machines, see `resolve_device`.

    Raises:
        UsageError: A name, protocol, fold or setting that does not exist, or fewer than two rows per process
            and step.
        DataError: No source can be used.
    """
    for method, change in _variants(sweep):  # before data are drawn or packed
        _settings(sweep, method, sweep.profile or "quick", change)
    wanted = MAIN_SEVEN if sweep.datasets == "all" else tuple(dict.fromkeys(map(source_name, sweep.datasets)))
    protocols = {source_name(source): protocol for source, protocol in sweep.protocols.items()}
    sweep = sweep.model_copy(update={"protocols": protocols})
    found, missing = available_sources(wanted, workspace.roots)
    if not found:
        if len(wanted) == 1:
            workspace.source(wanted[0])
        raise DataError(
            f"none of the sweep's datasets was found ({workspace.roots.origin})", hint="fer-bench doctor"
        )
    device = resolve_device(sweep.device, elsewhere=elsewhere)
    runs: dict[str, PlannedRun] = {}
    for seed in sweep.seeds:
        for source in found:
            if source in missing:
                continue
            try:
                planned = [
                    plan_run(*each, workspace)
                    for each in _configs(sweep, workspace, source, seed, device, elsewhere=elsewhere)
                ]
            except DataError as error:
                if len(wanted) == 1:
                    raise
                missing[source] = f"{UNUSABLE}: {error}"
            else:
                runs |= {run.key: run for run in planned}
    return list(_name_grids(runs.values())), missing


def _configs(
    sweep: SweepConfig, workspace: Workspace, source: str, seed: int, device: str, *, elsewhere: bool
) -> Iterator[tuple[RunConfig, dict[str, str]]]:
    """Yield the settings of each run of one source and seed, with the targets that are absent and why."""
    opened = workspace.source(source)
    profile = resolve_profile(sweep, opened.kind)
    protocol, folds = resolve_folds(sweep, source, opened.dataset.card, profile)
    targets, missing = workspace.once(
        ("targets", sweep.targets, source), partial(workspace.targets, sweep.targets, source)
    )
    precision = resolve_precision(sweep.precision, device)
    portable = resolve_portable(
        sweep.portable,
        profile=profile,
        device=device,
        precision=precision,
        compiled=sweep.compile,
        elsewhere=elsewhere,
    )
    for method, change in _variants(sweep):
        start = None if sweep.init is None else (sweep.init, open_start(sweep.init).weights)
        settings, train = workspace.once(
            ("settings", start, method, profile, change), partial(_settings, sweep, method, profile, change)
        )
        processes = sweep.devices * sweep.nodes
        if train.batch_size < 2 * processes:
            raise UsageError(
                f"{processes} processes need at least {2 * processes} rows per step",
                value=train.batch_size,
                hint=f"--set train.batch_size={2 * processes}, or fewer devices",
            )
        if sweep.track_peek and processes > 1:
            raise UsageError(
                "a run on several processes cannot predict its test rows while it trains",
                value="--track-peek",
                hint="one device, or no --track-peek",
            )
        for fold in folds:
            config = RunConfig(
                method=method,
                dataset=source,
                protocol=protocol,
                fold=fold,
                seed=seed,
                profile=profile,
                method_settings=settings,
                train=train,
                targets=tuple(targets),
                precision=precision,
                tf32=sweep.tf32,
                compile=sweep.compile,
                portable=portable,
                device="cuda" if device == "cuda" else "cpu",
                devices=sweep.devices,
                nodes=sweep.nodes,
                keep_checkpoints=sweep.keep_checkpoints,
                track_peek=sweep.track_peek,
                init=None if sweep.init is None else start_field(open_start(sweep.init)),
            )
            yield config, missing


def _settings(
    sweep: SweepConfig, method: str, profile: str, change: Change
) -> tuple[dict[str, Any], TrainSettings]:
    """Return the settings of a run: those of its profile, or of the checkpoint that it starts from."""
    if sweep.init is None:
        return resolve_fields(method, profile, change)
    start = open_start(sweep.init)
    if start.method != method:
        raise UsageError(
            f"the checkpoint is of {start.method}, and a run of another method cannot start from it",
            value=method,
            hint=f"--method {start.method}, or none: --init names the method",
        )
    settings, train = start_settings(start, change)
    return settings.model_dump(mode="json"), train


def _variants(sweep: SweepConfig) -> Iterator[tuple[str, Change]]:
    """Yield each method with each combination of overrides that the sweep asks for."""
    for method, grid in map(parse_grid, methods.names() if sweep.methods == "all" else sweep.methods):
        for combination in grid:
            for variant in sweep.variants.values() or [()]:
                yield method, (*sweep.set, *variant, *combination)


def plan_run(config: RunConfig, missing: dict[str, str], workspace: Workspace) -> PlannedRun:
    """Return a run with resolved settings, ready to start; packs the source's pictures if necessary.

    Args:
        config: The settings.
        missing: Targets that were asked for and are absent, with the reason.
        workspace: Datasets and packs.

    Raises:
        UsageError: A name, setting or fold that does not exist.
        DataError: The data are absent or damaged.
    """
    fields = key_fields(config, workspace)
    kind = workspace.source(config.dataset).kind
    crops = {f"crop.{name}": text for name, text in workspace.crops.key.items()}
    start = start_of(config)
    changed = changed_settings(config) if start is None else start_changes(start, config)
    return PlannedRun(config, short_hash(fields), fields, missing, kind, changed | crops)


def _name_grids(runs: Iterable[PlannedRun]) -> Iterator[PlannedRun]:
    """Yield runs that all name the settings in which those of their method differ, also the usual ones."""
    runs = list(runs)
    names: dict[str, set[str]] = {}
    for run in runs:
        names.setdefault(run.config.method, set()).update(run.changed)
    for run in runs:
        if absent := names[run.config.method] - run.changed.keys():
            own = spelled({**run.config.method_settings, "train": run.config.train.model_dump(mode="json")})
            run = replace(run, shared={name: own[name] for name in absent if name in own})
        yield run


def prepare_targets(
    runs: Sequence[PlannedRun], workspace: Workspace, *, skip_damaged: bool = False
) -> list[PlannedRun]:
    """Open and pack every target of the runs once, before processes share the work.

    Args:
        runs: The runs.
        workspace: Datasets and packs.
        skip_damaged: Turn a damaged target into a missing one, with the reason, instead of raising.

    Returns:
        The runs, without the targets that were skipped.

    Raises:
        DataError: A target is damaged.
    """
    damaged: dict[str, str] = {}
    ready: list[PlannedRun] = []
    for run in runs:
        size = input_spec(run.config).size
        for target in run.config.targets:
            try:
                if target not in damaged:
                    workspace.pack(target, size)
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
