"""Errors in the code of a method, named by where they happened in it."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from contextlib import contextmanager

from fer_bench.errors import FerBenchError, UsageError, nearest, place_of
from fer_bench.methods import code_roots
from fer_bench.provenance import closure, package_folder
from fer_bench.provenance.modules import OWN

ONLY_IF = {
    "reference": "the method sets `needs_reference = True`",
    "has_reference": "the method sets `needs_reference = True`",
    "strong": "the method sets `needs_strong = True` and rows without a label are trained on",
    "hidden_label": "method.unlabelled_rows of ssmfar is oracle and a FaceDataModule loads the rows",
    "soft_label": "train.soft_labels asks for it",
}
"""When a batch has what not every batch has."""


def describe_fault(name: str, error: BaseException) -> str:
    """Return type, message and place of an error; the place is in the code of a method if it went through it.

    Args:
        name: Name of the method.
        error: The error.
    """
    kind = type(error).__name__
    first, *rest = str(error).splitlines() or [""]
    text = f"{kind}: {first}" if first else kind
    if (place := place_of(error, _files_of(name)) or place_of(error)) is not None:
        file, line, function = place
        source = linecache.getline(file, line).strip()
        text += f" (in {function}, {file}, line {line}{f': {source}' if source else ''})"
        rest += _hints(error, source)
    return "\n".join([text, *rest])


@contextmanager
def faults_named(name: str) -> Iterator[None]:
    """Turn unexpected errors in a block that calls a method's code into one message.

    Args:
        name: Name of the method.

    Raises:
        UsageError: Such an error.
    """
    try:
        yield
    except FerBenchError:
        raise
    except Exception as error:
        raise UsageError(f"{name}: {describe_fault(name, error)}") from error


def _files_of(name: str) -> set[str]:
    """Return the source files of a method, without what this package brings for all methods."""
    try:
        roots = code_roots(name)
        if roots[0].startswith(f"{OWN}."):
            shared = package_folder() / "methods"
            return {str(file) for file in shared.rglob("*.py") if file.parent != shared}
        files = closure(roots, without=(f"{OWN}.*",)).values()
        return {str(file) for file in files}
    except FerBenchError:  # the error at hand matters more
        return set()


def _hints(error: BaseException, source: str) -> list[str]:
    """Return what helps if a batch was asked for something that it does not have."""
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    if not isinstance(key, str) or f"batch[{key!r}]" not in source.replace('"', "'"):
        return []
    from fer_bench.data.batch import Batch

    if key in ONLY_IF:
        return [f"a batch has {key!r} only if {ONLY_IF[key]}"]
    return [f"a batch has no {key!r}: {nearest(key, Batch.__annotations__)}"]
