"""Faces of a table as pictures again: decoded anew, because predictions keep none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.crops.faces import Box
from fer_bench.data.reading.decoder_messages import captured_messages
from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.errors import FerBenchError
from fer_bench.inference.faces import FaceFinder
from fer_bench.inference.inputs import Item
from fer_bench.inference.table import BOX, LANDMARKS
from fer_bench.inference.video import Ending, Every, Frame, frames_of, opened


def chosen_rows(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the rows with a face, or as many of them as wanted, evenly spread over the table."""
    found = table[table["predicted"].notna()]
    if len(found) <= most:
        return found
    return found.iloc[np.linspace(0, len(found) - 1, most).round().astype(int)]


def crops_of(rows: pd.DataFrame, items: Sequence[Item], *finders: FaceFinder) -> dict[int, tuple[Image, ...]]:
    """Return the crops of each row by its index; those that cannot be decoded any more are absent.

    Args:
        rows: Rows with a face.
        items: The files that they come from.
        finders: How faces are cropped: a crop each.
    """
    found: dict[int, tuple[Image, ...]] = {}
    by_name = {item.name: item for item in items}
    for name, group in rows.groupby("file", sort=False):
        item = by_name.get(str(name))
        if item is None:
            continue
        with captured_messages(), suppress(FerBenchError):
            for image, seen in _pictures(item, group):
                for at, row in seen.iterrows():
                    found[int(str(at))] = tuple(crop_of(image, row, finder) for finder in finders)
    return found


def _pictures(item: Item, rows: pd.DataFrame) -> Iterator[tuple[Image, pd.DataFrame]]:
    """Yield a file's pictures or frames that rows are of, each with its rows."""
    if item.kind == "picture":
        yield read_picture(item.path), rows
    else:
        for frame in frames_wanted(item, set(rows["frame"].astype(int))):
            yield frame.image, rows[rows["frame"] == frame.number]


def crop_of(image: Image, row: Mapping[str, object] | pd.Series, finder: FaceFinder) -> Image:
    """Return the crop of a row's face from its picture."""
    return finder.again(image, box_of(row), landmarks_of(row))


def box_of(row: Mapping[str, object] | pd.Series) -> Box | None:
    """Return the box of a row, None where the picture was taken as a crop."""
    x0, y0, x1, y1 = (float(str(row[name])) for name in BOX)
    return None if np.isnan(x0) else (x0, y0, x1, y1)


def landmarks_of(
    row: Mapping[str, object] | pd.Series,
) -> NDArray[np.float64] | None:
    """Return the landmarks [5, 2] of a row, None where the detector gave none."""
    points = np.array([float(str(row[name])) for name in LANDMARKS])
    return None if np.isnan(points).any() else points.reshape(5, 2)


def frames_wanted(item: Item, numbers: set[int]) -> Iterator[Frame]:
    """Yield some frames of a video by their numbers.

    Raises:
        DataError: The video cannot be opened.
    """
    last = max(numbers, default=-1)
    with opened(item) as capture:
        for frame in frames_of(capture, item, Every(), Ending()):
            if frame.number in numbers:
                yield frame
            if frame.number >= last:
                return
