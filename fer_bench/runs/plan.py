"""From what the user asked for to runs with keys: settings resolved, data found, nothing trained yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fer_bench import methods
from fer_bench.config import (
    PROFILES,
    Device,
    Precision,
    ProfileName,
    ResolvedPrecision,
    RunConfig,
    apply_overrides,
    build,
)
from fer_bench.data.protocols import find_protocol, folds_of
from fer_bench.datasets import source_name
from fer_bench.errors import UsageError, nearest
from fer_bench.files import short_hash
from fer_bench.runs.keys import key_fields
from fer_bench.workspace.sources import DataKind
from fer_bench.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fer_bench.config import MethodSettings
    from fer_bench.data.card import Card


@dataclass(frozen=True)
class PlannedRun:
    """A run that is ready to start.

    Attributes:
        config: Resolved settings.
        key: Hash of `key_fields`.
        key_fields: Everything that can change the trained weights or the rows.
        missing: Targets that were asked for and are absent, with the reason.
        data_kind: Whether the source's faces are `real` or `synthetic`.
    """

    config: RunConfig
    key: str
    key_fields: dict[str, Any]
    missing: dict[str, str]
    data_kind: DataKind

    @property
    def name(self) -> str:
        """Return a short readable name."""
        c = self.config
        return f"{c.method} on {c.dataset} ({c.protocol}, fold {c.fold}, seed {c.seed})"


def default_profile(kind: DataKind) -> ProfileName:
    """Return the profile used when none is asked for: `quick` for synthetic data, `paper` for real."""
    return "quick" if kind == "synthetic" else "paper"


def resolve_precision(wanted: Precision, device: str) -> ResolvedPrecision:
    """Return the precision a run uses: `auto` is bf16 on GPUs that have it, else 32.

    Raises:
        UsageError: The device cannot compute in it.
    """
    if device != "cuda":
        if wanted == "16-mixed":
            raise UsageError(
                "float16 needs a GPU", value="--precision 16-mixed", hint="--precision bf16-mixed, or 32"
            )
        return "32" if wanted == "auto" else wanted
    if wanted in ("32", "16-mixed"):
        return wanted
    import torch

    if not torch.cuda.is_available():  # planned here, run on other machines
        if wanted == "auto":
            raise UsageError(
                "this machine has no GPU that could tell what those of the runs can compute in",
                value="--precision auto",
                hint="--precision bf16-mixed where they have bfloat16, else 16-mixed or 32",
            )
        return wanted
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return "bf16-mixed" if has_bf16 else "32"
    if not has_bf16:
        raise UsageError(
            "this GPU has no bfloat16", value=f"--precision {wanted}", hint="--precision 16-mixed, or 32"
        )
    return wanted


def resolve_device(wanted: Device, *, elsewhere: bool = False) -> str:
    """Return `cpu` or `cuda`.

    Args:
        wanted: What was asked for.
        elsewhere: Whether runs go to other machines, which may have GPUs where this one has none.

    Raises:
        UsageError: CUDA was asked for and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available() or (elsewhere and wanted == "cuda"):
        return "cuda"
    if wanted == "cuda":
        raise UsageError("no CUDA device is available", value="--device cuda", hint="fer-bench doctor")
    return "cpu"


def resolve_settings(
    method: str, profile: str, overrides: Sequence[str] = (), max_epochs: int | None = None
) -> tuple[MethodSettings, Any]:
    """Return a method's settings and the training settings: defaults, then profile, then overrides.

    Raises:
        UsageError: Unknown method, profile or setting, or a value out of range.
    """
    kind = methods.get(method)
    if profile not in PROFILES or profile not in kind.profiles:
        raise UsageError("unknown profile", value=profile, hint=nearest(profile, kind.profiles))
    chosen = kind.profiles[profile]
    settings = build(kind.settings_type, chosen.method, f"profile {profile} of {method}")
    settings, train = apply_overrides(overrides, method=settings, train=chosen.train)
    if max_epochs is not None:
        settings, train = apply_overrides([f"train.max_epochs={max_epochs}"], method=settings, train=train)
    return settings, kind.resolve_train(settings, train)


def folds_to_run(
    card: Card, protocol: str | None, profile: str, fold: int | str | None
) -> tuple[str, tuple[int, ...]]:
    """Return the protocol name and the folds to run.

    Args:
        card: Of the dataset.
        protocol: Protocol name or None for the profile's.
        profile: Profile name.
        fold: A fold number, `all`, or None for the profile's default (`quick`: fold 1; else all).

    Raises:
        UsageError: Unknown protocol or fold.
    """
    chosen = find_protocol(card, protocol, quick=profile == "quick")
    known = folds_of(chosen)
    if fold is None:
        return chosen.name, known[:1] if profile == "quick" else known
    if fold == "all":
        return chosen.name, known
    if not str(fold).isdecimal() or int(fold) not in known:
        raise UsageError(
            f"{card.name}/{chosen.name} has no such fold",
            value=fold,
            hint=f"1 to {len(known)}, or all",
        )
    return chosen.name, (int(fold),)


def plan_run(
    workspace: Workspace,
    *,
    method: str,
    dataset: str,
    protocol: str,
    fold: int,
    seed: int,
    profile: ProfileName,
    overrides: Sequence[str] = (),
    max_epochs: int | None = None,
    targets: Sequence[str] | str = "all",
    device: str = "cpu",
    precision: Precision = "auto",
    tf32: bool = False,
    compile: bool = False,
    devices: int = 1,
    nodes: int = 1,
    keep_checkpoints: bool = False,
) -> PlannedRun:
    """Resolve one run and compute its key; packs the source's pictures when that has not been done.

    Raises:
        UsageError: A name, setting or fold that does not exist, or fewer than two rows per process and step.
        DataError: The data are absent or damaged.
    """
    settings, train = workspace.once(
        ("settings", method, profile, tuple(overrides), max_epochs),
        lambda: resolve_settings(method, profile, overrides, max_epochs),
    )
    if train.batch_size < 2 * devices * nodes:
        raise UsageError(
            f"{devices * nodes} processes need at least {2 * devices * nodes} rows per step",
            value=train.batch_size,
            hint=f"--set train.batch_size={2 * devices * nodes}, or fewer devices",
        )
    dataset = source_name(dataset)
    wanted = targets if isinstance(targets, str) else tuple(targets)
    known, missing = workspace.once(("targets", wanted, dataset), lambda: workspace.targets(wanted, dataset))
    config = RunConfig(
        method=method,
        dataset=dataset,
        protocol=protocol,
        fold=fold,
        seed=seed,
        profile=profile,
        method_settings=settings.model_dump(mode="json"),
        train=train,
        targets=tuple(known),
        precision=resolve_precision(precision, device),
        tf32=tf32,
        compile=compile,
        device="cuda" if device == "cuda" else "cpu",
        devices=devices,
        nodes=nodes,
        keep_checkpoints=keep_checkpoints,
    )
    return plan_config(workspace, config, missing)


def plan_config(workspace: Workspace, config: RunConfig, missing: dict[str, str]) -> PlannedRun:
    """Return a run with resolved settings as one that is ready to start.

    Args:
        workspace: Datasets and packs.
        config: The settings.
        missing: Targets that were asked for and are absent, with the reason.

    Raises:
        UsageError: A name, setting or fold that does not exist.
        DataError: The data are absent or damaged.
    """
    fields = key_fields(config, workspace)
    kind = workspace.source(config.dataset).kind
    return PlannedRun(config, short_hash(fields), fields, missing, kind)
