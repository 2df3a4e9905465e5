"""Notes of readers on what they tolerated, with the names of what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Note(str):
    """A note such as `2 sequences without a frame: S005/001, S010/002`.

    Attributes:
        text: The note without names.
        names: All names.
    """

    text: str
    names: tuple[str, ...]

    def __new__(cls, text: str, names: Sequence[str]) -> Note:
        """Return a note that names the first few."""
        made = super().__new__(cls, f"{text}: {listed(names)}")
        made.text, made.names = text, tuple(names)
        return made

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle text and names."""
        return type(self), (self.text, self.names)


def counted(met: Mapping[str, Sequence[str]]) -> list[Note]:
    """Return a note per heading that has names, such as `2 sequences without a frame: S005/001, S010/002`."""
    return [Note(f"{len(names)} {what}", names) for what, names in met.items() if names]


def listed(names: Sequence[str], *, most: int = 5) -> str:
    """Return names for the end of a sentence, such as `S005/001, S010/002 and 7 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
