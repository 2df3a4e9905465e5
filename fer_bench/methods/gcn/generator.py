"""Pretrained generators: read them, check that they fit a network, and say who was in their training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fer_bench.errors import DataError
from fer_bench.files import expand_home, file_hash
from fer_bench.methods.weights import GENERATORS, read_state, shipped

if TYPE_CHECKING:
    from fer_bench.methods.gcn.settings import GCNSettings

KIND = "generator of gcn"
"""What the card of a generator says that it is."""
COMMAND = "fer-bench pretrain-generator"
PARTS = ("encoder1", "latent", "decoder1")
"""Modules of the network that draw the reference face."""
SHAPE = ("generator", "width", "kernel", "pool", "unpool", "batch_norm")
"""Settings that decide which tensors a generator has, and what it does with them."""


@dataclass(frozen=True)
class PretrainedGenerator:
    """A generator that was trained before, with its card.

    Attributes:
        name: The setting's value.
        state: Tensors by name, as in the network.
        card: What `fer-bench pretrain-generator` wrote beside the file.
        sha256: Hash of the file.
    """

    name: str
    state: dict[str, Tensor]
    card: dict[str, Any]
    sha256: str

    @property
    def trained_on(self) -> str:
        """What it was trained on, in words."""
        return str(self.card["trained_on"])

    @property
    def people(self) -> dict[str, frozenset[str]]:
        """Marks of the people in its training by dataset, see `fer_bench.runs.seen_people`."""
        return {name: frozenset(marks) for name, marks in self.card["people"].items()}


@cache
def open_generator(name: str) -> PretrainedGenerator:
    """Read a pretrained generator without executing anything in it.

    Args:
        name: One of `fer_bench.methods.weights.GENERATORS`, or a file with its card beside it.

    Raises:
        DataError: File or card are absent or unreadable, or do not belong together.
        StoreError: The same of a generator of this package.
    """
    if name in GENERATORS:
        found = shipped(name)
        return PretrainedGenerator(name, found.open().state, found.card, found.sha256)
    file = expand_home(name)
    state = read_state(file)
    card, sha256 = _read_card(file.with_suffix(".json")), file_hash(file)
    if card["sha256"] != sha256:
        raise DataError(
            "the generator's weights are not those of its card", file=file, hint=f"{COMMAND} --out"
        )
    return PretrainedGenerator(name, state, card, sha256)


def fitting_generator(settings: GCNSettings) -> PretrainedGenerator:
    """Return the generator that settings name, after checking that it is one of their kind and size.

    Args:
        settings: With `generator_weights`.

    Raises:
        DataError: It is of another form, or see `open_generator`.
    """
    assert settings.generator_weights is not None
    given = open_generator(settings.generator_weights)
    wanted = settings.model_dump(include={*SHAPE})
    # Without a generator only its encoder is taken.
    names = [name for name in SHAPE if settings.generates or name not in ("generator", "unpool")]
    if differ := [name for name in names if given.card["settings"][name] != wanted[name]]:
        there = " ".join(f"{name}={given.card['settings'][name]}" for name in differ)
        fitting = " ".join(f"--set method.{name}={given.card['settings'][name]}" for name in differ)
        raise DataError(
            f"the pretrained generator is of another form ({there})",
            file=settings.generator_weights,
            value=" ".join(f"{name}={wanted[name]}" for name in differ),
            hint=f"{fitting}, or --set method.generator_weights=null",
        )
    return given


def load_generator(network: nn.Module, given: PretrainedGenerator, *, start_encoder: bool) -> None:
    """Give a network the weights of a pretrained generator.

    Args:
        network: A `GCNNetwork`.
        given: What `fitting_generator` returned.
        start_encoder: Whether Encoder2, and a separate one of the reference, start from its encoder.

    Raises:
        DataError: A tensor is missing, left over or of another shape.
    """
    modules = {name: part for name in PARTS if (part := getattr(network, name)) is not None}
    try:
        for name, part in modules.items():
            part.load_state_dict(_below(given.state, name))
        if start_encoder:
            for name in ("encoder2", "encoder2_reference"):
                if (part := getattr(network, name)) is not None:
                    part.load_state_dict(_below(given.state, "encoder1"))
    except RuntimeError as error:
        raise DataError(f"these are not the weights of this generator: {error}", file=given.name) from None


def _below(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _read_card(file: Path) -> dict[str, Any]:
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        known = {"sha256", "settings", "trained_on", "people"} <= card.keys() and card["kind"] == KIND
        fits = known and {*SHAPE} <= card["settings"].keys()
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        fits = False
    if not fits:
        raise DataError(
            "a pretrained generator needs its card beside it: without it nobody knows whose faces it learned",
            file=file,
            hint=f"{COMMAND} writes both",
        )
    checked: dict[str, Any] = card
    return checked
