"""Class names of a folder of pictures: what they mean by the user's map, else by name and alias."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from fer_bench.emotions import Emotion, aliases, match_emotion
from fer_bench.errors import DataError, UsageError
from fer_bench.files import expand_home

DROP = "drop"
_EXAMPLE = "a line is `name in the folder: emotion` or `name: drop`, as in `glad: happiness`"
_SHOWN = 20


@dataclass(frozen=True)
class ClassNames:
    """What folder names mean.

    Attributes:
        given: Emotion by folder name, case-folded; None drops the folder. It takes precedence over aliases.
    """

    given: Mapping[str, Emotion | None] = field(default_factory=dict)

    def is_class(self, name: str) -> bool:
        """Return whether a folder of this name holds a class that is read."""
        return self.emotion(name) is not None

    def is_surely_class(self, name: str) -> bool:
        """Return whether a folder is surely a class; one called `other` could be anything."""
        return _key(name) in self.given or match_emotion(name) not in (None, Emotion.OTHER)

    def is_dropped(self, name: str) -> bool:
        """Return whether the user drops folders of this name."""
        return self.given.get(_key(name), Emotion.OTHER) is None

    def emotion(self, name: str) -> Emotion | None:
        """Return the emotion that a folder name means, None without one."""
        key = _key(name)
        return self.given[key] if key in self.given else match_emotion(name)

    def unused(self, met: Iterable[str]) -> list[str]:
        """Return the given names that are not among those met."""
        return sorted(self.given.keys() - {_key(name) for name in met})


def class_names(
    classes: Mapping[str, str] | str | Path | None = None, drop: Iterable[str] = ()
) -> dict[str, Emotion | None]:
    """Return the emotion of each folder name, None for those that are dropped.

    Args:
        classes: Emotion or `drop` by folder name, or a YAML file with such lines.
        drop: Further names to drop.

    Raises:
        DataError: The file cannot be read, or a value is not an emotion.
    """
    file = expand_home(classes) if isinstance(classes, str | Path) else None
    lines = _read(file) if file is not None else [(n, e, None) for n, e in dict(classes or {}).items()]  # type: ignore[arg-type]
    found: dict[str, Emotion | None] = {}
    for name, value, line in lines:
        emotion = match_emotion(value)
        if emotion is None and value.casefold() != DROP:
            raise DataError(
                f"the class {name!r} is neither an emotion nor {DROP!r}",
                file=file,
                line=line,
                value=value,
                hint=f"emotions: {', '.join(Emotion)}",
            )
        if _key(name) in found:
            raise DataError("this class name is listed twice", file=file, line=line, value=name)
        found[_key(name)] = emotion
    return found | {_key(name): None for name in drop}


def refuse_unread(names: Iterable[str]) -> None:
    """Refuse a meaning of class names where `folder` is not among what is read.

    Args:
        names: Datasets, unions and targets that are read, also `folder:PATH`.

    Raises:
        UsageError: None of them is `folder`.
    """
    if not any("folder" in name.partition(":")[0].split("+") for name in names):
        problem = "--classes and --drop name the classes of folder, which this command does not read"
        raise UsageError(problem, hint="-d folder:PATH reads your own pictures")


def _read(file: Path) -> list[tuple[str, str, int | None]]:
    try:
        tree = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"the class map cannot be read: {error}", file=file, hint=_EXAMPLE) from None
    if not isinstance(tree, yaml.MappingNode) or not tree.value:
        raise DataError("the class map has no lines of the form `name: emotion`", file=file, hint=_EXAMPLE)
    return [(str(k.value), str(v.value), k.start_mark.line + 1) for k, v in tree.value]


def _key(name: str) -> str:
    return name.strip().casefold()


def no_emotion(folder: Path, names: list[str]) -> DataError:
    """Return the error about class folders that match no emotion, or about a folder without class folders."""
    known = "\n".join(f"    {emotion.value}: {', '.join(aliases(emotion))}" for emotion in Emotion)
    more = "name them in a map, --classes map.yaml, or leave them out, --drop NAME\n  " if names else ""
    return DataError(
        "class folders whose names match no emotion" if names else "there are no class folders here",
        file=folder,
        value=names[:_SHOWN] or None,
        hint=f"{more}for the expected tree: fer-bench data describe folder; recognised class names:\n{known}",
    )
