"""What a run's key is made of: everything that can change the trained weights or the rows."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from typing import TYPE_CHECKING, Any

from fer_bench import methods
from fer_bench.config import RunConfig, build
from fer_bench.data.crops.recipe import recipe_for
from fer_bench.data.loading.label_fraction import hidden_rows
from fer_bench.data.loading.union import UnionDataset
from fer_bench.data.protocols import find_protocol, member_protocol
from fer_bench.errors import UsageError
from fer_bench.files import canonical
from fer_bench.provenance import closure, code_hash
from fer_bench.workspace.sources import Source

if TYPE_CHECKING:
    from fer_bench.config import InputSpec
    from fer_bench.runs.plan import PlannedRun
    from fer_bench.workspace.workspace import Workspace

KEY_VERSION = 2
TRAINING_CODE = ("fer_bench.runs.training.fit", "fer_bench.data.loading.datamodule")
"""Modules that, with what they need, decide the weights or the rows of every method."""
UNION_CODE = ("fer_bench.data.loading.union", "fer_bench.data.loading.union_module")
"""Modules that, besides, decide the rows of unions."""
NOT_DECIDING = (
    "fer_bench.config",  # resolved settings are in the key themselves
    "fer_bench.data.card",  # so are the fields of a card that decide
    "fer_bench.data.index",  # and the index, as its fingerprint
    "fer_bench.data.packs.index_cache",
    "fer_bench.data.reading.*",
    "fer_bench.datasets.*",
    "fer_bench.emotions",
    "fer_bench.errors",
    "fer_bench.files",
    "fer_bench.provenance",
    "fer_bench.results.*",
    "fer_bench.runs.training.loggers",
    "fer_bench.schema",
    "fer_bench.synthetic.*",  # drawn pictures are in the key as the hash of the packed pixels
    "fer_bench.workspace.*",
)
"""Modules that training needs and whose code changes neither weights nor rows except through other fields of
the key."""


def key_fields(config: RunConfig, workspace: Workspace) -> dict[str, Any]:
    """Return what the key of a run is the hash of; packs the source's pictures when that has not been done.

    Raises:
        UsageError: A name, setting or fold that does not exist.
        DataError: The data are absent or damaged.
    """
    name, protocol, kind = config.dataset, config.protocol, methods.get(config.method)
    as_text = canonical(config.method_settings)

    def refuse_unusable() -> bool:
        reader = workspace.source(name).dataset
        found = find_protocol(reader.card, protocol)
        reader.roles(found, config.fold)
        hidden_rows(reader, found, config.fold, config.train.label_fraction)
        return True

    def of_soft_labels() -> dict[str, Any]:
        if config.train.soft_labels == "none":
            return {}
        _refuse_soft_labels(config)
        found = workspace.source(name).dataset.soft_labels(config.train.soft_labels)
        return {"soft_labels": hashlib.sha256(found.tobytes()).hexdigest()}

    def of_method() -> tuple[int, dict[str, Any]]:
        settings = build(kind.settings_type, config.method_settings, "settings")
        chosen = {k: v for k, v in config.method_settings.items() if k not in kind.weight_settings}
        return kind.input_spec(settings).size, {
            "method_settings": chosen,
            **_code_fields(config.method),
            "weights": kind.weights(settings),
        }

    workspace.once(("roles", name, protocol, config.fold, config.train.label_fraction), refuse_unusable)
    soft_fields = workspace.once(
        ("soft labels", name, config.method, config.train.soft_labels), of_soft_labels
    )
    size, method_fields = workspace.once(("method", config.method, as_text), of_method)
    data_fields = workspace.once(
        ("data", name, protocol, size), lambda: _data_fields(workspace, name, protocol, size)
    )
    return {
        "version": KEY_VERSION,
        "method": config.method,
        **method_fields,
        **data_fields,
        **soft_fields,
        "fold": config.fold,
        "seed": config.seed,
        "profile": config.profile,
        "train": config.train.model_dump(mode="json"),
        "precision": config.precision,
        "tf32": config.tf32,
        "compile": config.compile,
        "world_size": config.world_size,
        **({"crops": workspace.crops.key} if workspace.crops.key else {}),
    }


def _code_fields(method: str) -> dict[str, str]:
    """Return the part of the key that is decided by this package's code."""
    return {"method_code": method_code_hash(method), "training_code": training_code_hash()}


