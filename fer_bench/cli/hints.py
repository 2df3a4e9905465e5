"""Hints that work when pasted: commands in messages get the data root and run store that the user named."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command

_COMMAND = re.compile(r"fer-bench((?: [a-z][a-z-]*)+)([^\n;`]*)")
_FOLDER_NAME = re.compile(r"(?<=[ =])folder(?![\w:/.-])")
_CARRIED = ("--data-root", "--runs-dir", "--classes")
_FLAG = "--follow-links"
_FOLDER = "folder:"
_apps: list[Typer] = []
"""The registered command line; this module cannot import it, because its commands import this module."""


def register(app: Typer) -> None:
    """Set the command line whose commands `complete` knows."""
    _apps.append(app)


def complete(text: str, arguments: Sequence[str] | None = None) -> str:
    """Return a text in which every `fer-bench` command names the places that the user named.

    Args:
        text: A message or hint, which names datasets and leaves out where data and runs are.
        arguments: What the user typed after `fer-bench`, this process's arguments by default.
    """
    if "fer-bench " not in text or not _apps:
        return text
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = dict(_options(given))
    places = {name: options[name] for name in _CARRIED if name in options}
    values = [*given, *options.values()]
    folder = next((value for value in values if value.startswith(_FOLDER)), None)
    root = get_command(_apps[-1])

    def completed(found: re.Match[str]) -> str:
        words, command = command_of(found[1].split(), root)
        if not words:
            return found[0]
        known = {name for parameter in command.params for name in parameter.opts}
        added = [
            f" {name} {shlex.quote(value)}"
            for name, value in places.items()
            if name in known and name not in found[2]
        ]
        rest = found[0][len("fer-bench") :]
        for word in words:
            rest = rest.partition(word)[2]
        takes_folder = "--data-root" in known
        if _FLAG in given and _FLAG in known and _FLAG not in found[2]:
            added.append(f" {_FLAG}")
        if folder is not None and takes_folder:
            rest = _FOLDER_NAME.sub(shlex.quote(folder), rest)
        return " ".join(("fer-bench", *words)) + "".join(added) + rest

    return _COMMAND.sub(completed, text)


def command_of(words: Sequence[str], command: Any) -> tuple[list[str], Any]:
    """Return the words that name a command, and the command; no words if they name none."""
    used: list[str] = []
    for word in words:
        if not isinstance(command, TyperGroup) or word not in command.commands:
            break
        used.append(word)
        command = command.commands[word]
    return used, command


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield long options with their values, written `--name value` or `--name=value`."""
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if equals:
            yield name, value
        elif position + 1 < len(arguments):
            yield name, arguments[position + 1]
