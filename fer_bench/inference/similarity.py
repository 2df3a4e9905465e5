"""Measure how alike datasets look to a frozen network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from fer_bench.config import InputSpec
from fer_bench.data.loading.datamodule import evaluation_batches
from fer_bench.data.protocols import find_protocol, target_rows, unit_interval, units_of
from fer_bench.errors import UsageError
from fer_bench.evaluation.similarity import Faces, likeness
from fer_bench.methods.cafe.network import (
    FrozenTower,
    fitting_tower,
    load_tower,
    open_tower,
    tower_spec,
)
from fer_bench.methods.weights import described
from fer_bench.results.similarity import Pair, Similarity
from fer_bench.workspace.workspace import Announce, Workspace

FACES = 400
"""Faces per dataset, drawn by the hash of their ids."""


def measure(
    names: Sequence[str],
    workspace: Workspace,
    tower: str,
    *,
    weights: str | None = None,
    quick: bool = False,
    faces: int = FACES,
    device: str = "cpu",
    announce: Announce | None = None,
) -> Similarity:
    """Compare all pairs of some datasets, by the rows on which models of other datasets are tested.

    Args:
        names: Datasets, at least two.
        workspace: Where they are.
        tower: Image tower, see `methods.cafe.network.build_tower`.
        weights: Its weights: a file, a folder or a name; None for those that the tower is named after.
        quick: Whether rows are those of the `quick` profile.
        faces: Faces per dataset, at most.
        device: `cpu` or `cuda`.
        announce: Called with a label, datasets done and datasets.

    Raises:
        UsageError: Fewer than two datasets, or no such tower.
        DataError: A dataset or weights cannot be read.
    """
    if len(set(names)) < 2:
        raise UsageError("two datasets at least are compared", value=", ".join(names), hint="--dataset twice")
    given = weights or tower
    sha256, spec = fitting_tower(tower, given), tower_spec(tower)
    network = FrozenTower(tower, given=spec)
    load_tower(network.encoder, open_tower(given), given)
    network.to(device)
    known, data = {}, {}
    for number, name in enumerate(names):
        if announce is not None:
            announce("features of datasets", number, len(names))
        known[name], data[name] = _faces(
            name, workspace, network, spec, quick=quick, most=faces, device=device
        )
    if announce is not None:
        announce("features of datasets", len(names), len(names))
    pairs = []
    for first, second in combinations(names, 2):
        found = likeness(known[first], known[second])
        distance = found.distance if np.isfinite(found.distance) else None
        pairs.append(
            Pair(
                first=first,
                second=second,
                told_apart=round(found.told_apart, 6),
                distance=None if distance is None else round(distance, 6),
                expressions=found.expressions,
            )
        )
    return Similarity(
        network=tower,
        weights=sha256,
        trained_on=described(given, None),
        faces=faces,
        data=data,
        pairs=tuple(pairs),
    )


def _faces(
    name: str,
    workspace: Workspace,
    network: FrozenTower,
    spec: InputSpec,
    *,
    quick: bool,
    most: int,
    device: str,
) -> tuple[Faces, tuple[str, str]]:
    """Return features of a dataset's faces, and what identifies the data."""
    dataset = workspace.source(name).dataset
    pack = workspace.pack(name, spec.size)
    index = dataset.index
    rows = np.flatnonzero(target_rows(index, dataset.card, find_protocol(dataset.card, None, quick=quick)))
    place = unit_interval(index["sample_id"].iloc[rows].tolist(), "similarity")
    rows = np.sort(rows[np.argsort(place, kind="stable")[:most]]).astype(np.int64)
    units = np.array(units_of(index, dataset.card), object)[rows]
    classes = tuple(emotion.value for emotion in dataset.card.emotions)
    with torch.inference_mode():
        batches = evaluation_batches(pack, dataset, classes, rows, spec, torch.device(device))
        features: NDArray[np.float64] = np.concatenate(
            [network(batch["image"]).double().cpu().numpy() for batch in batches]
        )
    faces = Faces(features, index["label"].to_numpy(object)[rows], units)
    return faces, (pack.fingerprint, pack.recipe.text)
