"""Pretrain the generator of gcn on the people of datasets who have neutral frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.data.loading.batches import reference_rows
from fer_bench.data.protocols import find_protocol
from fer_bench.errors import DataError, UsageError
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.network import SIZE
from fer_bench.methods.gcn.pretraining import OnProgress, Pairs, Recipe, save_generator, train_generator
from fer_bench.methods.gcn.settings import GCNSettings
from fer_bench.runs.seen_people import marks_of
from fer_bench.workspace.workspace import Workspace

ENDING = ".safetensors"


def pretrain_generator(
    workspace: Workspace,
    datasets: Sequence[str],
    out: Path,
    settings: GCNSettings,
    recipe: Recipe,
    *,
    protocol: str | None = None,
    fold: int | None = None,
    progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Train a generator, write it with its card beside it, and return the card.

    Args:
        workspace: The data.
        datasets: Datasets whose people have neutral frames.
        out: Where the weights go; ends in `.safetensors`.
        settings: Form and size of the generator.
        recipe: How it is trained.
        protocol: Protocol of `fold`; None takes the dataset's.
        fold: Only the training people of this fold, so that it can be tested; None takes everybody.
        progress: Called with pairs seen and their total.

    Raises:
        UsageError: An unknown protocol or fold, a fold of several datasets, or a wrong ending.
        DataError: Nobody has a neutral frame.
    """
    if out.suffix != ENDING:
        raise UsageError(f"a generator is written as {ENDING}", value=str(out))
    if fold is not None and len(datasets) > 1:
        raise UsageError(
            "a fold is of one dataset", value=", ".join(datasets), hint="one --dataset, or without --fold"
        )
    faces, neutral, partner, person, people = [], [], [], [], {}
    start = 0
    for name in datasets:
        source, pack = workspace.source(name), workspace.pack(name, SIZE)
        index = source.dataset.index
        found = reference_rows(index)
        wanted = (found >= 0) & (found != np.arange(len(index))) & index["subject"].notna().to_numpy()
        if fold is not None:
            wanted &= source.dataset.roles(find_protocol(source.dataset.card, protocol), fold) == "train"
        rows = np.flatnonzero(wanted)
        if not len(rows):
            raise DataError(
                f"nobody in {name} has a neutral frame beside another picture",
                value=name,
                hint="a dataset with sequences from rest to expression: ckplus, mmi, oulu",
            )
        frames, which = np.unique(found[rows], return_inverse=True)
        subjects = index["subject"].to_numpy(object)[rows]
        faces.append(np.asarray(pack.pixels[rows]))
        neutral.append(np.asarray(pack.pixels[frames]))
        partner.append(which + start)
        person.append(np.array([f"{name}/{who}" for who in subjects], object))
        people[name] = [*marks_of(source, subjects).values()]
        start += len(frames)
    pairs = Pairs(*(np.concatenate(each) for each in (faces, neutral, partner, person)))
    spec = GCN.input_spec(settings)
    network, facts = train_generator(pairs, settings, spec, recipe, progress=progress)
    part = "" if fold is None else f" (the training people of fold {fold})"
    drawn = [workspace.source(name).generator for name in datasets]
    what = "drawn faces, SYNTHETIC DATA: " if any(drawn) else ""
    return save_generator(
        network,
        out,
        settings=settings,
        trained_on=f"{what}neutral and other faces of {', '.join(datasets)}{part}",
        people=people,
        recipe=recipe,
        facts=facts,
        more={"datasets": {name: workspace.pack(name, SIZE).fingerprint for name in datasets}},
    )
