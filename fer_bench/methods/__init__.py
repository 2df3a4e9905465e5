"""The methods, one folder each, and a registry that finds them by name without importing torch.

Their classes can be imported from here: `from fer_bench.methods import GCN`. torch is imported only then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fer_bench.errors import nearest
from fer_bench.figures import replace_broken_backend
from fer_bench.provenance.modules import is_authors
from fer_bench.registry import Registry

if TYPE_CHECKING:
    from fer_bench.methods.base import Method
    from fer_bench.methods.cafe.method import CAFE as CAFE
    from fer_bench.methods.distilled.method import Distilled as Distilled
    from fer_bench.methods.erm.method import ERM as ERM
    from fer_bench.methods.gcn.method import GCN as GCN
    from fer_bench.methods.resemotenet.method import ResEmoteNet as ResEmoteNet
    from fer_bench.methods.ssmfar.method import SSMFAR as SSMFAR

replace_broken_backend()  # before a method imports torchmetrics, which imports matplotlib


@dataclass(frozen=True)
class Entry:
    """A line of the registry.

    Attributes:
        target: `module:Class` of the Method.
        title: What the method does, in one line.
        source: The paper.
    """

    target: str
    title: str
    source: str


BUILT_IN: dict[str, Entry] = {
    "cafe": Entry(
        "fer_bench.methods.cafe.method:CAFE",
        "a trained mask chooses channels of a frozen CLIP feature",
        "Zhang et al., ECCV 2024, arXiv:2408.10614",
    ),
    "erm": Entry(
        "fer_bench.methods.erm.method:ERM",
        "the plain baseline: one network of timm or of this package, and cross-entropy",
        "Vapnik, 1998; Gulrajani and Lopez-Paz, arXiv:2007.01434",
    ),
    "gcn": Entry(
        "fer_bench.methods.gcn.method:GCN",
        "generative-contrastive network: compares a face with a generated reference of the same person",
        "Kim et al., arXiv:1703.07140",
    ),
    "resemotenet": Entry(
        "fer_bench.methods.resemotenet.method:ResEmoteNet",
        "convolutions, one squeeze-and-excitation block and three residual blocks",
        "Roy et al., IEEE SPL 2024, arXiv:2409.10545",
    ),
    "ssmfar": Entry(
        "fer_bench.methods.ssmfar.method:SSMFAR",
        "expressions, valence-arousal and action units together, also from rows without expression label",
        "Gera et al., ECCVW 2022, arXiv:2207.09012",
    ),
}
UNLISTED: dict[str, Entry] = {
    "distilled": Entry(
        "fer_bench.methods.distilled.method:Distilled",
        "a small network learns what a trained teacher answers: fer-bench distill",
        "Hinton et al., arXiv:1503.02531; Tung and Mori, ICCV 2019, arXiv:1907.09682",
    ),
}
"""Methods that need more than their name, and so are not among `all`."""


REGISTRY: Registry[type[Method[Any]]] = Registry(
    "method",
    "fer_bench.methods",
    {name: entry.target for name, entry in BUILT_IN.items()},
    base="fer_bench.methods.base:Method",
    name_of=lambda kind: kind.name,
    unlisted={name: entry.target for name, entry in UNLISTED.items()},
)
names, known, get = REGISTRY.names, REGISTRY.known, REGISTRY.get


def entry(name: str) -> Entry:
    """Return what is known of a method without importing it.

    Raises:
        UsageError: No such method; near names are suggested.
    """
    own = BUILT_IN | UNLISTED
    if name not in own and name not in names():
        get(name)
    return own.get(name) or Entry(REGISTRY.targets[name], f"from {REGISTRY.targets[name]}", "")


def __getattr__(name: str) -> type[Method[Any]]:
    """Return the class of a method, imported on first use.

    Raises:
        AttributeError: No method has a class of this name; near names are suggested.
    """
    classes = _classes()
    if name not in classes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {nearest(name, classes)}")
    return get(classes[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *_classes()})


def _classes() -> dict[str, str]:
    """Return the method of each class, by the name of the class."""
    return {REGISTRY.targets[name].rpartition(":")[2]: name for name in reversed(known())}


def code_roots(name: str) -> list[str]:
    """Return where the code of a method begins: its entry point, its class and what that inherits from.

    Raises:
        UsageError: No such method, or it cannot be imported.
    """
    kind = get(name)
    own = kind.__module__.partition(".")[0]
    bases = {base.__module__ for base in kind.__mro__}
    return [
        REGISTRY.targets[name],
        *sorted(each for each in bases if is_authors(each.partition(".")[0], own)),
    ]
