"""What a run's key is made of: everything that can change the trained weights or the rows."""

from __future__ import annotations

import ast
import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench import methods
from fer_bench.config import RunConfig, build
from fer_bench.data.align import recipe_for
from fer_bench.data.fraction import hidden_rows
from fer_bench.data.protocols import find_protocol
from fer_bench.data.union import UnionDataset, member_protocol
from fer_bench.errors import DataError, UsageError
from fer_bench.files import canonical
from fer_bench.sources import Source

if TYPE_CHECKING:
    from fer_bench.config import InputSpec
    from fer_bench.runs.plan import PlannedRun, Workspace

KEY_VERSION = 1
TRAINING_CODE = (
    "methods/base.py",
    "data/align.py",
    "data/batch.py",
    "data/datamodule.py",
    "data/detectors.py",
    "data/features.py",
    "data/fraction.py",
    "data/pack.py",
    "data/protocols.py",
    "data/strong.py",
    "data/transforms.py",
    "methods/backbones.py",
    "runs/callbacks.py",
    "runs/train.py",
)
"""Files whose code decides the weights or the rows of every method, besides the method's own folder."""
UNION_CODE = ("data/union.py", "data/union_module.py")
"""Files whose code decides the rows of unions."""


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

    def of_targets() -> dict[str, Any]:
        if config.train.targets == "label":
            return {}
        _refuse_targets(config)
        found = workspace.source(name).dataset.targets(config.train.targets)
        return {"targets": hashlib.sha256(found.tobytes()).hexdigest()}

    def of_method() -> tuple[int, dict[str, Any]]:
        settings = build(kind.settings_type, config.method_settings, "settings")
        chosen = {k: v for k, v in config.method_settings.items() if k not in kind.weight_settings}
        return kind.input_spec(settings).size, {
            "method_settings": chosen,
            **_code_fields(config.method),
            "weights": kind.weights(settings),
        }

    workspace.once(("roles", name, protocol, config.fold, config.train.label_fraction), refuse_unusable)
    target_fields = workspace.once(("soft", name, config.method, config.train.targets), of_targets)
    size, method_fields = workspace.once(("method", config.method, as_text), of_method)
    data_fields = workspace.once(
        ("data", name, protocol, size), lambda: _data_fields(workspace, name, protocol, size)
    )
    return {
        "version": KEY_VERSION,
        "method": config.method,
        **method_fields,
        **data_fields,
        **target_fields,
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
    return {
        "method_code": method_code_hash(method),
        "training_code": code_hash(tuple(package_folder() / file for file in TRAINING_CODE)),
    }


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
                file=package_folder(),
                value=here,
                hint="the same sweep again, with the same fer-bench on every machine",
            )


def _refuse_targets(config: RunConfig) -> None:
    """Raise a UsageError where a method would ignore the targets that were asked for."""
    if not methods.get(config.method).learns_targets:
        able = [name for name in methods.BUILT_IN if methods.get(name).learns_targets]
        raise UsageError(
            f"{config.method} learns one label per face, not the votes of several people",
            value=f"train.targets={config.train.targets}",
            hint=f"--set train.targets=label, or a method that does: {', '.join(able)}",
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
    code = code_hash(tuple(package_folder() / name for name in UNION_CODE))
    return {"union": {"code": code, "members": members}}


def recipe_text(source: Source, spec: InputSpec) -> str:
    """Return the crop recipe of a dataset for a network's input, as text."""
    return recipe_for(source.dataset, spec.size).text


def package_folder() -> Path:
    """Return the folder of this package."""
    return Path(__file__).parents[1]


def method_code_hash(name: str) -> str:
    """Return a hash of the code in a method's folder."""
    import inspect

    folder = Path(inspect.getfile(methods.get(name))).parent
    return code_hash(tuple(sorted(folder.glob("*.py"))))


@cache
def code_hash(files: tuple[Path, ...]) -> str:
    """Return a hash of what Python files do: comments, docstrings and layout do not count.

    Raises:
        DataError: A file is missing.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"a source file of the package is missing: {error.strerror}", file=file) from None
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and node.body
            ):
                first = node.body[0]
                if (
                    isinstance(first, ast.Expr)
                    and isinstance(first.value, ast.Constant)
                    and isinstance(first.value.value, str)
                ):
                    node.body = node.body[1:] or [ast.Pass()]
        digest.update(f"{file.name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:16]
