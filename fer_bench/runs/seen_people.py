"""Refuse runs that test people whose faces a part of the network was trained on before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_bench import methods
from fer_bench.data.protocols import find_protocol
from fer_bench.datasets import members_of
from fer_bench.errors import UsageError
from fer_bench.files import short_hash
from fer_bench.runs.asked import ask, names_own_weights
from fer_bench.runs.resolve import method_settings

if TYPE_CHECKING:
    from fer_bench.config import RunConfig
    from fer_bench.workspace.sources import Source
    from fer_bench.workspace.workspace import Workspace

SHOWN = 3
"""People that a message names at most."""


def marks_of(source: Source, subjects: Iterable[str]) -> dict[str, str]:
    """Return a mark per person of a dataset: a hash, so that a card names nobody.

    Drawn people of another population, size, seed or version are others than those of the same name.

    Args:
        source: The dataset.
        subjects: Names of people in its index.
    """
    drawn = source.generator
    who = None if drawn is None else [drawn[name] for name in ("generator_version", "population", "seed")]
    return {name: short_hash([source.dataset.card.name, who, name], 12) for name in sorted(set(subjects))}


def refuse_tested_people(config: RunConfig, workspace: Workspace) -> bool:
    """Check that nobody who is validated or tested was in the pretraining of a part of the network.

    Args:
        config: The run, with its targets.
        workspace: Its datasets.

    Raises:
        UsageError: Somebody was.
    """
    if config.init is not None:
        return True  # the pretrained weights are not read

    def answer() -> dict[str, list[str]]:
        found = methods.get(config.method).pretraining_people(method_settings(config))
        return {name: sorted(marks) for name, marks in found.items()}

    asked = ask(
        config.method, "people", config.method_settings, answer, keeps=lambda _: names_own_weights(config)
    )
    known = {name: frozenset(marks) for name, marks in asked.items()}
    if not known:
        return True
    protocol = find_protocol(workspace.source(config.dataset).dataset.card, config.protocol)
    roles = workspace.source(config.dataset).dataset.roles(protocol, config.fold)
    _refuse(config.dataset, known, workspace, np.isin(roles, ("val", "test")))
    for target in config.targets:
        _refuse(target, known, workspace, None)
    return True


def _refuse(
    name: str, known: dict[str, frozenset[str]], workspace: Workspace, tested: NDArray[np.bool_] | None
) -> None:
    index = workspace.source(name).dataset.index
    subjects = index["subject"] if tested is None else index["subject"][tested]
    of_union = len(members_of(name)) > 1
    for member in members_of(name):
        marks = known.get(member, frozenset())
        people = [str(who) for who in subjects.dropna().unique()]
        if of_union:
            people = [who.removeprefix(f"{member}/") for who in people if who.startswith(f"{member}/")]
        found = [who for who, mark in marks_of(workspace.source(member), people).items() if mark in marks]
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            role = "validates or tests" if tested is not None else "tests"
            raise UsageError(
                f"the run {role} people of {member} whose faces its generator was trained on before",
                value=", ".join(found[:SHOWN]) + more,
                hint="a generator trained on the training people of this fold: fer-bench pretrain-generator "
                f"--dataset {member} --fold N; or without this target: --targets none",
            )
