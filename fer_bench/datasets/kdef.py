"""KDEF: 70 people posing seven expressions in two sessions, each seen from five angles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.data.card import Card, ExpectedCount, Quirk, TreeEntry, fold_protocols, native_classes
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.pictures import read_picture
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import matching, some_files, subfolders
from fer_bench.emotions import BASIC_SIX, LABEL_SETS
from fer_bench.errors import DataError

_NAMES = "TytanMikJas/AffectiveAI: src/const/maps.py"
_PERSON = r"([AB])([FM])(0[1-9]|[12]\d|3[0-5])"
_PICTURE = rf"{_PERSON}(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR){ENDING}"
_SEX = {"F": "female", "M": "male"}
_SIZE = (762, 562)
_DARK = 10.0
"""Standard deviation of the greys (0 to 255) below which a picture is black; faces are far above."""
_SUSPECTS = frozenset(
    {
        *("AF01SUFR", "AF10AFFR", "AF11NEHL", "AF20DIHL", "AM25DIFL"),
        *("AM34DIFR", "BF13NEHR", "BM21DIFL", "BM22DIHL", "BM24DIFL"),
        *("AM05ANFR", "BM10ANFR"),
    }
)
"""Pictures that are known to be black or of another size; each is checked before it is left out."""

_CODES = ("AF", "AN", "DI", "HA", "NE", "SA", "SU")
_CLASSES = ("afraid", "angry", "disgusted", "happy", "neutral", "sad", "surprised")
_ANGLES = {
    "S": "straight",
    "HL": "half left profile",
    "HR": "half right profile",
    "FL": "full left profile",
    "FR": "full right profile",
}

CARD = Card(
    name="kdef",
    title="KDEF",
    setting="lab",
    citation=(
        "Lundqvist, Flykt & Öhman (1998), The Karolinska Directed Emotional Faces - KDEF, CD ROM, "
        "Karolinska Institutet"
    ),
    licence="Non-commercial science only, no redistribution.",
    obtain="Register at kdef.se",
    classes=native_classes(_CLASSES, _CODES),
    tree=(
        TreeEntry(
            "KDEF/<AF01>/<AF01ANFL>.JPG",
            "562x762 colour pictures: session A or B, sex and number, expression, angle FL HL S HR FR",
        ),
    ),
    protocols=(
        *fold_protocols({"7": LABEL_SETS["7"], "6": BASIC_SIX}, variants=("S",)),
        *(
            protocol.model_copy(
                update={"name": f"{protocol.name}-{name}", "note": f"{protocol.note}; {what}"}
            )
            for name, angles, what in (
                *((code.lower(), (code,), text) for code, text in _ANGLES.items() if code != "S"),
                ("all", tuple(_ANGLES), "all five angles"),
            )
            for protocol in fold_protocols({"7": LABEL_SETS["7"]}, variants=angles)
            if protocol.name == "7-10fold"
        ),
    ),
    default_protocol="7-10fold",
    quick_protocol="7-4fold",
    counts=(
        *(
            ExpectedCount(
                split="none",
                code=code,
                unit="images",
                n=140,
                trust="inferred",
                source="straight views: 70 people in two sessions",
            )
            for code in _CODES
        ),
        ExpectedCount(split="none", code=None, unit="subjects", n=70, trust="code", source=_NAMES),
    ),
    quirks=(
        Quirk(
            "The subject is sex and number: sessions A and B show the same person, so AF01 and BF01 share a "
            "fold.",
            "code",
            _NAMES,
        ),
        Quirk(
            "AF31V.JPG and AM31H.JPG have wrong names: files whose names are not as documented are ignored.",
            "code",
            _NAMES,
        ),
        Quirk(
            "Ten pictures are black and two have another size (970x633). The known ones are checked, and "
            "left out if it is so.",
            "code",
            _NAMES,
        ),
        Quirk(
            "Public copies have all pictures in one folder, or by expression: they are read as repackaged, "
            "as the names say everything.",
            "secondary",
            "listings of public copies",
        ),
        Quirk(
            "AKDEF (averaged faces) shows the same people: its folder next to KDEF is not read.",
            "code",
            "public loader",
        ),
    ),
    unit="subject",
    variant_parts=("pose",),
    as_target="all",
)


class KDEF(FaceDataset):
    """Read KDEF; `variant` is the angle. Protocols use the straight view unless their name says otherwise."""

    card = CARD
    crop = "detect"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder with the people's folders: the given one, or `KDEF` in it or one level deeper."""
        named = [child for child in subfolders(folder) if "KDEF" in child.name.upper()]
        deeper = [child for outer in named for child in subfolders(outer)]
        places = [folder, *(p for p in (*named, *deeper) if p.name.casefold() == "kdef")]
        fits = (p for p in places if any(re.fullmatch(_PERSON, child.name) for child in subfolders(p)))
        return next(fits, None) or next((place for place in places if _flat(place)), None)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per picture that is named as documented and not black.

        Raises:
            DataError: A picture of one person is in another person's folder.
        """
        met: defaultdict[str, list[str]] = defaultdict(list)
        people = [match.string for match in matching(self.base, self.base, _PERSON, folders=True)]
        if not people:
            self.notes.append(
                "repackaged: a public copy without a folder per person is read; its file names keep person, "
                "expression and angle"
            )
        seen: set[str] = set()
        for person in people or _flat(self.base):
            folder = self.base / person
            known = matching(folder, self.base, _PICTURE)
            names = {match.string for match in known}
            pictures = [match.string for match in matching(folder, self.base, rf".*{ENDING}")]
            met["pictures with wrong names are ignored"] += [name for name in pictures if name not in names]
            for match in known:
                stem, file = match.string.rpartition(".")[0], folder / match.string
                if people and not stem.startswith(person):
                    problem = f"a picture of {stem[:4]} is in the folder of {person}"
                    raise_or_collect(DataError(problem, file=file))
                    continue
                if stem in seen:
                    raise_or_collect(
                        DataError("the picture is there under two endings", file=file, value=stem)
                    )
                    continue
                seen.add(stem)
                if stem in _SUSPECTS and (fault := _fault(file)):
                    met[f"pictures {fault} are left out"].append(match.string)
                    continue
                yield {
                    "sample_id": stem,
                    "path": file.relative_to(self.base).as_posix(),
                    "native_label": match[4],
                    "label": self.card.emotion_of(match[4]),
                    "subject": f"{match[2]}{match[3]}",
                    "group": f"{match[2]}{match[3]}",
                    "variant": match[5],
                    "gender": _SEX[match[2]],
                }
        self.notes += counted(met)


def _flat(folder: Path) -> list[str]:
    """Return where a copy without a folder per person has pictures: the folder itself, or folders in it."""
    if any(re.fullmatch(_PICTURE, name) for name in some_files(folder)):
        return [""]
    inner = (child for child in subfolders(folder) if "AKDEF" not in child.name.upper())
    return [c.name for c in inner if any(re.fullmatch(_PICTURE, name) for name in some_files(c))]


def _fault(file: Path) -> str:
    """Return what is wrong with a picture, or an empty text."""
    try:
        picture = read_picture(file)
    except DataError:
        return "that cannot be decoded"
    if float(np.std(picture)) < _DARK:
        return "that are black"
    return "" if picture.shape[:2] == _SIZE else "of another size"
