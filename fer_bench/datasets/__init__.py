"""The datasets, one file each, and the registry that finds them by name without importing them.

Each dataset has a LightningDataModule, named after its reader, that can be imported from here:
`from fer_bench.datasets import RAFDBDataModule`. torch is imported only then.
"""

from __future__ import annotations

import re
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import UsageError, nearest
from fer_bench.registry import Registry

if TYPE_CHECKING:
    from fer_bench.data.loading.reader_module import ReaderDataModule

BUILT_IN: dict[str, str] = {
    "ckplus": "fer_bench.datasets.ckplus:CKPlus",
    "mmi": "fer_bench.datasets.mmi:MMI",
    "oulu": "fer_bench.datasets.oulu:OuluCASIA",
    "rafdb": "fer_bench.datasets.rafdb:RAFDB",
    "affectnet7": "fer_bench.datasets.affectnet:AffectNet7",
    "expw": "fer_bench.datasets.expw:ExpW",
    "affwild2": "fer_bench.datasets.affwild2:AffWild2",
    "fer2013": "fer_bench.datasets.fer2013:FER2013",
    "ferplus": "fer_bench.datasets.ferplus:FERPlus",
    "sfew": "fer_bench.datasets.sfew:SFEW",
    "jaffe": "fer_bench.datasets.jaffe:JAFFE",
    "kdef": "fer_bench.datasets.kdef:KDEF",
    "abaw3expr": "fer_bench.datasets.abaw3:ABAW3Expression",
    "abaw3va": "fer_bench.datasets.abaw3:ABAW3Affect",
    "abaw3au": "fer_bench.datasets.abaw3:ABAW3Units",
    "mmafedb": "fer_bench.datasets.mmafedb:MMAFEDB",
    "folder": "fer_bench.datasets.folder:Folder",
}
MAIN_SEVEN: tuple[str, ...] = ("ckplus", "mmi", "oulu", "rafdb", "affectnet7", "expw", "affwild2")
"""The datasets of the leaderboard: the named target list of the generalisation score."""
_SUFFIX = "DataModule"


REGISTRY: Registry[type[FaceDataset]] = Registry(
    "dataset",
    "fer_bench.datasets",
    BUILT_IN,
    base="fer_bench.data.reading.dataset:FaceDataset",
    name_of=lambda reader: reader.card.name,
)
names, get = REGISTRY.names, REGISTRY.get


def __getattr__(name: str) -> type[ReaderDataModule]:
    """Return the LightningDataModule class of a dataset; it is made on first use and then kept.

    Raises:
        AttributeError: No dataset has a class of this name.
    """
    datasets = _datamodules() if name.endswith(_SUFFIX) else {}
    if name not in datasets:
        near = nearest(name, _datamodules())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {near}")
    maker = import_module("fer_bench.data.loading.reader_module")  # by name: nothing else here needs torch
    found: type[ReaderDataModule] = maker.datamodule_class(get(datasets[name]), name, __name__)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_datamodules()})


def _datamodules() -> dict[str, str]:
    """Return the dataset of each LightningDataModule class, by the name of the class."""
    found: dict[str, str] = {}
    for name, target in REGISTRY.targets.items():
        found.setdefault(target.rpartition(":")[2] + _SUFFIX, name)
    return found


def looks_like(root: Path) -> list[str]:
    """Return the built-in datasets whose official layout a folder has, or that are in folders below it.

    A plain folder of pictures is named only if nothing else surely fits: many layouts are that as well.
    """
    fitting = []
    for name in BUILT_IN:
        base = get(name).find(root) if name != "folder" else None
        if base is not None and get(name).is_surely(base):
            fitting.append(name)
    if not fitting and get("folder").locate(root) is not None:
        return ["folder"]
    return fitting


def named_in(text: str) -> tuple[str, ...]:
    """Return the datasets that a text names by their name or title, such as `AffectNet-8, Raf DB and FER+`.

    Case, hyphens, spaces and a number at the end do not matter, nor whether `+` is written out.
    """
    given = _spellings(text) | _spellings(text.replace("+", "plus"))
    known = {
        name: {_without_number("".join(_words(title.replace("+", "plus")))) for title in (name, card.title)}
        for name, card in ((name, reader.card) for name, reader in REGISTRY.usable().items())
        if name != "folder"
    }
    return tuple(name for name, titles in known.items() if titles & given)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+[0-9]*|[0-9]+", text.lower())


def _spellings(text: str) -> set[str]:
    """Return one to three successive words of a text, written as one, for each place in it."""
    words = _words(text)
    places = ((at, at + length) for at in range(len(words)) for length in (1, 2, 3))
    return {_without_number("".join(words[start:end])) for start, end in places}


def _without_number(word: str) -> str:
    """Return a word without the number at its end, unless that is most of a short name like FER2013."""
    return re.sub(r"(?<=[a-z]{4})[0-9]+$", "", word)


def members_of(source: str) -> tuple[str, ...]:
    """Return the datasets of a source: itself, or those of a union `a+b`. See `source_name` for a check."""
    return tuple(source.split("+"))


def source_name(source: str) -> str:
    """Return the name of a source: a dataset, or a union with its members in alphabetical order.

    Args:
        source: A dataset's name, or several joined by `+` in any order.

    Raises:
        UsageError: A name is unknown or repeated, or two datasets of a union hold the same pictures.
    """
    members = sorted(part.strip() for part in members_of(source))
    for name in members:
        if name not in names():
            hint = nearest(name, names()) if name else "a union is written ckplus+mmi+oulu"
            raise UsageError("unknown dataset", value=name or source, hint=hint)
        if members.count(name) > 1:
            raise UsageError(f"{name} comes twice in a union", value=source, hint="name each dataset once")
    for one, other in combinations(members, 2):
        if share_pixels(one, other):
            raise UsageError(
                f"{one} and {other} hold the same pictures, so one's test pictures would train the other",
                value=source,
                hint="leave one of them out of the union",
            )
    return "+".join(members)


def share_pixels(one: str, other: str) -> bool:
    """Return whether two datasets hold the same pictures, as either card says."""
    return other in get(one).card.shares_pixels_with or one in get(other).card.shares_pixels_with
