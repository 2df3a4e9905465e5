"""What a store knows of how alike its datasets look: one JSON file per kind of data and network."""

from __future__ import annotations

from pathlib import Path

from fer_bench.results.measured import read_measured, write_measured
from fer_bench.schema import Frozen

FOLDER = "similarity"
"""Folder of these files in a store."""


class Pair(Frozen):
    """Two datasets.

    Attributes:
        first: A dataset.
        second: Another.
        told_apart: Balanced accuracy of a classifier of the two on unseen units, in [0, 1].
        distance: Of the mean faces of an expression, in standard deviations within it; null without a common
            expression.
        expressions: Over which the distance is averaged.
    """

    first: str
    second: str
    told_apart: float
    distance: float | None
    expressions: tuple[str, ...]


class Similarity(Frozen):
    """How alike datasets look to one network.

    Attributes:
        network: Name of the network whose features were compared.
        weights: SHA-256 of its weights.
        trained_on: What it was trained on.
        faces: Number of faces per dataset, at most; fewer where it has fewer.
        data: Fingerprint and crop recipe of each dataset.
        pairs: The pairs.
    """

    network: str
    weights: str
    trained_on: str
    faces: int
    data: dict[str, tuple[str, str]]
    pairs: tuple[Pair, ...]


def write_similarity(root: Path, found: Similarity, name: str) -> Path:
    """Write a file of a store, and return its path.

    Args:
        root: The store.
        found: What was measured.
        name: Name of the file, without ending.
    """
    return write_measured(root / FOLDER, found, name)


def read_similarities(root: Path) -> list[Similarity]:
    """Return what a store knows, in the order of file names.

    Raises:
        StoreError: A damaged file.
    """
    return read_measured(root / FOLDER, Similarity, "similarity of datasets", "fer-bench similarity")
