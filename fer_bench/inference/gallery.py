"""One page of faces with what a model answered for them: nothing on it is loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.reading.pictures import Image
from fer_bench.errors import counted
from fer_bench.figures import COLOURS
from fer_bench.files import write_text
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.face_model import Crops
from fer_bench.inference.faces import FaceFinder
from fer_bench.inference.inputs import Item
from fer_bench.inference.shown import chosen_rows, crops_of
from fer_bench.inference.table import PROBABILITY, shares_of

PAGE = files("fer_bench.inference") / "gallery.html"
"""The page around the faces."""
MOST = 300
"""Faces on a page, unless another number is asked for."""
SIDE = 160
"""Pixels of a face on the page."""
PIECES = 7
"""Squares in a row of a face that is made unrecognisable."""
LISTED = 100
"""Rows without a face that are listed."""
TOP = 3
"""Classes whose probability is shown."""
Explaining = Sequence[tuple[str, Image | None]]
"""Titles and pictures [H, W, 3] that explain one answer; None is a map that is zero everywhere."""
Maps = Callable[[Crops, NDArray[np.int64]], Sequence[Explaining]]
"""Returns what explains each answer, from crops [B, S, S, 3] and classes [B]."""


@dataclass(frozen=True)
class Gallery:
    """What a page shows.

    Attributes:
        card: The model's card.
        finder: How its faces are found and cropped.
        blur: Whether faces are made unrecognisable and names of files are left out.
        most: Faces that are shown at most.
        maps: Pictures that explain each answer.
    """

    card: DeploymentCard
    finder: FaceFinder
    blur: bool = False
    most: int = MOST
    maps: Maps | None = None

    def write(self, table: pd.DataFrame, items: Sequence[Item], path: Path) -> int:
        """Write the page, and return how many faces it shows.

        Args:
            table: The predictions.
            items: The files that they come from, which are decoded again.
            path: The HTML file.

        Raises:
            StoreError: The file cannot be written.
        """
        rows = chosen_rows(table, self.most)
        large = self.finder.recipe.model_copy(update={"size": max(SIDE, self.finder.recipe.size)})
        finders = [replace(self.finder, recipe=large), *([] if self.maps is None else [self.finder])]
        crops = crops_of(rows, items, *finders)
        rows = rows[rows.index.isin(list(crops))]
        shown = [crops[int(str(at))] for at in rows.index]
        explained = self._explained(rows, [each[-1] for each in shown])
        faces = [
            self._face(number, row, each[0], explained[number] if explained else ())
            for number, ((_, row), each) in enumerate(zip(rows.iterrows(), shown, strict=True))
        ]
        write_text(path, self._page(table, faces))
        return len(faces)

    def _explained(self, rows: pd.DataFrame, seen: Sequence[Image]) -> Sequence[Explaining]:
        if self.maps is None or rows.empty:
            return ()
        return self.maps(np.stack(seen), shares_of(rows, self.card.classes).argmax(axis=1))

    def _face(self, number: int, row: pd.Series, crop: Image, maps: Explaining) -> str:
        shares = sorted(
            ((float(row[f"{PROBABILITY}{name}"]), name) for name in self.card.classes),
            key=lambda each: -each[0],
        )
        bars = "".join(
            f'<div class="bar"><i style="width:{100 * share:.0f}%;background:{self._colour(name)}"></i>'
            f"<span>{escape(name)}</span><b>{share:.2f}</b></div>"
            for share, name in shares[:TOP]
        )
        notes = []
        if self.card.has_va:
            notes.append(f"valence {row['valence']:+.2f}, arousal {row['arousal']:+.2f}")
        if not np.isnan(row["detector_score"]):
            notes.append(f"detector {row['detector_score']:.2f}")
        if isinstance(row["reason"], str):
            notes.append(row["reason"])
        where = self._where(number, row)
        pictures = [_framed(_picture(self._shown(crop), where), "face" if maps else "")]
        for title, picture in maps:
            empty = '<div class="empty">empty map</div>'
            pictures.append(
                _framed(empty if picture is None else _picture(self._shown(picture), title), title)
            )
        abstained = " abstained" if row["abstained"] else ""
        mark = "<em>abstained</em>" if row["abstained"] else ""
        return (
            f'<figure class="face{abstained}" data-class="{escape(str(row["predicted"]))}">'
            f'<div class="pictures">{"".join(pictures)}</div>'
            f"<figcaption><strong>{escape(str(row['predicted']))}</strong>{mark}{bars}"
            f'<p class="notes">{escape("; ".join(notes))}</p>'
            f'<p class="where">{escape(where)}</p></figcaption></figure>'
        )

    def _shown(self, picture: Image) -> Image:
        return _unrecognisable(picture) if self.blur else picture

    def _where(self, number: int, row: pd.Series) -> str:
        face = f", face {int(row['face']) + 1}" if row["face"] else ""
        return f"face {number + 1}" if self.blur else f"{_placed(row)}{face}"

    def _colour(self, name: str) -> str:
        return COLOURS[self.card.classes.index(name) % len(COLOURS)]

    def _page(self, table: pd.DataFrame, faces: Sequence[str]) -> str:
        card, found = self.card, table[table["predicted"].notna()]
        counts = found["predicted"].value_counts()
        drawn = {"synthetic": "SYNTHETIC: this model learned from drawn faces. ", "real": ""}
        facts = [
            f"{drawn.get(card.data_kind, 'It is not known what this model learned from. ')}"
            f"Faces: {self.finder.text}.",
            f"{counted(len(found), 'face')} in {counted(table['file'].nunique(), 'file')}, "
            f"{int(found['abstained'].sum())} abstained; "
            f"{counted(len(table) - len(found), 'row')} without a face.",
        ]
        if len(faces) < len(found):
            facts.append(f"{len(faces)} of them are shown, evenly spread.")
        if self.blur:
            facts.append("Faces are made unrecognisable, and names of files are left out.")
        facts.append("A predicted expression is not a felt emotion.")
        chips = "".join(
            f'<button data-of="{escape(name)}"><i style="background:{self._colour(name)}"></i>{escape(name)} '
            f"{int(counts.get(name, 0))}</button>"
            for name in card.classes
        )
        return Template(PAGE.read_text(encoding="utf-8")).substitute(
            title=escape(f"Predictions of {card.name}"),
            facts="".join(f"<p>{escape(fact)}</p>" for fact in facts),
            chips=f'<button data-of="" class="on">all {len(found)}</button>{chips}',
            shares=self._shares(counts, len(found)),
            faces="".join(faces) or "<p>No face to show.</p>",
            reasons=self._reasons(table[table["predicted"].isna()]),
        )

    def _shares(self, counts: Any, total: int) -> str:
        """Return one bar with the share of each predicted class."""
        kept = [(name, int(counts.get(name, 0))) for name in self.card.classes if total]
        return "".join(
            f'<i title="{escape(name)}" style="flex:{count};background:{self._colour(name)}"></i>'
            for name, count in kept
            if count
        )

    def _reasons(self, rows: pd.DataFrame) -> str:
        """Return a table of what has no face or cannot be read; only counts where names are left out."""
        if rows.empty:
            return ""
        counts = rows["reason"].value_counts()
        lines = [(f"{count} x", str(reason)) for reason, count in counts.items()]
        if not self.blur:
            listed = rows.head(LISTED)
            lines = [(_placed(row), str(row["reason"])) for _, row in listed.iterrows()]
            if len(rows) > LISTED:
                lines.append((f"and {len(rows) - LISTED} more", ""))
        cells = "".join(f"<tr><td>{escape(one)}</td><td>{escape(other)}</td></tr>" for one, other in lines)
        return f"<h2>Without a face</h2><table>{cells}</table>"


def _placed(row: pd.Series) -> str:
    """Return the file of a row, with the time in a video."""
    return str(row["file"]) if np.isnan(row["time"]) else f"{row['file']} at {row['time']:.2f} s"


def _framed(picture: str, caption: str) -> str:
    """Return a picture with its caption, if it has one."""
    below = f"<small>{escape(caption)}</small>" if caption else ""
    return f"<div>{picture}{below}</div>"


def _picture(image: Image, title: str) -> str:
    import cv2

    written, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert written
    text = base64.b64encode(data.tobytes()).decode()
    return f'<img src="data:image/jpeg;base64,{text}" alt="{escape(title)}" title="{escape(title)}">'


def _unrecognisable(image: Image) -> Image:
    """Return a few large soft squares: so little is left that nobody can be told apart by it."""
    import cv2

    side = image.shape[0]
    small = cv2.resize(image, (PIECES, PIECES), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
