"""Sweep files: read, checked with the line of whatever is wrong, and grids such as `gcn[lr=1e-3,1e-4]`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fer_bench import methods
from fer_bench.config import SweepConfig
from fer_bench.datasets import names, source_name
from fer_bench.datasets.folder_classes import class_names, refuse_unread
from fer_bench.errors import FerBenchError, UsageError, nearest
from fer_bench.files import expand_home
from fer_bench.runs.resolve import resolve_fields

Change = tuple[str, ...]
"""Overrides that are applied together, such as `("method.lr=1e-3",)`."""
Checked = Callable[[str, int | str, Callable[[], Any]], Any]
"""Do something about a field and a place in it, and let errors name the line."""


SWEEPS = Path(__file__).parents[1] / "sweeps"
"""Folder of the sweeps that come with the package, one YAML file each."""


def packaged_sweeps() -> dict[str, str]:
    """Return what the sweeps that come with the package are for, by name: the first sentence of each file."""
    found = {}
    for file in sorted(SWEEPS.glob("*.yaml")):
        lines = itertools.takewhile(lambda line: line.startswith("#"), file.read_text("utf-8").splitlines())
        comment = " ".join(line.removeprefix("#").strip() for line in lines)
        found[file.stem] = re.split(r"(?<=[.?]) ", comment)[0].rstrip(".")
    return found


def find_sweep(what: str | Path) -> Path:
    """Return a sweep file: `quick` is one that comes with the package, `./quick` and `quick.yaml` are files.

    Raises:
        UsageError: There is neither such a sweep nor such a file.
    """
    packaged = SWEEPS / f"{what}.yaml"
    if str(what) == Path(what).name and packaged.is_file():
        return packaged
    if not Path(what).exists():
        near = nearest(Path(what).stem, packaged_sweeps())
        hint = f"{near}; all that come with the package: fer-bench list sweeps"
        raise UsageError("the sweep file does not exist", file=what, hint=hint)
    return Path(what)


def read_sweep(what: str | Path, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """Read and validate a sweep file.

    Args:
        what: The file, or the name of a sweep that comes with the package.
        changes: Fields given on the command line, instead of those of the file.

    Raises:
        UsageError: The file is absent, is not a YAML mapping, or has an unknown or invalid field.
    """
    path = find_sweep(what)
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content: Any = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UsageError(f"the sweep file cannot be read: {error.problem}", file=path, line=line) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the sweep file cannot be read: {error}", file=path) from None
    if not isinstance(content, dict):
        raise UsageError("a sweep file is a YAML mapping", file=path, value=content)

    def beside(file: str) -> str:
        return str(path.parent.absolute() / expand_home(file))

    given = content.get("classes")
    if isinstance(given, dict):
        content["classes"] = _texts(tree, "classes")  # YAML reads `0: anger` and `no: neutral` otherwise
    elif isinstance(given, str):
        content["classes"] = beside(given)
    if isinstance(first := content.get("init"), str):
        content["init"] = beside(first)
    if isinstance(rows := content.get("rows"), dict):
        content["rows"] = {str(name): beside(str(file)) for name, file in rows.items()}
    return check_sweep({"name": path.stem, **content, **(changes or {})}, path, tree)


def _texts(tree: Any, field: str) -> dict[str, str]:
    """Return the lines of a mapping as they are written."""
    node = next(value for key, value in tree.value if key.value == field)
    return {str(key.value): str(value.value) for key, value in node.value}


def check_sweep(
    content: Mapping[str, Any], file: Path | None = None, tree: yaml.Node | None = None
) -> SweepConfig:
    """Validate the content of a sweep: fields, names, grids and unions.

    Args:
        content: The fields.
        file: File that holds them, None for the command line.
        tree: The same as YAML nodes, which know their lines.

    Raises:
        UsageError: Naming file, line and value.
    """
    try:
        sweep = SweepConfig.model_validate(dict(content))
    except ValidationError as error:
        # A union of types reports every type it tried; what went deepest is what was meant.
        first = max(error.errors(), key=lambda e: len(e["loc"]))
        where = tuple(part for part in first["loc"] if not str(part).startswith(("tuple[", "literal[")))
        name = ".".join(map(str, where))
        hint = nearest(name, SweepConfig.model_fields) if first["type"] == "extra_forbidden" else None
        raise UsageError(
            f"{name}: {first['msg'].lower()}",
            file=file,
            line=_line_of(tree, where),
            value=first["input"],
            hint=hint,
        ) from None

    def checked(field: str, position: int | str, action: Any) -> Any:
        try:
            return action()
        except FerBenchError as error:
            line = _line_of(tree, (field, position))
            raise UsageError(
                error.message, file=file, line=line, value=error.value, hint=error.hint
            ) from None

    grids: list[tuple[str, list[Change]]] = [(name, [()]) for name in methods.names()]
    if not isinstance(sweep.methods, str):
        grids = [
            checked("methods", at, lambda text=text: parse_grid(text))
            for at, text in enumerate(sweep.methods)
        ]
    if sweep.init is None:  # else they change the settings of the checkpoint, which planning reads
        _check_settings(sweep, grids, checked)
    if not isinstance(sweep.targets, str):
        for at, target in enumerate(sweep.targets):
            checked("targets", at, lambda target=target: _known_target(target))
    sources: Any = sweep.datasets
    if not isinstance(sweep.datasets, str):
        sources = tuple(
            dict.fromkeys(
                checked("datasets", at, lambda source=source: source_name(source))
                for at, source in enumerate(sweep.datasets)
            )
        )
    protocols = {
        checked("protocols", source, lambda source=source: source_name(source)): protocol
        for source, protocol in sweep.protocols.items()
    }
    _check_classes(sweep, checked)
    return sweep.model_copy(update={"datasets": sources, "protocols": protocols})


def _check_classes(sweep: SweepConfig, checked: Checked) -> None:
    """Refuse class names that are no emotions, and those of a sweep that does not read `folder`."""
    if not sweep.classes and not sweep.drop:
        return
    named = [each for each in (sweep.datasets, sweep.targets) if not isinstance(each, str)]
    names = [name for each in named for name in each]
    checked("classes" if sweep.classes else "drop", "", partial(refuse_unread, names))
    if isinstance(sweep.classes, str):
        class_names(sweep.classes, sweep.drop)  # errors are of the map, and name its lines
        return
    for name, emotion in sweep.classes.items():
        checked("classes", name, partial(class_names, {name: emotion}))


def _check_settings(sweep: SweepConfig, grids: list[tuple[str, list[Change]]], checked: Checked) -> None:
    """Refuse settings that a method does not have or take: those of all runs, of variants and of grids."""
    for at, (method, combinations) in enumerate(grids):

        def resolve(*changes: str, method: str = method) -> object:
            return resolve_fields(method, sweep.profile or "quick", changes)

        for line, text in enumerate(sweep.set):
            checked("set", line, partial(resolve, text))
        for variant, change in sweep.variants.items():
            checked("variants", variant, partial(resolve, *sweep.set, *change))
        for change in combinations:
            checked("methods", at, partial(resolve, *sweep.set, *change))


def parse_grid(text: str) -> tuple[str, list[Change]]:
    """Return the method of `gcn[lr=1e-3,1e-4,train.batch_size=32]` and every combination of its settings.

    A name without a section is one of the method's own settings. Combinations come with the last name
    varying fastest; a method without brackets has one, which changes nothing.

    Raises:
        UsageError: An unknown method, or brackets that do not hold a grid.
    """
    method, bracket, rest = text.partition("[")
    method = method.strip()
    if method not in methods.known():
        raise UsageError("unknown method", value=method, hint=nearest(method, methods.known()))
    if not bracket:
        return method, [()]
    example = f"example: {method}[lr=1e-3,1e-4]"
    if not rest.rstrip().endswith("]"):
        raise UsageError("a grid ends with ]", value=text, hint=example)
    axes: list[tuple[str, list[str]]] = []
    for part in _split(rest.rstrip()[:-1]):
        name, equals, value = part.partition("=")
        if equals:
            name = name.strip()
            axes.append((name if "." in name else f"method.{name}", [value.strip()]))
        elif axes:
            axes[-1][1].append(part.strip())
        else:
            raise UsageError("a grid is written name=value,value", value=text, hint=example)
    if not all(name and all(values) for name, values in axes) or not axes:
        raise UsageError("a grid is written name=value,value", value=text, hint=example)
    combinations = itertools.product(*([f"{name}={value}" for value in values] for name, values in axes))
    return method, list(combinations)


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _known_target(name: str) -> None:
    if name not in names() and not name.startswith("folder:"):
        raise UsageError("unknown target", value=name, hint=nearest(name, names()))


def _line_of(tree: yaml.Node | None, path: tuple[Any, ...]) -> int | None:
    """Return the line of a place in a YAML document, or of the nearest one above it."""
    if tree is None:
        return None
    node, line = tree, None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
