"""Errors that a user can act on: they name the file, the line, the value and a command that helps."""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from collections.abc import Container, Iterable
from pathlib import Path

_ESCAPE_CODE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class FerBenchError(Exception):
    """An expected failure, which is printed as one message without traceback.

    Args:
        message: What is wrong, without a full stop.
        file: The file or folder concerned.
        line: 1-based line number inside `file`.
        value: The offending value, shown as its `repr`.
        hint: What to do next, usually a command.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        value: object | None = None,
        hint: str | None = None,
    ) -> None:
        self.message, self.file, self.line, self.value, self.hint = message, file, line, value, hint
        where = "" if file is None else f"{file}{'' if line is None else f', line {line}'}: "
        what = "" if value is None else f" (found {value!r})"
        super().__init__(f"{where}{message}{what}{'' if hint is None else f'{chr(10)}  {hint}'}")

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle all fields, so that an error reaches another process unchanged."""
        return _rebuild, (type(self), self.message, self.file, self.line, self.value, self.hint)


def _rebuild(
    cls: type[FerBenchError],
    message: str,
    file: Path | str | None,
    line: int | None,
    value: object | None,
    hint: str | None,
) -> FerBenchError:
    return cls(message, file=file, line=line, value=value, hint=hint)


class UsageError(FerBenchError):
    """A wrong name, option or setting."""


class DataError(FerBenchError):
    """Data that is missing, damaged or not in the official layout."""


class DatasetNotFoundError(DataError):
    """A folder that does not have the official layout of a dataset."""


class StoreError(FerBenchError):
    """A run store that cannot be read or written."""


class RunFailedError(FerBenchError):
    """A run that failed after its start; its record has the reason."""

    exit_code = 1


class DivergedError(RunFailedError):
    """The loss of a run became NaN or infinite."""


def require_supported_platform() -> None:
    """Refuse systems that lack what runs are built on: forked processes, file locks and signals.

    Raises:
        UsageError: This is neither Linux nor macOS.
    """
    if sys.platform not in ("linux", "darwin"):
        raise UsageError(
            "this package supports Linux and macOS; on Windows it works within WSL2 (`wsl --install`)",
            value=sys.platform,
        )


def without_escape_codes(text: str) -> str:
    """Return a text without the codes that colour it on a terminal."""
    return _ESCAPE_CODE.sub("", text)


def one_line(text: object) -> str:
    """Return the text of another library's error as one line without escape codes."""
    return " ".join(without_escape_codes(str(text)).split())


def counted(count: int, word: str) -> str:
    """Return a number of things, as `1 file` or `3 files`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def place_of(error: BaseException, files: Container[str] | None = None) -> tuple[str, int, str] | None:
    """Return file, line and function in which an error was raised, None where that is not known.

    Args:
        error: The error.
        files: If given, the last call in one of these files counts, not what it called.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return error.filename, error.lineno or 1, ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        internal = frame.filename.startswith("<frozen ")
        if not internal and (files is None or frame.filename in files):
            return frame.filename, frame.lineno or 1, frame.name
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a phrase with the closest known names, for the end of an error message.

    Args:
        name: The name that the user typed.
        known: The known names.
    """
    names = {one.casefold(): one for one in sorted(known, reverse=True)}
    close = difflib.get_close_matches(name.casefold(), sorted(names), n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(names[one] for one in close)}?"
    return f"known: {', '.join(sorted(names.values()))}"
