"""The user's choice of crops, from a command line or a sweep file, instead of the datasets' own recipes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from pydantic import model_validator

from fer_bench.data.crops.detectors import Detector
from fer_bench.data.crops.recipe import AS_SHIPPED, CropKind
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import UsageError, nearest
from fer_bench.schema import Frozen

Faces = Literal["whole", "detect"]
EVERY = "all"
KINDS: tuple[CropKind, ...] = get_args(CropKind)
_RECIPE = re.compile(r"([a-z]+)(?:\+(\d+(?:\.\d+)?)(%?))?")
_EXAMPLE = "examples: --crop similarity; --crop box+0.3; --crop rafdb=detect"


class CropWish(Frozen):
    """A recipe that the user chose for a dataset.

    Attributes:
        dataset: Dataset, or `all` for every dataset that has what the kind needs.
        kind: How faces are cropped, see `fer_bench.data.crops.recipe.CropRecipe`.
        margin: Enlargement of the square as a share of its side, None for the recipe's default.
    """

    dataset: str
    kind: CropKind
    margin: float | None = None

    @property
    def text(self) -> str:
        """Return the recipe in the form of the command line."""
        return self.kind + ("" if self.margin is None else f"+{self.margin:g}")


class CropChoice(Frozen):
    """All recipes that the user chose; other datasets are cropped in their own way.

    Attributes:
        wishes: At most one recipe per dataset; it takes precedence over a recipe for all.
        faces: How to treat pictures of datasets without boxes and landmarks: `whole` takes them as cropped
            faces, `detect` searches for faces; None leaves it to the dataset.
        detector: What searches for faces; None for MTCNN.
    """

    wishes: tuple[CropWish, ...] = ()
    faces: Faces | None = None
    detector: Detector | None = None

    @model_validator(mode="after")
    def _one_wish_each(self) -> CropChoice:
        names = [wish.dataset for wish in self.wishes]
        if len(set(names)) != len(names):
            raise ValueError(f"more than one recipe for one dataset: {names}")
        return self

    @property
    def key(self) -> dict[str, str]:
        """Return the choice as a run key contains it; empty if nothing was chosen."""
        wishes = {wish.dataset: wish.text for wish in sorted(self.wishes, key=lambda w: w.dataset)}
        more = {"faces": self.faces, "detector": self.detector}
        return wishes | {name: str(value) for name, value in more.items() if value is not None}

    def apply(self, dataset: FaceDataset) -> None:
        """Set how a dataset is cropped.

        Raises:
            UsageError: A recipe was chosen for this dataset by name, and it lacks what the recipe needs.
        """
        name = dataset.card.name
        if self.detector is not None:
            dataset.detector = self.detector
        own = next((wish for wish in self.wishes if wish.dataset == name), None)
        wish = own or next((wish for wish in self.wishes if wish.dataset == EVERY), None)
        if wish is not None:
            problem = _problem(dataset, wish.kind)
            if problem is None:
                dataset.crop, dataset.margin = wish.kind, wish.margin
                return
            if own is not None:
                usable = [kind for kind in KINDS if _problem(dataset, kind) is None]
                raise UsageError(
                    f"{name} cannot be cropped like this: {problem}",
                    value=wish.text,
                    hint=f"--crop {name}={'|'.join(usable)}",
                )
        if self.faces == "whole" and dataset.crop == "detect":
            dataset.crop = "fit"
        elif self.faces == "detect" and dataset.crop in AS_SHIPPED and _problem(dataset, "whole") is None:
            dataset.crop = "detect"


def read_crops(
    texts: Sequence[str], faces: Faces | None, known: Iterable[str], detector: Detector | None = None
) -> CropChoice:
    """Return the choice given by texts of the form `[dataset=]kind[+margin]`.

    Args:
        texts: As on the command line; a margin is a share (`0.3`) or per cent (`30%`).
        faces: See `CropChoice`.
        known: Names of datasets.
        detector: See `CropChoice`.

    Raises:
        UsageError: An unknown dataset or kind, a margin out of range, or two recipes for one dataset.
    """
    names = tuple(known)
    wishes: list[CropWish] = []
    for text in texts:
        before, equals, recipe = text.rpartition("=")
        dataset = before.strip() if equals else EVERY
        if dataset != EVERY and dataset not in names:
            raise UsageError("unknown dataset", value=text, hint=nearest(dataset, names))
        match = _RECIPE.fullmatch(recipe.strip())
        if match is None:
            raise UsageError("a crop is written [dataset=]kind[+margin]", value=text, hint=_EXAMPLE)
        kind = next((kind for kind in KINDS if kind == match[1]), None)
        if kind is None:
            raise UsageError("unknown crop", value=text, hint=f"{nearest(match[1], KINDS)}; {_EXAMPLE}")
        margin = None if match[2] is None else float(match[2]) / (100 if match[3] else 1)
        if margin is not None and (margin > 1 or kind in AS_SHIPPED):
            problem = f"{kind} has no margin" if kind in AS_SHIPPED else "a margin is a share from 0 to 1"
            raise UsageError(problem, value=text, hint=_EXAMPLE)
        if dataset in [wish.dataset for wish in wishes]:
            raise UsageError(f"more than one crop for {dataset}", value=text, hint="keep one of them")
        wishes.append(CropWish(dataset=dataset, kind=kind, margin=margin))
    return CropChoice(wishes=tuple(wishes), faces=faces, detector=detector)


def crops_of_key(held: Mapping[str, str]) -> CropChoice:
    """Return the choice that a run key contains, see `CropChoice.key`.

    Raises:
        UsageError: No run key contains this.
    """
    texts = [f"{name}={recipe}" for name, recipe in held.items() if name not in (EVERY, "faces", "detector")]
    texts += [held[EVERY]] if EVERY in held else []
    faces = next((choice for choice in get_args(Faces) if choice == held.get("faces")), None)
    detector = next((choice for choice in get_args(Detector) if choice == held.get("detector")), None)
    return read_crops(texts, faces, held, detector)


def _problem(dataset: FaceDataset, kind: CropKind) -> str | None:
    """Return why a dataset cannot be cropped in a way, None if it can."""
    index = dataset.index
    if kind == "box":
        return None if index["box"].notna().any() else "no row has a face box"
    if kind == "similarity" and dataset.detector != "cascade" and index["box"].notna().any():
        return None  # the detector finds the landmarks of the face in the box
    if kind in ("landmarks", "similarity"):
        has = index["landmarks"].notna()
        if not has.any():
            return "no row has landmarks"
        if kind == "similarity" and not index["landmarks"][has].map(len).isin([5, 68]).any():
            return "its landmarks are neither 5 nor 68 points"
        return None
    if kind in AS_SHIPPED and index["box"].notna().any():
        return "a picture may hold several faces, told apart by their boxes"
    return None
