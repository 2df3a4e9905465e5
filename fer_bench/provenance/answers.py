"""Answers that code alone decides, kept in the cache: a process that finds them there imports less.

They hold while the files of this package, Python and the libraries are the same, and are only looked up
inside `remembering`, which commands enter as they start.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from fer_bench.distribution import PACKAGE
from fer_bench.errors import DataError, StoreError
from fer_bench.files import cache_root, short_hash, write_text

T = TypeVar("T")
FOLDER = "answers"
LIBRARIES = ("torch", "torchvision", "timm", "lightning", "numpy", "pydantic")
"""Distributions whose version can change an answer."""


class Answers:
    """What is known while the code is as it is now.

    Args:
        file: Where answers are kept.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.state = file, code_state()
        self.loaded = frozenset(sys.modules)
        self.known = self._stored()
        self.new: dict[str, Any] = {}

    def _stored(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, AttributeError):
            content = json.loads(self.file.read_text(encoding="utf-8"))
            if content.get("state") == self.state:
                return dict(content["answers"])
        return {}

    def save(self) -> None:
        """Keep what is new, unless the code was edited meanwhile or the cache cannot be written."""
        with suppress(StoreError, OSError):
            if self.new and code_state() == self.state:
                content = {"state": self.state, "answers": {**self._stored(), **self.new}}
                write_text(self.file, json.dumps(content))


_open: Answers | None = None


@contextmanager
def remembering() -> Iterator[None]:
    """Look answers up inside the block, and keep the new ones at its end."""
    global _open
    try:
        file = cache_root() / FOLDER / f"{short_hash(str(PACKAGE), 12)}.json"
    except DataError:  # nowhere to keep a cache
        file = None
    if _open is not None or file is None:
        yield
        return
    try:
        _open = Answers(file)
    except OSError:  # a file of the package vanished while it was read
        yield
        return
    try:
        yield
    finally:
        _open.save()
        _open = None


def kept(
    question: str,
    given: Any,
    answer: Callable[[], T],
    *,
    unless_loaded: str | None = None,
    keeps: Callable[[T], bool] | None = None,
) -> T:
    """Return an answer that was kept, else compute it and keep it.

    Args:
        question: What is asked.
        given: What the answer depends on besides code: plain values.
        answer: Computes it; plain values, as JSON returns them.
        unless_loaded: A module that computes the answer. Where it was loaded before `remembering` began, it
            may differ from its file, and nothing is looked up or kept.
        keeps: Says of a computed answer whether it depends on nothing else.
    """
    if _open is None or unless_loaded in _open.loaded:
        return answer()
    name = short_hash([question, given])
    for known in (_open.new, _open.known):
        if name in known:
            found: T = known[name]
            return found
    found = answer()
    if keeps is None or keeps(found):
        _open.new[name] = found
    return found


def code_state() -> str:
    """Return a hash of the files of this package, of Python's version and of those of the libraries.

    Of code the content counts, of other files size and time.
    """
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*")):
        if "__pycache__" in file.parts or not file.is_file():
            continue
        status = file.stat()
        content = file.read_bytes() if file.suffix == ".py" else str(status.st_mtime_ns).encode()
        digest.update(f"{file.relative_to(PACKAGE)}\0{status.st_size}\0".encode())
        digest.update(content)
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    digest.update(repr(versions).encode())
    return digest.hexdigest()
