"""Whether terms allow commercial use, as far as cards say."""

from __future__ import annotations

import re
from typing import Literal

Answer = Literal["yes", "no", "unknown"]
_NO = re.compile(r"\bnon-commercial\b|\bresearch (and education )?only\b", re.IGNORECASE)
_FREE = re.compile(r"MIT|BSD(-[23]-Clause)?|Apache-2\.0|CC0-1\.0|CC-BY-4\.0", re.IGNORECASE)
DRAWN = "drawn by this package (MIT); no pictures of people"


def commercial(terms: str) -> Answer:
    """Return whether terms allow commercial use; unknown where they neither forbid it nor are a free licence.

    Args:
        terms: As a card words them, or the short name of a licence.
    """
    if terms == DRAWN or _FREE.fullmatch(terms.strip().rstrip(".")):
        return "yes"
    return "no" if _NO.search(terms) else "unknown"


def all_of(answers: list[Answer]) -> Answer:
    """Return whether all of several terms allow it."""
    for answer in ("no", "unknown"):
        if answer in answers:
            return answer
    return "yes"
