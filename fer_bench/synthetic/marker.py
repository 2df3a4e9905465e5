"""The files that mark a folder as drawn data, so that no score on it passes for one on real faces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MARKER = "synthetic.json"
NOTICE = "SYNTHETIC.txt"


def write_marker(folder: Path, marker: dict[str, Any]) -> None:
    """Mark a folder as synthetic, for programs and for people.

    Args:
        folder: The folder of the dataset.
        marker: `synthetic` (true), and `dataset`, `generator_version`, `size`, `population` and `seed` of the
            drawing.
    """
    from fer_bench.synthetic.truth import TRUTH  # only writers need what it imports

    (folder / NOTICE).write_text(
        f"SYNTHETIC DATA. Every face in this folder was drawn by fer-bench (generator version "
        f"{marker['generator_version']}, size {marker['size']}, population {marker['population']}, seed "
        f"{marker['seed']}).\nOnly the layout of the files is that of {marker['dataset']}; none of it is "
        "from the real dataset,\nand results on it say nothing about results on the real one.\n"
        f"What was drawn is in {TRUTH}, which the real dataset does not have.\n",
        encoding="utf-8",
    )
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def read_marker(folder: Path) -> dict[str, Any] | None:
    """Return the marker in a folder, None when the folder has none."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("synthetic") is True else None


def marker_of(base: Path) -> dict[str, Any] | None:
    """Return the marker in a folder or any folder above it: a data root may be inside a drawn dataset."""
    here, behind_links = base.absolute(), base.resolve()
    folders = dict.fromkeys((here, *here.parents, behind_links, *behind_links.parents))
    return next((marker for folder in folders if (marker := read_marker(folder)) is not None), None)
