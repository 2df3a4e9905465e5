"""The teacher: a trained method that answers the student's training images, and is never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.config import InputSpec
from fer_bench.data.loading.transforms import normalise
from fer_bench.errors import DataError, UsageError
from fer_bench.files import expand_home
from fer_bench.methods.base import Method
from fer_bench.methods.plain_file import read_plain
from fer_bench.methods.weights import state_hash

ORIGIN = "teacher"
"""Key of a teacher's file under which it is told where the teacher comes from."""


class Lesson(NamedTuple):
    """What a teacher answers.

    Attributes:
        logits: float32 [B, C], in the order of the student's classes.
        features: float32 [B, E], what the last linear layer reads.
    """

    logits: Tensor
    features: Tensor


class Teacher:
    """A trained method in evaluation mode, outside the student's own modules and weights.

    Args:
        method: The method.
        classes: The student's classes.
        given: Size and normalisation of the student's images.

    Raises:
        UsageError: The teacher does not know a class, or has no linear layer that answers.
    """

    def __init__(self, method: Method, classes: Sequence[str], given: InputSpec) -> None:
        known = method.task.classes
        for name in classes:
            if name not in known:
                problem = "the teacher does not know a class of the student"
                raise UsageError(problem, value=name, hint=f"it knows {', '.join(known)}")
        self.method, self.given = method.eval().requires_grad_(False), given
        self.spec = method.input_spec(method.settings)
        self.order = [known.index(name) for name in classes]
        self._features: list[Tensor] = []
        _last_linear(method, len(known)).register_forward_pre_hook(
            lambda _, inputs: self._features.append(inputs[0])
        )

    def answer(self, image: Tensor) -> Lesson:
        """Return what the teacher says about images [B, 3, H, W], normalised for the student.

        They are scaled to the teacher's size.
        """
        if next(self.method.parameters()).device != image.device:
            self.method.to(image.device)
        self._features.clear()
        with torch.no_grad():
            logits = self.method(self._seen(image)).logits[:, self.order]
        return Lesson(logits.float(), self._features.pop().float().flatten(1))

    def _seen(self, image: Tensor) -> Tensor:
        """Return the images as the teacher wants them."""
        mean, std = (image.new_tensor(v).view(1, 3, 1, 1) for v in (self.given.mean, self.given.std))
        plain = image * std + mean
        if image.shape[-1] != self.spec.size:
            plain = F.interpolate(plain, size=self.spec.size, mode="bilinear", antialias=True)
        return normalise(plain, self.spec)


def _last_linear(method: Method, classes: int) -> nn.Linear:
    """Return the layer that answers: the last linear one with an output per class."""
    found = [
        layer for layer in method.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    if not found:
        raise UsageError("the teacher has no linear layer with an output per class", value=method.name)
    return found[-1]


def open_teacher(file: str, classes: Sequence[str], given: InputSpec) -> Teacher:
    """Read a teacher; nothing in its file is executed.

    Args:
        file: A Lightning checkpoint of a method.
        classes: The student's classes.
        given: Size and normalisation of the student's images.

    Raises:
        DataError: The file is absent, unreadable or not a checkpoint of a method.
        UsageError: The teacher does not know a class.
    """
    return Teacher(Method.load_from_checkpoint(_existing(file)), classes, given)


def teacher_hash(file: str) -> str:
    """Return the hash of a teacher's weights.

    Raises:
        DataError: The file is absent, unreadable or not a checkpoint of a method.
    """
    path = _existing(file)
    return _read(path, path.stat().st_mtime_ns)[0]


def teacher_origin(file: str) -> dict[str, Any]:
    """Return what a teacher's file says about where it comes from; nothing for other files.

    Raises:
        DataError: The file is absent, unreadable or not a checkpoint of a method.
    """
    path = _existing(file)
    return dict(_read(path, path.stat().st_mtime_ns)[1])


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> tuple[str, Mapping[str, Any]]:
    method = Method.load_from_checkpoint(path)
    stored = read_plain(path)
    origin = stored.get(ORIGIN) if isinstance(stored, dict) else None
    return state_hash(method.state_dict()), origin if isinstance(origin, dict) else {}


def _existing(file: str) -> Path:
    path = expand_home(file)
    if not path.is_file():
        raise DataError(
            "the teacher's file is absent",
            file=path,
            hint="write it anew: fer-bench distill CHECKPOINT --student NAME",
        )
    return path
