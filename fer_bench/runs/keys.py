"""What a run's key is made of: everything that can change the trained weights or the rows."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from fer_bench import methods
from fer_bench.config import RunConfig
from fer_bench.data.loading.label_fraction import hidden_rows
from fer_bench.data.loading.union import UnionDataset
from fer_bench.data.protocols import find_protocol, member_protocol, refuse_untrainable
from fer_bench.errors import UsageError
from fer_bench.files import canonical
from fer_bench.methods.faults import faults_named
from fer_bench.provenance import Closure, closure, code_hash
from fer_bench.provenance.modules import OWN, version_of
from fer_bench.runs.asked import ask, names_own_weights
from fer_bench.runs.resolve import method_settings
from fer_bench.runs.seen_people import refuse_tested_people
from fer_bench.runs.start import start_key, start_of

if TYPE_CHECKING:
    from fer_bench.data.card import Protocol
    from fer_bench.data.packs.pack import Pack
    from fer_bench.data.reading.dataset import FaceDataset
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
    "fer_bench.distribution",  # versions are on record; the rest is text for error messages
    "fer_bench.emotions",
    "fer_bench.errors",
    "fer_bench.files",
    "fer_bench.provenance.*",
    "fer_bench.results.*",
    "fer_bench.runs.spent",
    "fer_bench.runs.distributed",  # the number of processes is in the key
    "fer_bench.runs.training.loggers",
    "fer_bench.schema",
    "fer_bench.synthetic.*",  # drawn pictures are in the key as the hash of the packed pixels
    "fer_bench.workspace.*",
)
"""Modules that training needs and whose code changes neither weights nor rows except through other fields of
the key."""


def key_fields(config: RunConfig, workspace: Workspace) -> dict[str, Any]:
    """Return what the key of a run is the hash of; packs the source's pictures if necessary.

    Raises:
        UsageError: A name, setting or fold that does not exist.
        DataError: The data are absent or damaged.
    """
    name, train = config.dataset, config.train
    workspace.once(
        ("roles", name, config.protocol, config.fold, train.label_fraction),
        partial(_refuse_unusable, config, workspace),
    )
    workspace.once(
        (
            "people",
            name,
            config.protocol,
            config.fold,
            config.targets,
            config.method,
            canonical(config.method_settings),
            config.init is None,
        ),
        partial(refuse_tested_people, config, workspace),
    )
    soft_labels = workspace.once(
        ("soft labels", name, config.method, train.soft_labels), partial(_soft_labels, config, workspace)
    )
    size, of_method = workspace.once(
        ("method", config.method, canonical(config.method_settings), config.init is None),
        partial(_method_fields, config, workspace),
    )
    of_data = workspace.once(
        ("data", name, config.protocol, size), partial(_data_fields, workspace, name, config.protocol, size)
    )
    return {
        "version": KEY_VERSION,
        "method": config.method,
        **of_method,
        **of_data,
        **soft_labels,
        "fold": config.fold,
        "seed": config.seed,
        "profile": config.profile,
        "train": train.model_dump(mode="json"),
        "precision": config.precision,
        "tf32": config.tf32,
        "compile": config.compile,
        "world_size": config.world_size,
        **({"portable": True} if config.portable else {}),
        **_start_field(config),
        **({"crops": workspace.crops.key} if workspace.crops.key else {}),
    }


def refuse_other_code(method: str, fields: Mapping[str, Any]) -> None:
    """Check that this process has the same code as the process that planned a run.

    Args:
        method: Method name.
        fields: What the run's key is the hash of.

    Raises:
        UsageError: It has other code, so that the run's key would name something else than what it does.
    """
    for name, here in code_fields(method).items():
        if fields[name] != here:
            raise UsageError(
                f"{name} has changed since the run was planned: another version is installed on "
                f"{platform.node()}, or its files were edited",
                value=here,
                hint="the same sweep again, with the same version of it on every machine",
            )


def _refuse_unusable(config: RunConfig, workspace: Workspace) -> bool:
    """Raise an error where the data cannot be dealt as the protocol, fold and label fraction ask."""
    dataset = workspace.source(config.dataset).dataset
    protocol = find_protocol(dataset.card, config.protocol)
    refuse_untrainable(dataset.index, dataset.roles(protocol, config.fold), dataset.card, protocol)
    hidden_rows(dataset, protocol, config.fold, config.train.label_fraction)
    return True


def _soft_labels(config: RunConfig, workspace: Workspace) -> dict[str, str]:
    """Return the part of the key that soft labels decide; raise a UsageError where a method ignores them."""
    if config.train.soft_labels == "none":
        return {}
    if not methods.get(config.method).learns_soft_labels:
        able = [name for name in methods.BUILT_IN if methods.get(name).learns_soft_labels]
        raise UsageError(
            f"{config.method} learns one label per face, not the votes of several people",
            value=f"train.soft_labels={config.train.soft_labels}",
            hint=f"--set train.soft_labels=none, or a method that does: {', '.join(able)}",
        )
    found = workspace.source(config.dataset).dataset.soft_labels(config.train.soft_labels)
    return {"soft_labels": hashlib.sha256(found.tobytes()).hexdigest()}


def _method_fields(config: RunConfig, workspace: Workspace) -> tuple[int, dict[str, Any]]:
    """Return the input size of the network, and the part of the key that the method decides."""

    def answer() -> dict[str, Any]:
        kind, settings = methods.get(config.method), method_settings(config)
        chosen = {k: v for k, v in config.method_settings.items() if k not in kind.weight_settings}
        if config.init:  # without the hashes of the weights, whether there are any can decide what is trained
            chosen |= {name: config.method_settings.get(name) is not None for name in kind.weight_settings}
        code = workspace.once(("code", config.method), partial(code_fields, config.method))
        with faults_named(config.method):
            # A checkpoint to start from holds all weights, the pretrained ones that were never trained too.
            size, weights = kind.input_spec(settings).size, {} if config.init else kind.weights(settings)
        return {"size": size, "fields": {"method_settings": chosen, **code, "weights": weights}}

    given = [config.method_settings, config.init is None]
    found = ask(config.method, "key", given, answer, keeps=lambda _: names_own_weights(config))
    return found["size"], found["fields"]


def _start_field(config: RunConfig) -> dict[str, Any]:
    """Return the part of the key that a checkpoint to start from decides; runs without one have none."""
    start = start_of(config)
    return {} if start is None else {"init": start_key(start)}


def code_fields(method: str) -> dict[str, str]:
    """Return the hashes of code that are in the key of a method's runs.

    Raises:
        UsageError: The method is not installed, or cannot be imported.
    """
    return {"method_code": method_code_hash(method), "training_code": training_code_hash()}


def _data_fields(workspace: Workspace, name: str, protocol_name: str, size: int) -> dict[str, Any]:
    """Return the part of the key that data and protocol decide; of a union also what its members decide."""
    dataset = workspace.source(name).dataset
    protocol = find_protocol(dataset.card, protocol_name)
    fields = _pack_fields(dataset, protocol, workspace.pack(name, size))
    if isinstance(dataset, UnionDataset):
        members = {
            member.card.name: _pack_fields(
                member, member_protocol(member.card, protocol), workspace.pack(member.card.name, size)
            )
            for member in dataset.members
        }
        fields["union"] = {"code": union_code_hash(), "members": members}
    return fields


def _pack_fields(dataset: FaceDataset, protocol: Protocol, pack: Pack) -> dict[str, Any]:
    return {
        "card": dataset.card.deciding_fields(),
        "fingerprint": pack.fingerprint,
        "pixels": pack.pixel_hash,
        "protocol": protocol.model_dump(mode="json", exclude={"note", "aliases"}),
        "crop": pack.recipe.model_dump(mode="json"),
    }


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


def method_code_hash(name: str) -> str:
    """Return the hash of a method's class and of what that needs of its own package and of this one.

    What every method shares by training counts in `training_code_hash`, the registry not at all. It is
    computed anew each time, because a notebook can reload a module after it was edited.
    """
    return code_hash(methods.code_roots(name), without=_not_of_methods())


def method_packages(name: str) -> dict[str, str]:
    """Return the versions of the packages that the code of a method of another package needs.

    They are on record, and not in the key: a new version of a library need not change what is trained.
    """
    tops = {root.partition(":")[0].partition(".")[0] for root in methods.code_roots(name)} - {OWN}
    if not tops:
        return {}
    needed = tops | Closure(methods.code_roots(name), _not_of_methods()).packages
    versions = {top: version_of(top) for top in sorted(needed)}
    return {top: version for top, version in versions.items() if version is not None}


def method_blind_spots(name: str) -> list[str]:
    """Return what the code of a method brings in without an import, so that the key does not cover it."""
    return Closure(methods.code_roots(name), _not_of_methods()).blind_spots()


def _not_of_methods() -> tuple[str, ...]:
    return (*NOT_DECIDING, "fer_bench.methods", *training_modules())
