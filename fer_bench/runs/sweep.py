"""Sweeps: a file of methods x datasets x folds x seeds becomes an ordered list of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fer_bench import methods
from fer_bench.config import Precision, SweepConfig, build
from fer_bench.datasets import MAIN_SEVEN, names
from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.runs.plan import PlannedRun, Workspace, folds_to_run, plan_run
from fer_bench.unions import available_sources, source_name


def read_sweep(path: Path) -> SweepConfig:
    """Read and validate a sweep file.

    Raises:
        UsageError: The file is absent, no YAML mapping, or has an unknown or invalid field.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            "there is no such sweep file", file=path, hint="examples: benchmarks/*.yaml"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the sweep file cannot be read: {error}", file=path) from None
    if not isinstance(content, dict):
        raise UsageError("a sweep file is a YAML mapping", file=path, value=content)
    sweep = build(SweepConfig, {"name": path.stem, **content}, str(path))
    for given, known, what in (
        (sweep.methods, methods.names(), "method"),
        (sweep.targets, names(), "target"),
    ):
        if not isinstance(given, str):
            for name in given:
                if name not in known:
                    raise UsageError(f"unknown {what}", file=path, value=name, hint=nearest(name, known))
    try:
        sources = sweep.datasets if isinstance(sweep.datasets, str) else _named(sweep.datasets)
        protocols = {source_name(name): protocol for name, protocol in sweep.protocols.items()}
    except UsageError as error:
        raise UsageError(error.message, file=path, value=error.value, hint=error.hint) from None
    return sweep.model_copy(update={"datasets": sources, "protocols": protocols})


def _named(sources: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(source_name, sources)))


def expand(
    sweep: SweepConfig, workspace: Workspace, *, device: str = "cpu", precision: Precision = "auto"
) -> tuple[list[PlannedRun], dict[str, str]]:
    """Return the runs of a sweep in the order they shall run, and why sources are absent.

    The cheapest information comes first: one seed of every method, dataset and fold before the second seed
    of any.

    Args:
        sweep: What to run.
        workspace: Datasets and packs; sources are packed to compute keys.
        device: `cpu` or `cuda`.
        precision: Wanted precision.

    Raises:
        UsageError: A name, protocol, fold or setting that does not exist.
        DataError: A source that is there but damaged, or no source at all.
    """
    wanted = MAIN_SEVEN if sweep.datasets == "all" else sweep.datasets
    found, missing = available_sources(wanted, workspace.roots)
    if not found:
        raise DataError(
            f"none of the sweep's datasets is there ({workspace.roots.origin})", hint="fer-bench doctor"
        )
    chosen = methods.names() if sweep.methods == "all" else sweep.methods
    runs: list[PlannedRun] = []
    for seed in sweep.seeds:
        for dataset in found:
            source = workspace.source(dataset)
            asked = sweep.folds
            folds: list[tuple[str, tuple[int, ...]]] = []
            if isinstance(asked, str):
                fold = None if asked == "default" else "all"
                folds.append(folds_to_run(source, sweep.protocols.get(dataset), sweep.profile, fold))
            else:
                folds += [folds_to_run(source, sweep.protocols.get(dataset), sweep.profile, n) for n in asked]
            for method in chosen:
                runs += [
                    plan_run(
                        workspace,
                        method=method,
                        dataset=dataset,
                        protocol=protocol,
                        fold=fold,
                        seed=seed,
                        profile=sweep.profile,
                        overrides=(*sweep.set, *change),
                        targets=sweep.targets,
                        device=device,
                        precision=precision,
                    )
                    for change in sweep.variants.values() or [()]
                    for protocol, numbers in folds
                    for fold in numbers
                ]
    return list({run.key: run for run in runs}.values()), missing


def prepare_targets(runs: list[PlannedRun], workspace: Workspace) -> None:
    """Open and pack every target of the runs once, before processes share the work.

    Raises:
        DataError: A target that is there but damaged.
    """
    for run in runs:
        kind = methods.get(run.config.method)
        settings = build(kind.settings_type, run.config.method_settings, "settings")
        for target in run.config.targets:
            workspace.pack(target, kind.input_spec(settings).size)
