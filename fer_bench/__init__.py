"""A benchmark suite for facial expression recognition.

What is named here is the public Python API; each name is imported on first use, so that importing the package
costs nothing. The dataset and method classes are in `fer_bench.datasets` and `fer_bench.methods`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from fer_bench.api import StoreFrames, evaluate, load_method, open_dataset, read_store, run, score, sweep
    from fer_bench.inference.predictor import Predictor

__all__ = [
    "Predictor",
    "StoreFrames",
    "evaluate",
    "load_method",
    "open_dataset",
    "read_store",
    "run",
    "score",
    "sweep",
]

_PACKAGES = ("datasets", "methods")
_HOMES = {"Predictor": "fer_bench.inference.predictor"}
"""Module of each name that is not in `fer_bench.api`."""


def __getattr__(name: str) -> Any:
    """Import what is asked for.

    Raises:
        AttributeError: The package has nothing of that name; near names are suggested.
    """
    if name == "__version__":
        return import_module("fer_bench.distribution").version()
    if name in _PACKAGES:
        return import_module(f"fer_bench.{name}")
    if name not in __all__:
        from fer_bench.errors import nearest

        near = nearest(name, __dir__())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {near}")
    import_module("fer_bench.errors").require_supported_platform()
    home = _HOMES.get(name, "fer_bench.api")
    return getattr(import_module(home), name)  # by name: the package itself depends on nothing


def __dir__() -> list[str]:
    return sorted((*__all__, *_PACKAGES, "__version__"))
