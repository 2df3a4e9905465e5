"""Who is in a picture, as far as folders and file names of public datasets say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fer_bench.data.card import SplitName

FEWEST = 3
"""People below which rows cannot be dealt by person: one to train, one to validate and one to test."""
SHARE = 0.9
"""Share of file names that must follow one scheme before it counts."""


@dataclass(frozen=True)
class Scheme:
    """How a dataset names its files.

    Attributes:
        dataset: The dataset, for the note.
        pattern: Regular expression for the stem; the groups `person` and `sequence` are taken from it.
    """

    dataset: str
    pattern: re.Pattern[str]


SCHEMES: tuple[Scheme, ...] = (
    Scheme("CK+", re.compile(r"(?P<person>S\d{3})_(?P<sequence>\d{3})_\d{6,8}.*")),
    Scheme(
        "KDEF", re.compile(r"[AB](?P<person>[FM]\d\d)(?:AF|AN|DI|HA|NE|SA|SU)(?:S|HL|HR|FL|FR)\b.*", re.I)
    ),
    Scheme("JAFFE", re.compile(r"(?P<person>[A-Z]{2})\.(?:AN|DI|FE|HA|NE|SA|SU)\d\.\d+.*")),
    Scheme("MMI", re.compile(r"(?P<person>S\d{3})-(?P<sequence>\d{3}).*")),
    Scheme(
        "numbered people",
        re.compile(
            r"(?P<person>(?:subject|subj|sub|person|participant|actor|s|p)[-_ ]?\d{1,4})[-_. ].*", re.I
        ),
    ),
)
_RAF = re.compile(r"(?P<split>train|test)_\d{5}(?:_aligned)?.*")


@dataclass(frozen=True)
class People:
    """Who is in each picture.

    Attributes:
        subjects: Person per picture, None where unknown.
        sequences: Recording per picture, None where unknown.
        origin: Where this was read, for the note.
    """

    subjects: list[str | None]
    sequences: list[str | None]
    origin: str


def people_of(folders: Sequence[tuple[str, ...]], stems: Sequence[str]) -> People | None:
    """Return who is in each picture, None if neither folders nor names say so.

    Args:
        folders: Per picture the folders of its path that are neither class nor split.
        stems: Its file name without ending.
    """
    if all(folders) and len(set(folders)) >= FEWEST:
        return People(["/".join(each) for each in folders], [None] * len(stems), "the folders of people")
    for scheme in SCHEMES:
        matches = [scheme.pattern.fullmatch(stem) for stem in stems]
        known = {match["person"].upper() for match in matches if match is not None}
        if len(known) < FEWEST or sum(m is not None for m in matches) < SHARE * len(stems):
            continue
        subjects = [None if m is None else m["person"].upper() for m in matches]
        sequences = [
            None if m is None or "sequence" not in m.groupdict() else f"{m['person'].upper()}/{m['sequence']}"
            for m in matches
        ]
        return People(subjects, sequences, f"the file names ({scheme.dataset})")
    return None


def splits_of(stems: Sequence[str]) -> list[SplitName] | None:
    """Return the part that RAF-DB's file names give, None unless every name is one and both parts occur."""
    matches = [_RAF.fullmatch(stem) for stem in stems]
    found: list[SplitName] = [
        "train" if match["split"] == "train" else "test" for match in matches if match is not None
    ]
    return found if len(found) == len(stems) and len(set(found)) == 2 else None
