"""Unions: several datasets as one source, each under its own protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.card import Card, Folds, NativeClass, Official, Protocol
from fer_bench.data.protocols import QUICK, assign_roles, find_protocol, folds_of, member_protocol
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.pictures import Image
from fer_bench.emotions import LABEL_SETS, Emotion, LabelSet
from fer_bench.errors import DataError, UsageError

_NAMED = ("sample_id", "path", "subject", "sequence", "reference_id", "group")


class UnionDataset(FaceDataset):
    """Datasets that are trained on as one.

    The index has the rows of one member after the other, in the order of their names. Ids, paths, subjects,
    sequences and groups start with the member's name and a slash, so that they are unique. Pictures and packs
    are the members' own.

    Args:
        members: At least two datasets.

    Raises:
        UsageError: The members have fewer than two emotions in common.
    """

    def __init__(self, members: Sequence[FaceDataset]) -> None:
        self.members = tuple(sorted(members, key=lambda member: member.card.name))
        self.card = union_card([member.card for member in self.members])
        self.root = self.base = Path(os.path.commonpath([member.base.absolute() for member in self.members]))
        self.notes, self.warnings = [], []
        for member in self.members:
            _ = member.index  # reading makes the notes
            self.notes += [f"{member.card.name}: {note}" for note in member.notes]
            self.warnings += [f"{member.card.name}: {warning}" for warning in member.warnings]

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return None: a union has no folder."""
        return None

    @cached_property
    def index(self) -> pd.DataFrame:
        """The members' indexes, one after the other."""
        parts = []
        for member in self.members:
            own, name = member.index, member.card.name
            parts.append(own.assign(**{column: f"{name}/" + own[column] for column in _NAMED}))
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Index position of each member's first row, and the number of rows, int64 [members + 1]."""
        return np.cumsum([0, *(len(member.index) for member in self.members)], dtype=np.int64)

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield the rows of the index."""
        for row in self.index.to_dict("records"):
            yield {str(name): value for name, value in row.items()}

    def leave_out(self, names: Iterable[str]) -> int:
        """Refuse to leave out rows: they are left out of the members.

        Raises:
            DataError: Always.
        """
        raise DataError("rows are left out of the members of a union", value=min(names, default=None))

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Decode frames of one file of a member; the path starts with the member's name."""
        name, _, own = path.partition("/")
        return self.member(name).load(own, frames)

    def member(self, name: str) -> FaceDataset:
        """Return a member.

        Raises:
            UsageError: No such member.
        """
        for member in self.members:
            if member.card.name == name:
                return member
        raise UsageError(f"not a member of {self.card.name}", value=name)

    def roles(self, protocol: Protocol | str | None = None, fold: int = 1) -> NDArray[np.str_]:
        """Return the role of every row under its member's own protocol, see `FaceDataset.roles`.

        Members without folds have one split.
        """
        parts = []
        for member in self.members:
            own = member_protocol(member.card, self.protocol(protocol))
            number = fold if len(folds_of(own)) > 1 else 1
            parts.append(assign_roles(member.index, member.card, own, number))
        return np.concatenate(parts)


def common_label_set(cards: Sequence[Card]) -> LabelSet:
    """Return neutral and the six basic emotions, as far as all datasets have them.

    Neutral first frames of lab sequences count as neutral.
    """
    return tuple(e for e in LABEL_SETS["7"] if all(e in card.emotions for card in cards))


def union_card(cards: Sequence[Card]) -> Card:
    """Return the card of a union, with a protocol `<number of classes>-union` for each profile.

    If neutral is among the classes, there are also protocols without it. A union has as many folds as the
    member with the fewest, because each run needs a fold of every member.

    Args:
        cards: The members' cards, sorted by name.

    Raises:
        UsageError: The members have fewer than two emotions in common.
    """
    name = "+".join(card.name for card in cards)
    widest = common_label_set(cards)
    label_sets = dict.fromkeys((widest, tuple(e for e in widest if e is not Emotion.NEUTRAL)))
    if min(map(len, label_sets)) < 2:
        raise UsageError(f"the members of {name} have fewer than two emotions in common", value=list(widest))
    protocols = tuple(
        Protocol(
            name=f"{len(label_set)}-union{QUICK if quick else ''}",
            label_set=label_set,
            split=_split(cards, quick=quick),
            note="every member's own folds or split",
        )
        for quick in (False, True)
        for label_set in label_sets
    )
    titles = ", ".join(card.title for card in cards)
    return Card(
        name=name,
        title=titles,
        setting="lab" if all(card.setting == "lab" for card in cards) else "wild",
        citation="; ".join(card.citation for card in cards),
        licence="The terms of all members apply.",
        obtain="See each member.",
        classes=tuple(NativeClass(e.value, e.value, e) for e in widest),
        tree=(),
        protocols=protocols,
        default_protocol=f"{len(widest)}-union",
        quick_protocol=f"{len(widest)}-union{QUICK}",
        unit="subject" if all(card.unit == "subject" for card in cards) else "image",
        has_va=any(card.has_va for card in cards),
        has_au=any(card.has_au for card in cards),
        has_reference=any(card.has_reference for card in cards),
        shares_pixels_with=tuple(sorted({other for card in cards for other in card.shares_pixels_with})),
    )


def _split(cards: Sequence[Card], *, quick: bool) -> Folds | Official:
    numbers = [len(folds_of(find_protocol(card, None, quick=quick))) for card in cards]
    return Folds(k=min(k for k in numbers if k > 1)) if max(numbers) > 1 else Official()
