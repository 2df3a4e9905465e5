"""Read pretrained weights from files, the hub and this package, and hash them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fer_bench.errors import DataError, StoreError, UsageError, nearest, one_line
from fer_bench.files import expand_home, file_hash
from fer_bench.methods.plain_file import read_plain

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
PREFIXES = ("module.", "backbone.", "network.")
HUB_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""File names that the hub uses for weights, in order of preference."""
EXAMPLES = ("resnet18.a1_in1k", "vit_base_patch32_clip_quickgelu_224.openai")
TRAINING_DATA = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "openai": "OpenAI's image-text pairs (not public)",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "datacompxl": "DataComp-1B",
    "metaclip": "MetaCLIP's pairs from Common Crawl",
    "dfn": "Data Filtering Networks' pairs",
}
"""What a tag in a name of timm says about the training data."""
SHIPPED = {
    "clip-tiny": "drawn faces with captions that name the expression: backbone saw this generator's labels",
    "clip-tiny-neutral": "drawn faces with captions without expression words",
}
"""The towers that come with the package, and what each was trained on.

The people and cameras are of a population that no benchmark shows.
"""
GENERATORS = {
    "neutral-tiny": "pairs of drawn faces of one person, at rest and not: no expression labels",
}
"""The generators of gcn that come with the package, of the same population, and what each was trained on."""
NAMES_EXPRESSION = "with the expression"
"""What the card of a tower says about its captions if they name the expression."""
FOLDER = Path(__file__).with_name("shipped")


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights.

    Attributes:
        state: Tensors by name.
        sha256: Hash of the file, or of names, shapes and values if timm fetched them.
    """

    state: dict[str, Tensor]
    sha256: str


def open_weights(name: str, kind: str, *, setting: str, **options: Any) -> Pretrained:
    """Read weights from a file, a folder or the hub without executing anything in them.

    Args:
        name: Path of a safetensors file or of a PyTorch state dict (alone or under `state_dict`, `model` or
            `model_state_dict`), a folder that holds one, or a name timm knows, such as `resnet18.a1_in1k` or
            `hf-hub:organisation/model`.
        kind: What the weights are for, for messages.
        setting: The method's setting that names them, for messages.
        **options: Passed on to `timm.create_model`.

    Raises:
        UsageError: Neither a file, a folder nor a name timm knows.
        DataError: Not readable, no state dict, or the download failed.
    """
    if _is_path(name):
        path = expand_home(name)
        file = _file_in(path) if path.is_dir() else path
        return Pretrained(read_state(file), file_hash(file))
    import timm

    if not name.startswith("hf-hub:") and not timm.is_model_pretrained(name):
        raise UsageError(
            f"no such weights file, and timm has no pretrained {kind} of that name",
            value=name,
            hint=nearest(name, timm.list_pretrained(f"{name.partition('.')[0]}*") or EXAMPLES),
        )
    try:
        model = timm.create_model(name, pretrained=True, **options)
    except (OSError, RuntimeError) as error:
        config = timm.get_pretrained_cfg(name) if not name.startswith("hf-hub:") else None
        repository = config.hf_hub_id if config is not None else name.removeprefix("hf-hub:")
        raise DataError(
            f"the weights of the {kind} cannot be downloaded: {one_line(error)}",
            value=name,
            hint=f"without network, fetch them elsewhere (hf download {repository} --local-dir FOLDER), copy "
            f"the folder here and name it: --set method.{setting}=FOLDER",
        ) from None
    state = model.state_dict()
    return Pretrained(state, state_hash(state))


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors or PyTorch file, without executing anything in it.

    A prefix that all names share because the network was wrapped (`module.`, say) is removed.

    Raises:
        DataError: The file is absent, unreadable or holds no state dict.
    """
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise DataError("no such weights file", file=path) from None
    except DataError as error:
        raise DataError(
            f"the weights file is not readable: {error.message}", file=path, hint=error.hint
        ) from None
    if isinstance(content, dict):
        for key in ("state_dict", "model", "model_state_dict"):
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict) or not content:
        raise DataError("the weights file holds no state dict", file=path, value=type(content).__name__)
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise DataError("an entry of the state dict is not a tensor", file=path, value=key)
    state = {str(key): value for key, value in content.items()}
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def state_hash(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights: of names, shapes, types and values, not of a file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()


def trained_on(name: str) -> str | None:
    """Return what weights were trained on, None if their name does not say; reads and downloads nothing.

    Args:
        name: See `open_weights`, or what comes with the package.
    """
    if name in SHIPPED or name in GENERATORS:
        return SHIPPED.get(name) or GENERATORS[name]
    if _is_path(name):
        return None
    tags = re.split(r"[._]", re.split(r"[/:]", name)[-1])
    found = (text for tag in tags for start, text in TRAINING_DATA.items() if tag.startswith(start))
    return " and ".join(dict.fromkeys(found)) or None


def described(name: str, told: str | None) -> str:
    """Return what weights were trained on, as far as anybody says.

    Args:
        name: See `trained_on`.
        told: What the user says.
    """
    return told or trained_on(name) or f"unknown data ({Path(name).name if _is_path(name) else name})"


def told_or_unknown(name: str, told: str | None, *, setting: str) -> str:
    """Return what weights were trained on, or how to say so, for a caveat.

    Args:
        name: See `trained_on`.
        told: What the user says.
        setting: The method's setting that takes it.
    """
    return told or trained_on(name) or f"unknown data (name it: --set method.{setting}=...)"


def learned_drawn_labels(sha256: str) -> bool:
    """Return whether weights are of a shipped tower that learned which expression a face was drawn with.

    Args:
        sha256: Hash of the weights.
    """
    for name in SHIPPED:
        with suppress(OSError, ValueError):  # who loads this tower is told what is wrong with it
            card = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
            if card.get("sha256") == sha256:
                return bool(card.get("captions") == NAMES_EXPRESSION)
    return False


def _is_path(name: str) -> bool:
    path = expand_home(name)
    return path.suffix in SUFFIXES or path.exists()


def _file_in(folder: Path) -> Path:
    found = [folder / name for name in HUB_FILES if (folder / name).is_file()][:1]
    found = found or [file for file in folder.iterdir() if file.suffix in SUFFIXES]
    if len(found) != 1:
        raise DataError(
            f"the folder must hold one weights file and holds {'several' if found else 'none'}",
            file=folder,
            hint="name the file instead of the folder",
        )
    return found[0]


@dataclass(frozen=True)
class ShippedTower:
    """A tower or generator that comes with the package.

    Attributes:
        file: Its weights.
        card: What is known about it, written by the script that trained it.
    """

    file: Path
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the weights file, from the card."""
        return str(self.card["sha256"])

    def open(self) -> Pretrained:
        """Read the weights."""
        return Pretrained(read_state(self.file), self.sha256)


def shipped(name: str) -> ShippedTower:
    """Return a tower or generator of the package, after checking its file against its card.

    Raises:
        UsageError: No such weights.
        StoreError: The file or its card is absent, or they do not belong together.
    """
    known = [*SHIPPED, *GENERATORS]
    if name not in known:
        raise UsageError("no such weights come with the package", value=name, hint=nearest(name, known))
    file = FOLDER / f"{name}.safetensors"
    hint = "install the package again, or train them: make towers in a clone of the repository"
    try:
        found = ShippedTower(file, json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
        fits = file_hash(file) == found.sha256
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"the weights or their card are unreadable: {error}", file=file, hint=hint) from None
    if not fits:
        raise StoreError("the weights are not those of the card", file=file, hint=hint)
    return found