def refuse_other_code(run: PlannedRun) -> None:
    """Check in the process that works on a run that its code is that of the process that planned it.

    Raises:
        UsageError: It is not, so that the run's key would promise something else than what is done.
    """
    for name, here in _code_fields(run.config.method).items():
        if run.key_fields[name] != here:
            raise UsageError(
                f"{name} is not as it was when the run was planned: another fer-bench is installed on "
                f"{platform.node()}, or its files were edited since",
                value=here,
                hint="the same sweep again, with the same fer-bench on every machine",
            )


def _refuse_soft_labels(config: RunConfig) -> None:
    """Raise a UsageError where a method would ignore the targets that were asked for."""
    if not methods.get(config.method).learns_soft_labels:
        able = [name for name in methods.BUILT_IN if methods.get(name).learns_soft_labels]
        raise UsageError(
            f"{config.method} learns one label per face, not the votes of several people",
            value=f"train.soft_labels={config.train.soft_labels}",
            hint=f"--set train.soft_labels=none, or a method that does: {', '.join(able)}",
        )


def _data_fields(workspace: Workspace, dataset: str, protocol: str, size: int) -> dict[str, Any]:
    """Return the part of the key that is decided by data and protocol."""
    card = workspace.source(dataset).dataset.card
    pack = workspace.pack(dataset, size)
    return {
        "card": card.deciding_fields(),
        "fingerprint": pack.fingerprint,
        "pixels": pack.pixel_hash,
        "protocol": find_protocol(card, protocol).model_dump(mode="json", exclude={"note", "aliases"}),
        "crop": pack.recipe.model_dump(mode="json"),
        **_union_fields(workspace, dataset, protocol, size),
    }


def _union_fields(workspace: Workspace, name: str, protocol_name: str, size: int) -> dict[str, Any]:
    """Return what the key of a union holds besides: what decides each member's rows and pictures."""
    dataset = workspace.source(name).dataset
    if not isinstance(dataset, UnionDataset):
        return {}
    protocol = find_protocol(dataset.card, protocol_name)
    members: dict[str, Any] = {}
    for member in dataset.members:
        card, pack = member.card, workspace.pack(member.card.name, size)
        own = member_protocol(card, protocol)
        members[card.name] = {
            "card": card.deciding_fields(),
            "fingerprint": pack.fingerprint,
            "pixels": pack.pixel_hash,
            "protocol": own.model_dump(mode="json", exclude={"note", "aliases"}),
            "crop": pack.recipe.model_dump(mode="json"),
        }
    return {"union": {"code": union_code_hash(), "members": members}}


def recipe_text(source: Source, spec: InputSpec) -> str:
    """Return the crop recipe of a dataset for a network's input, as text."""
    return recipe_for(source.dataset, spec.size).text


@cache
def training_modules() -> tuple[str, ...]:
    """Return the modules whose code decides the weights or the rows of every method."""
    return tuple(closure(TRAINING_CODE, without=(*NOT_DECIDING, "fer_bench.methods.*", *UNION_CODE)))


@cache
def training_code_hash() -> str:
    """Return the hash of the code that decides the weights or the rows of every method."""
    return code_hash(training_modules(), without=(*NOT_DECIDING, "fer_bench.methods.*", *UNION_CODE))


@cache
def union_code_hash() -> str:
    """Return the hash of the code that decides the rows of unions, besides that of all training."""
    return code_hash(UNION_CODE, without=(*NOT_DECIDING, *training_modules()))


@cache
def method_code_hash(name: str) -> str:
    """Return the hash of a method's module and of what that needs of its own package and of this one.

    What every method shares by training counts in `training_code_hash`, the registry not at all.
    """
    shared = (*NOT_DECIDING, "fer_bench.methods", *training_modules())
    return code_hash([methods.get(name).__module__], without=shared)
