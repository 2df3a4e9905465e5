"""Reading AffectNet's million small npy files, one per annotation."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError

_PIECE = 1 << 13
_TEXT_AT = 128
_MAGIC = b"\x93NUMPY\x01\x00"

Values = str | NDArray[Any]
Parsed = TypeVar("Parsed")


def read_npy(file: str, parse: Callable[[Values], Parsed]) -> Parsed:
    """Return what a small npy file holds.

    `np.load` spends its time on file objects and on parsing the same header again, which is minutes over a
    million files. So parsed headers are cached and files are read by descriptor.
    """
    try:
        raw = _read_bytes(file)
        itemsize = _text_size(raw[:_TEXT_AT])
        if itemsize and len(raw) == _TEXT_AT + itemsize:
            return parse(raw[_TEXT_AT:].decode("utf-32-le").rstrip("\0"))
        values: NDArray[Any] = np.asarray(np.load(io.BytesIO(raw), allow_pickle=False)).reshape(-1)
        return parse(str(values[0]) if values.size == 1 else values)
    except DataError as error:
        raise DataError(error.message, file=file, value=error.value) from None
    except OSError as error:
        raise DataError(f"the annotation cannot be read: {error.strerror}", file=file) from None
    except (ValueError, EOFError, SyntaxError):
        problem = "the annotation is not a plain npy array"
        raise DataError(problem, file=file, value=f"{len(raw)} bytes") from None


def _read_bytes(file: str) -> bytes:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        parts = [os.read(descriptor, _PIECE)]
        while len(parts[-1]) == _PIECE:
            parts.append(os.read(descriptor, _PIECE))
    finally:
        os.close(descriptor)
    return b"".join(parts)


@cache
def _text_size(header: bytes) -> int:
    """Return the bytes of the one little-endian string that follows a header of the usual length, else 0."""
    if not header.startswith(_MAGIC) or 10 + int.from_bytes(header[8:10], "little") != _TEXT_AT:
        return 0
    try:
        shape, _, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(header[8:]))
    except ValueError:
        return 0  # `np.load` says what is wrong with it
    is_text = dtype.kind == "U" and dtype.byteorder != ">" and math.prod(shape) == 1
    return int(dtype.itemsize) if is_text else 0
