"""clip-tiny: the small image tower that this project trains with captions of drawn faces, and ships."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fer_bench.config import InputSpec
from fer_bench.errors import StoreError, UsageError, nearest
from fer_bench.files import file_hash
from fer_bench.methods.backbones import Pretrained, build_backbone, read_state

TINY: tuple[str, ...] = ("clip-tiny", "clip-tiny-neutral")
"""The towers that come with the package: captions with the expression, and without any word about it."""
SAW = {
    TINY[0]: "drawn faces with captions that name the expression: backbone saw this generator's labels",
    TINY[1]: "drawn faces with captions without expression words",
}
"""What each was trained on, besides being of people and cameras that no benchmark shows."""
SIZE = 64
"""Side in pixels of the pictures that they were trained on."""
SPEC = InputSpec(size=SIZE)
FOLDER = Path(__file__).parents[1] / "shipped"


class TinyTower(nn.Module):
    """The narrow residual network with a linear projection into the space shared with captions.

    690,568 + 36,864 parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.width = build_backbone("narrow")
        self.project = nn.Linear(self.width, self.width, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return embeddings [B, 192], not of unit length, of normalised images [B, 3, H, W]."""
        embedding: Tensor = self.project(self.trunk(image))
        return embedding


@dataclass(frozen=True)
class Shipped:
    """A tower that comes with the package.

    Attributes:
        file: Its weights.
        card: What is known about it; see `pretraining.clip_tiny`.
    """

    file: Path
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the weights, as the card states it."""
        return str(self.card["sha256"])


def shipped(name: str) -> Shipped:
    """Return a tower of the package, after a look at its bytes.

    Raises:
        UsageError: There is no such tower.
        StoreError: The file or its card is absent, or they do not belong together.
    """
    if name not in TINY:
        raise UsageError("no such tower comes with the package", value=name, hint=nearest(name, TINY))
    file = FOLDER / f"{name}.safetensors"
    hint = "install the package again, or train it: fer-bench pretrain " + name
    try:
        found = Shipped(file, json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
        fits = file_hash(file) == found.sha256
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"the tower's weights or card are unreadable: {error}", file=file, hint=hint
        ) from None
    if not fits:
        raise StoreError("the weights are not those of the card", file=file, hint=hint)
    return found


def open_trunk(name: str) -> Pretrained:
    """Return the weights of a tower's residual network alone, a `narrow` backbone.

    Raises:
        UsageError: There is no such tower.
        StoreError: The file or its card is absent, or they do not belong together.
    """
    own = shipped(name)
    start = "tower.trunk."
    state = {k.removeprefix(start): v for k, v in read_state(own.file).items() if k.startswith(start)}
    return Pretrained(state, own.sha256, SAW[name])
