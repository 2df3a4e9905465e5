"""The synthetic FERPlus: the faces of the synthetic FER2013, and ten people's votes on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import Emotion
from fer_bench.synthetic.expressions import CONFUSIONS, STYLES, Expression, behind_label
from fer_bench.synthetic.layouts import fer2013
from fer_bench.synthetic.layouts.casting import Chunks, Rng, planted, wild
from fer_bench.synthetic.layouts.files import write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.truth import COLUMNS

Votes = NDArray[np.int64]

FERPLUS_ORDER = tuple(
    Emotion(e)
    for e in ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
)
_CSV = "fer2013new.csv"
_HEADER = ",".join(("Usage", "Image name", *FERPLUS_ORDER, "unknown", "NF"))
_NOT_A_FACE = len(FERPLUS_ORDER) + 1
_TAGGERS = 10

# How divided the annotators are, chosen on the development population so that the votes for a row's leading
# class are distributed as in microsoft/FERPlus: fer2013new.csv.
_AGREEMENT = (0.30, 0.60)
"""Share of votes for the emotion drawn: at clarity 0, and what clarity 1 adds."""
_AGREEMENT_SPREAD = 0.15
_AGREEMENT_BOUNDS = (0.30, 0.99)
_UNSURE = 0.17
"""Share of the other votes that are for `unknown`."""
_STRAY = 179 / 357_110
"""Share of the votes on faces that are for not a face."""

# Counted in microsoft/FERPlus: fer2013new.csv.
_NAMED = 3 / 176
"""Share of the rows without a face that have a picture name."""
_SAME_NAME = 4 / 35_887
"""Share of the rows that carry the name and the votes of the row whose pixels they repeat."""
_NINE = 1 / 35_887
"""Share of the rows with nine votes."""

_LEAST = 2
"""Rows in each part with a majority for contempt: as many as for the rarest labels in `tiny`."""


@dataclass(frozen=True)
class _Panel:
    """The annotators of all rows.

    Attributes:
        faces: Population of the faces, FER2013's.
        taggers: Population that draws the votes.
        rows: FER2013's rows.
        nine: Rows that lack a vote.
        mistaken: Rows, among those in `rows.first`, whose face is taken for contempt.
    """

    faces: Population
    taggers: Population
    rows: fer2013.Rows
    nine: frozenset[int]
    mistaken: frozenset[int] = frozenset()

    def votes(self, row: int) -> Votes:
        """Return the votes on a row, which are for the emotion drawn, whatever FER2013's label is."""
        drawn = int(self.rows.first[row])
        count = _TAGGERS - (row in self.nine)
        if drawn in self.rows.faceless:
            return _all_for(_NOT_A_FACE, count)
        expression = self.expression(drawn)
        emotion = Emotion.CONTEMPT if drawn in self.mistaken else expression.emotion
        return ten_votes(self.taggers.rng("votes", row), emotion, expression.clarity, count)

    def expression(self, drawn: int) -> Expression:
        """Return the expression of a row that shows its own face."""
        return wild(self.faces, drawn, self.rows.labels[drawn])[2]

    def emotion(self, drawn: int) -> Emotion:
        """Return the emotion of `expression`, without drawing the person."""
        style = STYLES[self.faces.dataset]
        return behind_label(self.faces.rng("photo", drawn), self.rows.labels[drawn], style)


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan FERPlus: FER2013's csv as its own writer writes it, and the csv of the votes on its rows.

    A row that repeats the pixels of another has its own votes, as if annotated a second time.
    """
    faces = Population("fer2013", population.name, population.seed)
    rows = fer2013.rows_of(faces, size)
    quirks = population.rng("quirks")
    nine = planted(len(rows.labels), _NINE, quirks)
    panel = _Panel(faces, population, rows, nine)
    panel = _Panel(faces, population, rows, nine, _taken_for_contempt(panel))
    names, voted = _names(rows, quirks, least=0 if size == "tiny" else 1)

    def run(row: int) -> JobResult:
        drawn = fer2013.draw(faces, rows, row)
        votes = panel.votes(int(voted[row]))
        (truth,) = drawn.truth
        leading = leading_emotion(votes)
        truth[COLUMNS.index("label")] = None if leading is None else leading.value
        line = ",".join((rows.usage(row), names[row], *map(str, votes.tolist())))
        return JobResult([f"{drawn.lines[0]}|{line}"], [truth])

    def finish(lines: Sequence[list[str]]) -> None:
        fer2013.write_csv(root, _column(lines, 0))
        write_lines(root / _CSV, chain([_HEADER], _column(lines, 1)))

    return Plan(Chunks(len(rows.labels), run), finish)


def ten_votes(rng: Rng, emotion: Emotion, clarity: float, count: int = _TAGGERS) -> Votes:
    """Return the votes on a face, int64 [10] in the order of the csv's columns.

    Annotators err as in `expressions.votes`, with two differences: the winner is not fixed beforehand, and
    people agree more on some faces than on others that are as clear.

    Args:
        rng: Random generator.
        emotion: The emotion drawn.
        clarity: 1 for a clear expression, towards 0 for a doubtful one.
        count: Number of annotators.
    """
    agree = _AGREEMENT[0] + _AGREEMENT[1] * clarity + rng.normal(0, _AGREEMENT_SPREAD)
    agree = float(np.clip(agree, *_AGREEMENT_BOUNDS))
    others = {e: CONFUSIONS[emotion].get(e, 0.03) for e in FERPLUS_ORDER if e is not emotion}
    share = (1 - agree) * (1 - _UNSURE) / sum(others.values())
    chances = [agree if e is emotion else others[e] * share for e in FERPLUS_ORDER]
    whole = np.array([*chances, (1 - agree) * _UNSURE, _STRAY])
    return np.asarray(rng.multinomial(count, whole / whole.sum()), np.int64)


def leading_emotion(votes: Votes) -> Emotion | None:
    """Return the emotion with the most votes, None where `unknown` or not a face has more."""
    leading = int(np.argmax(votes))
    return FERPLUS_ORDER[leading] if leading < len(FERPLUS_ORDER) else None


def _taken_for_contempt(panel: _Panel) -> frozenset[int]:
    """Return the faces that annotators take for contempt, so that each part has some rows of that class.

    FER2013 has no class contempt: it is drawn only where a label is wrong, which in small sizes may never
    happen. The faces taken for it are the least clear ones of the emotions that it is confused with.
    """
    rows = panel.rows
    found: list[int] = []
    for start, end in zip((0, *rows.ends), rows.ends, strict=False):
        own = [row for row in range(start, end) if rows.first[row] == row and row not in rows.faceless]
        missing = _LEAST
        for row in own:
            if panel.emotion(row) is Emotion.CONTEMPT and _is_contempt(panel.votes(row)):
                missing -= 1
            if not missing:
                break
        else:
            near = {row: panel.expression(row) for row in own}
            doubtful = [row for row in own if Emotion.CONTEMPT in CONFUSIONS[near[row].emotion]]
            for row in sorted(doubtful, key=lambda row: near[row].clarity):
                taken = _Panel(panel.faces, panel.taggers, rows, panel.nine, frozenset([row]))
                if missing and _is_contempt(taken.votes(row)):
                    found.append(row)
                    missing -= 1
    return frozenset(found)


def _is_contempt(votes: Votes) -> bool:
    """Return whether more than half of the votes are for contempt."""
    return bool(2 * votes[FERPLUS_ORDER.index(Emotion.CONTEMPT)] > votes.sum())


def _names(rows: fer2013.Rows, rng: Rng, *, least: int) -> tuple[list[str], NDArray[np.int64]]:
    """Return the picture name of every row, and the row whose votes it carries, mostly its own.

    Rows without a face have no name, with rare exceptions, and are not counted in later names. A few rows
    have the name and votes of the row that they repeat.
    """
    total = len(rows.labels)
    faceless = np.isin(rows.first, list(rows.faceless))
    empty = np.flatnonzero(faceless)
    named = [int(empty[i]) for i in planted(len(empty), _NAMED, rng)]
    nameless = faceless.copy()
    nameless[named] = False
    serials = np.arange(total) - np.cumsum(nameless)
    names = ["" if nameless[row] else f"fer{serials[row]:07d}.png" for row in range(total)]
    voted = np.arange(total)
    again = [row for row in range(rows.ends[0]) if rows.first[row] != row and not faceless[row]]
    share = _SAME_NAME * total / max(1, len(again))
    for i in planted(len(again), share, rng, least=least):
        voted[again[i]] = rows.first[again[i]]
        names[again[i]] = names[voted[again[i]]]
    return names, voted


def _all_for(place: int, count: int) -> Votes:
    votes = np.zeros(len(FERPLUS_ORDER) + 2, np.int64)
    votes[place] = count
    return votes


def _column(lines: Iterable[list[str]], part: int) -> Iterator[str]:
    return (line.split("|")[part] for chunk in lines for line in chunk)
