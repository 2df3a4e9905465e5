"""The script libraries of the page, kept with the package so that a page needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter

from fer_bench.schema import Frozen

FOLDER = files("fer_bench.leaderboard.html") / "libraries"
_SOURCE_MAP = re.compile(r"\n?(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


class File(Frozen):
    """A file of a library.

    Attributes:
        path: Its place in the published package.
        stored: Its name here.
        sha256: Its hash.
    """

    path: str
    stored: str
    sha256: str


class Library(Frozen):
    """A library.

    Attributes:
        name: Name of the package in the registry of npm.
        version: Its version.
        licence: SPDX name of its licence.
        files: What is kept of it, its licence included.
    """

    name: str
    version: str
    licence: str
    files: tuple[File, ...]


@cache
def libraries() -> tuple[Library, ...]:
    """Return the libraries in the order in which a page needs them."""
    listed = (FOLDER / "libraries.json").read_bytes()
    return TypeAdapter(tuple[Library, ...]).validate_json(listed)


@cache
def scripts() -> tuple[str, ...]:
    """Return the scripts of all libraries, each of which can stand in a page."""
    return tuple(_text(file) for one in libraries() for file in one.files if file.stored.endswith(".js"))


@cache
def styles() -> tuple[str, ...]:
    """Return the style sheets of all libraries."""
    return tuple(_text(file) for one in libraries() for file in one.files if file.stored.endswith(".css"))


@cache
def licences() -> tuple[tuple[str, str], ...]:
    """Return name with version, and licence text, of each library."""
    found = []
    for one in libraries():
        texts = [_text(file) for file in one.files if file.stored.endswith("LICENSE")]
        found.append((f"{one.name} {one.version}", "\n".join(texts)))
    return tuple(found)


def _text(file: File) -> str:
    """Return the text of a file, without the line that names a source map elsewhere."""
    return _SOURCE_MAP.sub("", (FOLDER / file.stored).read_text(encoding="utf-8"))


def policy_hash(script: str) -> str:
    """Return how a content security policy names a script that a page holds."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
