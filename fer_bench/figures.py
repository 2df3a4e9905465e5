"""The style of all figures, and writing them so that equal figures have equal bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer_bench.files import write_atomic

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#f0e442", "#000000")
"""Colours that are distinct for colour-blind readers (Okabe and Ito)."""
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
    "savefig.dpi": 150,
}


def replace_broken_backend() -> None:
    """Let matplotlib draw without a display where it refuses the backend that MPLBACKEND names.

    Notebooks set MPLBACKEND for every command that they start, and the package it names is often absent from
    the environment of that command. Importing matplotlib then fails, and with it torchmetrics and Lightning,
    so this is called before they are imported.
    """
    if "MPLBACKEND" not in os.environ or "matplotlib" in sys.modules:
        return
    try:
        import matplotlib  # noqa: F401
    except Exception:
        os.environ["MPLBACKEND"] = "agg"
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            del sys.modules[name]  # left by the import that failed; the next one needs them anew


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the style of the project, independent of the user's matplotlib settings."""
    replace_broken_backend()
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of a width and height in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path, *, dpi: int | None = None) -> None:
    """Write a figure as JPEG (photographs and drawn faces) or PNG, depending on the suffix.

    Args:
        figure: From `new_figure`.
        path: The file, which is written atomically.
        dpi: Pixels per inch, 150 unless given.
    """
    more: dict[str, Any] = {} if dpi is None else {"dpi": dpi}
    if path.suffix in (".jpg", ".jpeg"):
        more |= {"format": "jpeg", "pil_kwargs": {"quality": 85}}
    else:
        # matplotlib writes its version into the file unless told otherwise
        more |= {"format": "png", "metadata": {"Software": None}}
    write_atomic(path, lambda place: figure.savefig(place, **more))
