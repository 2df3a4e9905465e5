"""Resolve what the user asked for: profile, precision, device, settings and folds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench import arithmetic, methods
from fer_bench.config import (
    Device,
    InputSpec,
    Precision,
    ProfileName,
    ResolvedPrecision,
    SweepConfig,
    TrainSettings,
    apply_overrides,
)
from fer_bench.data.protocols import find_protocol, folds_of
from fer_bench.errors import UsageError
from fer_bench.files import spelled
from fer_bench.methods.faults import faults_named
from fer_bench.provenance.answers import kept
from fer_bench.runs.asked import ask
from fer_bench.runs.environment import may_have_gpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fer_bench.config import MethodSettings, RunConfig
    from fer_bench.data.card import Card
    from fer_bench.workspace.sources import DataKind


def resolve_profile(sweep: SweepConfig, kind: DataKind) -> ProfileName:
    """Return the profile of a sweep's runs."""
    return sweep.profile or default_profile(kind)


def default_profile(kind: DataKind) -> ProfileName:
    """Return the profile that nobody has to name: `quick` on synthetic data, `paper` on real data."""
    return "quick" if kind == "synthetic" else "paper"


def resolve_precision(wanted: Precision, device: str) -> ResolvedPrecision:
    """Return the precision a run uses: `auto` is bf16-mixed on GPUs that have it, else 32.

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
                "this machine has no GPU, so it cannot tell which precision the GPUs of the runs support",
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


def resolve_portable(
    wanted: bool | None,
    *,
    profile: str,
    device: str,
    precision: str,
    compiled: bool,
    elsewhere: bool = False,
) -> bool:
    """Return whether a run takes the portable arithmetic; takes it in this process where the run does.

    By default runs of the profile `quick` do, where they can and this process has not computed otherwise yet.

    Args:
        wanted: What was asked for, None for the default.
        profile: Profile name.
        device: `cpu` or `cuda`.
        precision: Resolved precision.
        compiled: Whether the network goes through `torch.compile`.
        elsewhere: Whether runs go to other machines.

    Raises:
        UsageError: It was asked for, and the run or this machine cannot.
    """
    obstacle = None
    if device != "cpu":
        obstacle = "portable arithmetic is that of CPUs", "--device cpu"
    elif precision != "32":
        obstacle = "portable arithmetic is that of float32", "--precision 32"
    elif compiled:
        obstacle = "code that torch.compile makes depends on the machine", "--no-compile"
    elif not (elsewhere and wanted) and not arithmetic.can_be_portable():
        obstacle = "portable arithmetic needs Linux on x86-64 with AVX2", "fer-bench doctor"
    if wanted and obstacle is not None:
        raise UsageError(obstacle[0], value="--portable", hint=obstacle[1])
    if obstacle is not None or wanted is False or (wanted is None and profile != "quick"):
        return False
    chosen = elsewhere or _choose_portable()
    return bool(wanted) or chosen


def _choose_portable() -> bool:
    """Take the portable choice in this process; return whether it was still free, or taken already."""
    chosen = arithmetic.choose_portable() if "torch" in sys.modules else None
    os.environ.update(arithmetic.PORTABLE)  # torch reads them when it is imported
    usual = kept("portable", arithmetic.processor_level(), arithmetic.choose_portable, keeps=bool)
    return usual if chosen is None else chosen


def resolve_device(wanted: Device, *, elsewhere: bool = False) -> str:
    """Return `cpu` or `cuda`.

    Args:
        wanted: What was asked for.
        elsewhere: Whether runs go to other machines, which may have GPUs where this one has none.

    Raises:
        UsageError: CUDA was asked for and is not available.
    """
    if wanted == "cpu" or (wanted == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available() or (elsewhere and wanted == "cuda"):
        return "cuda"
    if wanted == "cuda":
        raise UsageError("no CUDA device is available", value="--device cuda", hint="fer-bench doctor")
    return "cpu"


def resolve_settings(
    method: str, profile: str, overrides: Sequence[str] = ()
) -> tuple[MethodSettings, TrainSettings]:
    """Return a method's settings and the training settings: defaults, then profile, then overrides.

    Raises:
        UsageError: Unknown method, profile or setting, or a value out of range.
    """
    kind = methods.get(method)
    with faults_named(method):
        settings, train = kind.profile(profile)
        settings, train = apply_overrides(overrides, method=settings, train=train)
        return settings, kind.resolve_train(settings, train)


def resolve_fields(
    method: str, profile: str, overrides: Sequence[str] = ()
) -> tuple[dict[str, Any], TrainSettings]:
    """Return what `resolve_settings` does, the method's settings as plain values by name."""

    def answer() -> dict[str, Any]:
        settings, train = resolve_settings(method, profile, overrides)
        return {"method": settings.model_dump(mode="json"), "train": train.model_dump(mode="json")}

    found = ask(method, "settings", [profile, list(overrides)], answer)
    return found["method"], TrainSettings.model_validate(found["train"])


