"""Models from checkpoints of this suite. Nothing in a file is executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.data.loading.transforms import prepare
from fer_bench.errors import StoreError, UsageError
from fer_bench.inference.card import DeploymentCard, card_of
from fer_bench.inference.face_model import Answers, Crops, FaceModel
from fer_bench.methods.base import Method
from fer_bench.methods.weights import state_hash
from fer_bench.runs.facts import find_facts
from fer_bench.runs.training.checkpoints import load_weights


class CheckpointModel(FaceModel):
    """A trained method.

    Args:
        path: A file such as `runs/gcn/oulu/<key>/checkpoints/val.pt`, or a copy of it.
        device: `auto`, `cpu` or `cuda`.
        recipe: How faces are cropped where the file does not say it; its size is the network's.

    Attributes:
        method: The method, in evaluation mode on the device.

    Raises:
        UsageError: There is no such device.
        StoreError: The file is absent, not readable, of another version, or does not say how faces are
            cropped.
    """

    def __init__(self, path: Path | str, device: str = "auto", recipe: CropRecipe | None = None) -> None:
        self.path, self.device = Path(path), usable_device(device)
        self.method: Method = load_weights(self.path)
        self.wants_neutral = self.method.settings.enrolled
        self.sha256 = state_hash(self.method.state_dict())
        self.card = _card(self.path, self.method, self.sha256, recipe)
        self.spec = self.method.input_spec(self.method.settings)
        if self.card.recipe.size != self.spec.size:
            size, wanted = self.card.recipe.size, self.spec.size
            raise StoreError(
                f"the network takes {wanted} pixels, and the crops of its run have {size}", file=self.path
            )
        self.method.to(self.device)

    def answer(self, crops: Crops) -> Answers:
        """Return the answers for crops, see `FaceModel`."""
        images = self.images(crops)
        with torch.inference_mode():
            found = self.method(images)
        named = (found.logits, found.va, found.au)
        logits, va, au = (None if each is None else each.float().cpu().numpy() for each in named)
        assert logits is not None
        return Answers(logits, va, au)

    def images(self, crops: Crops) -> Tensor:
        """Return crops as the network gets them, [B, 3, S, S] on its device."""
        return prepare(torch.from_numpy(np.ascontiguousarray(crops)).to(self.device), self.spec)


def usable_device(wanted: str) -> str:
    """Return `cpu` or `cuda` for what was asked for; `auto` takes a GPU where there is one.

    Raises:
        UsageError: There is no CUDA device.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise UsageError("no CUDA device is available", value="--device cuda", hint="fer-bench doctor")
    return ("cuda" if has_gpu else "cpu") if wanted == "auto" else wanted


def _card(path: Path, method: Method, weights: str, recipe: CropRecipe | None) -> DeploymentCard:
    task, facts = method.task, find_facts(path, weights)
    va, au = (method.predicts_affect and has for has in (task.has_va, task.has_au))
    size = method.input_spec(method.settings).size
    chosen = None if recipe is None else recipe.model_copy(update={"size": size})
    if facts is not None:
        return card_of(facts, has_va=va, has_au=au, file=path, recipe=chosen)
    if chosen is None:
        raise StoreError(
            "the checkpoint does not say how its faces were cropped: it was imported, or is older than this "
            "version and was copied without its run",
            file=path,
            hint="name the run's folder, put record.json into the folder above the checkpoint's, or say it: "
            "--crop similarity",
        )
    return DeploymentCard(
        name=f"{method.name} ({path.name})",
        method=method.name,
        classes=task.classes,
        has_va=va,
        has_au=au,
        recipe=chosen,
        trained_on="unknown",
        data_kind="unknown",
        weights=weights,
    )
