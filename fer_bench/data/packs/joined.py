"""The packs of a union's members as one pack, without copying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.data.packs.pack import Pack
from fer_bench.files import short_hash


class JoinedPixels:
    """The crops of several packs as one array; only the rows that are asked for are copied.

    Args:
        parts: uint8 [N_i, size, size, 3] of each pack.
    """

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.rows = int(self.starts[-1])
        self.shape = (self.rows, *self.parts[0].shape[1:])
        self.dtype = self.parts[0].dtype

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the crops at positions [B] as a new array [B, size, size, 3]."""
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            found[mine] = self.parts[number][rows[mine] - self.starts[number]]
        return found


class JoinedRecipe(CropRecipe):
    """The recipes of a union's members; `kind`, `margin` and `detector` are those of the first member only.

    Attributes:
        members: Recipe of each member.
    """

    members: dict[str, CropRecipe]

    @property
    def text(self) -> str:
        """Return the members' recipes on one line."""
        return "; ".join(f"{name}: {recipe.text}" for name, recipe in self.members.items())


def join_packs(packs: Mapping[str, Pack]) -> Pack:
    """Return the packs of a union's members as one that reads from theirs.

    Args:
        packs: Pack of each member, in the order of the union's index.
    """
    found: dict[str, int] = {}
    for pack in packs.values():
        for way, count in pack.found.items():
            found[way] = found.get(way, 0) + count
    recipes = {name: pack.recipe for name, pack in packs.items()}
    first = next(iter(recipes.values()))
    return Pack(
        pixels=cast(Any, JoinedPixels([pack.pixels for pack in packs.values()])),
        fingerprint=short_hash([[name, pack.fingerprint] for name, pack in packs.items()]),
        pixel_hash=short_hash([[name, pack.pixel_hash] for name, pack in packs.items()]),
        recipe=JoinedRecipe(kind=first.kind, size=first.size, members=recipes),
        found=found,
        weak=np.concatenate([pack.weak for pack in packs.values()]),
        missed=np.concatenate([pack.missed for pack in packs.values()]),
        damaged=np.concatenate([pack.damaged for pack in packs.values()]),
        sides=np.concatenate([pack.sides for pack in packs.values()]),
    )