def method_settings(config: RunConfig) -> MethodSettings:
    """Return the method settings of a run, typed.

    Raises:
        UsageError: Settings that the method does not have.
    """
    with faults_named(config.method):
        settings: MethodSettings = methods.get(config.method).build_settings(config.method_settings)
        return settings


def changed_settings(config: RunConfig) -> dict[str, str]:
    """Return the settings that differ from those of the profile, by the name that a grid gives them.

    What the method derives from other settings is not among them. Of a file of weights that is named by its
    whole path the name alone counts: a board is the same wherever the store is.

    Args:
        config: Resolved settings.
    """
    train_fields = config.train.model_dump(mode="json")

    def answer() -> dict[str, str]:
        kind, settings = methods.get(config.method), method_settings(config)
        with faults_named(config.method):
            plain, train = kind.profile(config.profile)
            usual = spelled_settings(plain, kind.resolve_train(settings, train))
        own = spelled_settings(settings, config.train)
        named = {name: Path(own[name]).name for name in kind.weight_settings if Path(own[name]).is_absolute()}
        return {name: named.get(name, text) for name, text in own.items() if usual.get(name) != text}

    return ask(config.method, "changed", [config.profile, config.method_settings, train_fields], answer)


def spelled_settings(settings: MethodSettings, train: TrainSettings) -> dict[str, str]:
    """Return all settings by the name that a grid gives them: `lr`, `train.batch_size`."""
    return spelled({**settings.model_dump(mode="json"), "train": train.model_dump(mode="json")})


def input_spec(config: RunConfig) -> InputSpec:
    """Return the size and normalisation of the pictures that a run's network takes.

    Raises:
        UsageError: Settings that the method does not have.
    """

    def answer() -> dict[str, Any]:
        settings = method_settings(config)
        with faults_named(config.method):
            return methods.get(config.method).input_spec(settings).model_dump(mode="json")

    return InputSpec.model_validate(ask(config.method, "input", config.method_settings, answer))


def resolve_folds(
    sweep: SweepConfig, source: str, card: Card, profile: ProfileName
) -> tuple[str, tuple[int, ...]]:
    """Return the protocol and the folds that a sweep asks for of one source.

    Args:
        sweep: The sweep. Its default folds are all of them, with `quick` the first one.
        source: The source, as the sweep names it.
        card: Its card.
        profile: Profile name.

    Raises:
        UsageError: Unknown protocol or fold.
    """
    quick = profile == "quick"
    protocol = find_protocol(card, sweep.protocols.get(source), quick=quick)
    known = folds_of(protocol)
    if sweep.folds == "all":
        return protocol.name, known
    if sweep.folds == "default":
        return protocol.name, known[:1] if quick else known
    for fold in sweep.folds:
        if fold not in known:
            hint = f"1 to {len(known)}, or all"
            raise UsageError(f"no such fold of {card.name}/{protocol.name}", value=fold, hint=hint)
    return protocol.name, tuple(dict.fromkeys(sweep.folds))
