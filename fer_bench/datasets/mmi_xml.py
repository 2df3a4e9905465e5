"""MMI's XML files: the view of a session, the emotion of a clip and the coding of its action units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading.dependencies import note_read
from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import DataError

VIEWS: dict[str, tuple[str, ...]] = {"0": ("frontal",), "1": ("profile",), "2": ("dual-left", "dual-right")}
"""The faces that a clip of each view shows."""
_NEUTRAL, _APEX, _OFFSET = 0, 2, 3


@dataclass(frozen=True)
class Coding:
    """Action-unit markers of a clip: per unit the frame (from 1) at which each phase starts, ascending."""

    phases: Mapping[str, Sequence[tuple[int, int]]]

    def phase(self, unit: str, frame: int) -> int:
        """Return the phase of a unit at a frame counted from 1, neutral where nothing is marked."""
        current = _NEUTRAL
        for start, phase in self.phases.get(unit, ()):
            if start > frame:
                break
            current = phase
        return current

    def apex(self, frames: int) -> int | None:
        """Return the middle frame (from 0) of the first longest run with most units at apex at once.

        Args:
            frames: Number of frames of the clip.
        """
        together = [sum(self.phase(u, f) == _APEX for u in self.phases) for f in range(1, frames + 1)]
        most = max(together, default=0)
        if most == 0:
            return None
        begin, length = 0, 0
        start = 0
        while start < frames:
            end = start
            while end < frames and together[end] == most:
                end += 1
            if end - start > length:
                begin, length = start, end - start
            start = end + 1
        return begin + (length - 1) // 2

    def units(self, frame: int) -> NDArray[np.int8]:
        """Return action units [12] of a frame from 0: 1 at apex, 0 neutral or not listed, -1 on the way."""
        known = {_APEX: 1, _NEUTRAL: 0}
        return np.asarray([known.get(self.phase(str(u), frame + 1), -1) for u in ACTION_UNITS], np.int8)


def read_view(session: Path) -> str | None:
    """Return the view of a session, a key of `VIEWS`; None where session.xml is missing or names not one.

    Raises:
        DataError: session.xml is malformed or has an unknown view.
    """
    file = session / "session.xml"
    note_read(file)
    if not file.is_file():
        return None
    views: set[str] = set()
    for element in _elements(file):
        if element.tag == "track" and "view" in element.attributes:
            view = element.attributes["view"].strip()
            if view not in VIEWS:
                raise DataError("a view is 0, 1 or 2", file=file, line=element.line, value=view)
            views.add(view)
    return views.pop() if len(views) == 1 else None


def read_emotions(file: Path) -> set[str]:
    """Return the values of a clip's Emotion tags, as text without padding.

    Raises:
        DataError: The XML is malformed or a value is not a whole number from 1.
    """
    return {
        str(element.whole("Value", "an Emotion value", at_least=1))
        for element in _elements(file)
        if element.tag == "Metatag" and element.attributes.get("Name") == "Emotion"
    }


def read_coding(file: Path) -> Coding | None:
    """Return the action-unit coding of a clip, None when it lists no unit.

    Unit numbers stay text: some are not plain numbers.

    Raises:
        DataError: The XML is malformed, or a marker's frame or type is not what the format knows.
    """
    phases: dict[str, list[tuple[int, int]]] = {}
    unit = ""
    for element in _elements(file):
        if element.tag == "ActionUnit":
            unit = element.attributes.get("Number", "").strip()
            phases.setdefault(unit, [])
        elif element.tag == "Marker":
            frame = element.whole("Frame", "a marker's Frame", at_least=1)
            kind = element.whole("Type", "a marker's Type", at_least=_NEUTRAL)
            if kind > _OFFSET:
                raise DataError("a marker's Type is 0 to 3", file=file, line=element.line, value=kind)
            phases.setdefault(unit, []).append((frame, kind))
    return Coding({name: sorted(starts) for name, starts in phases.items()}) if phases else None


@dataclass(frozen=True)
class _Element:
    """An XML start tag: its name, its attributes, its file and line."""

    tag: str
    attributes: Mapping[str, str]
    file: Path
    line: int

    def whole(self, name: str, what: str, *, at_least: int) -> int:
        """Return an attribute that is a whole number."""
        text = self.attributes.get(name)
        number = int(text) if text is not None and text.strip().isdecimal() else None
        if number is None or number < at_least:
            problem = f"{what} is a whole number from {at_least}"
            raise DataError(problem, file=self.file, line=self.line, value=text)
        return number


def _elements(file: Path) -> list[_Element]:
    """Return the start tags of an XML file in document order.

    Raises:
        DataError: The file cannot be read or is not well-formed XML.
    """
    note_read(file)
    found: list[_Element] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        found.append(_Element(tag, attributes, file, parser.CurrentLineNumber))

    parser.StartElementHandler = start
    try:
        parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code)
        raise DataError(f"malformed XML: {problem}", file=file, line=error.lineno) from None
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", file=file) from None
    return found
