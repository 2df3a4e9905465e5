"""Find a model and its card by what the user typed, and open it as a function from crops to logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.files import expand_home, file_hash, short_hash
from fer_bench.models import REGISTRY
from fer_bench.models.card import ModelCard, build_card, read_card, shipped_card, shipped_names
from fer_bench.models.preprocess import Crops, Numbers, to_logits

HUB = ("hf-hub:", "local-dir:")
CONVERT = "convert it to ONNX where you trust it: fer-bench docs outside-models"
REFUSED = {
    ".pt2": "torch.export.load unpickles what it cannot read otherwise, and evaluates expressions in the "
    "file: both can execute code from it",
    ".pt": "a PyTorch checkpoint holds weights without the network, or the network as code",
    ".keras": "a Keras file may hold code, and needs TensorFlow",
    ".h5": "a Keras file may hold code, and needs TensorFlow",
    ".hdf5": "a Keras file may hold code, and needs TensorFlow",
    ".tflite": "TensorFlow Lite is not supported",
    ".pb": "TensorFlow graphs are not supported",
    ".json": "TensorFlow.js graphs are not supported",
    ".safetensors": "a safetensors file holds weights without the network",
}
REFUSED |= dict.fromkeys((".pth", ".ckpt", ".bin"), REFUSED[".pt"])
"""Suffixes of files that are not opened, and why."""


@dataclass(frozen=True)
class OutsideModel:
    """An opened model.

    Attributes:
        name: What the user typed.
        kind: `onnx`, `timm` or `entry point`.
        card: Its card.
        sha256: Hash of its weights, or of its code.
        answer: Returns the answers [B, C] of the whole network for crops uint8 [B, S, S, 3].
    """

    name: str
    kind: str
    card: ModelCard
    sha256: str
    answer: Callable[[Crops], NDArray[Any]]

    def logits(self, answers: NDArray[Any]) -> Numbers:
        """Return answers [B, C] as logits float32 [B, K] of the card's emotions.

        Raises:
            DataError: The answers are not what the card says.
        """
        return to_logits(answers, self.card, self.name)


def open_model(name: str, *, card: str | None = None, device: str = "cpu") -> OutsideModel:
    """Open a model that was trained elsewhere.

    Args:
        name: An ONNX file, a name of timm or the hub, or an entry point of another package.
        card: Path of its card, or name of one that comes with the package; by default the YAML file beside
            the model's file, else the card that names this file.
        device: `cpu` or `cuda`.

    Raises:
        UsageError: No such model, a kind of file that is not opened, no card, or a missing package.
        DataError: The file or its card cannot be used, or they do not fit.
    """
    if name in REGISTRY.names():
        return _of_entry_point(name, card)
    if _names_timm(name):
        from fer_bench.models.timm_network import open_timm

        found = _scaled(_given_card(card, name), name)
        answer, digest = open_timm(name, found, device)
        return OutsideModel(name, "timm", found, digest, answer)
    file = expand_home(name)
    suffix = file.suffix.lower()
    if suffix in REFUSED:
        raise UsageError(f"{file} is not opened: {REFUSED[suffix]}", hint=CONVERT)
    if suffix != ".onnx":
        known = ", ".join(REGISTRY.names()) or "none is installed"
        raise UsageError(
            "no such model",
            value=name,
            hint="an ONNX file, a name of timm (hf-hub:ORGANISATION/MODEL, local-dir:FOLDER), or an entry "
            f"point of fer_bench.models ({known})",
        )
    if not file.is_file():
        raise DataError("there is no such model file", file=file)
    from fer_bench.models.onnx_file import open_onnx

    found = _scaled(_card_of_file(file, card), name)
    if found.sha256 is not None and (digest := file_hash(file)) != found.sha256:
        raise DataError(
            f"this is not the file of the model card {found.name}, whose SHA-256 is {found.sha256}",
            file=file,
            value=digest,
            hint="download it again; for another file write a card of its own: --card FILE",
        )
    answer, digest = open_onnx(file, found, device)
    return OutsideModel(name, "onnx", found, digest, answer)


def _names_timm(name: str) -> bool:
    """Return whether this is a name of timm: with a prefix, or one that its list of weights has."""
    if name.startswith(HUB):
        return True
    if "/" in name or Path(name).suffix.lower() in (*REFUSED, ".onnx") or expand_home(name).exists():
        return False
    import timm

    return bool(timm.is_model_pretrained(name))


def _of_entry_point(name: str, card: str | None) -> OutsideModel:
    """Open a callable of another package; its own attribute `card` describes it unless a card is given."""
    from fer_bench.provenance import code_hash

    found: Any = REGISTRY.get(name)
    target = REGISTRY.targets[name]
    if not callable(found):
        raise UsageError(
            "the model is not callable",
            value=target,
            hint="a function of crops: fer-bench docs outside-models",
        )
    own = getattr(found, "card", None)
    if card is not None or own is None:
        described = _given_card(card, name)
    elif isinstance(own, ModelCard):
        described = own
    elif isinstance(own, Mapping):
        described = build_card(own, target)
    else:
        described = read_card(Path(str(own)))

    def answer(crops: Crops) -> NDArray[Any]:
        return np.asarray(found(crops))

    digest = short_hash([target, code_hash([target])], 64)
    return OutsideModel(name, "entry point", described, digest, answer)


def _given_card(card: str | None, name: str) -> ModelCard:
    """Return the card that the user named."""
    if card is None:
        raise UsageError(
            "the model has no card, and the order of its classes is never guessed",
            value=name,
            hint="--card FILE (how to write one: fer-bench docs outside-models), or one of: "
            f"{', '.join(shipped_names())}",
        )
    path = expand_home(card)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return read_card(path)
    if card not in shipped_names():
        hint = f"a YAML file, or one of: {', '.join(shipped_names())}; {nearest(card, shipped_names())}"
        raise UsageError("no such model card", value=card, hint=hint)
    return shipped_card(card)


def _card_of_file(file: Path, card: str | None) -> ModelCard:
    """Return the card of a file: the one given, the one beside it, or the one that names it."""
    beside = [one for one in (file.with_suffix(".yaml"), file.with_suffix(".yml")) if one.is_file()]
    if card is None and beside:
        return read_card(beside[0])
    if card is None:
        for known in map(shipped_card, shipped_names()):
            if known.file == file.name:
                return known
    return _given_card(card, str(file))


def _scaled(card: ModelCard, name: str) -> ModelCard:
    """Return a card that says which values the network takes."""
    if not card.input.is_scaled:
        problem = "the model card does not say which values the network takes"
        hint = "input: give range: [0, 255], say, or mean and std"
        raise DataError(problem, file=card.name, value=name, hint=hint)
    return card
