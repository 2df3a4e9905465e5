"""Export a checkpoint as one ONNX file with pre-processing, class names and model card inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer_bench.data.loading.transforms import normalise, to_float
from fer_bench.errors import RunFailedError, one_line
from fer_bench.files import write_atomic
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.embedded import INPUT, embed, outputs_of
from fer_bench.inference.face_model import Answers, Crops, FaceModel
from fer_bench.inference.model_card import ModelCard
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.methods.base import Method
from fer_bench.models.onnx_session import imported
from fer_bench.models.tracing import ready_autograd

OPSET = 18
"""Version of ONNX's operators that exports need: what torch's exporter writes without converting."""
TOLERANCE = 1e-3
"""Largest difference between an output of PyTorch and of the export, as a share of the largest output, or of
1 where that is larger. Float32 in another order of sums differs by some 1e-6."""


class Deployed(nn.Module):
    """A method as a plain module from crops to tensors, which is what exporters understand.

    Args:
        method: A trained method.
        outputs: Names of the outputs wanted, of `Prediction`.
    """

    def __init__(self, method: Method, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.method, self.outputs = method, outputs
        self.spec = method.input_spec(method.settings)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of crops uint8 [B, S, S, 3]."""
        images = normalise(to_float(crops), self.spec)  # whole-batch operations, which exporters can follow
        found = self.method(images).tensors()
        return tuple(found[name].float() for name in self.outputs)


@dataclass(frozen=True)
class Parity:
    """How far an export is from PyTorch on the same crops.

    Attributes:
        crops: Number of crops.
        largest: Largest absolute difference by output.
        relative: The largest of these, as a share of the largest output or of 1.
        other_answers: Crops for which another class is the most probable.
    """

    crops: int
    largest: dict[str, float]
    relative: float
    other_answers: int


@dataclass(frozen=True)
class Export:
    """A finished export.

    Attributes:
        file: The file.
        size: Its bytes.
        opset: Version of ONNX's operators.
        parity: Compared with PyTorch.
    """

    file: Path
    size: int
    opset: int
    parity: Parity


def export_onnx(model: CheckpointModel, described: ModelCard, crops: Crops, file: Path) -> Export:
    """Write a checkpoint as an ONNX file, after comparing it with PyTorch.

    Args:
        model: The checkpoint, on the CPU.
        described: Its model card.
        crops: At least two crops to compare on, uint8 [N, S, S, 3].
        file: The file; it is written only if the answers agree.

    Raises:
        UsageError: onnx, onnxscript or onnxruntime is missing.
        RunFailedError: torch cannot export the network, or the export's answers differ.
        StoreError: The file cannot be written.
    """
    graph = to_onnx(model.method, outputs_of(model.card), crops)
    embed(graph, model.card, described)
    checked: list[Parity] = []

    def write(temporary: Path) -> None:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))
        parity = compare(model, OnnxModel(temporary, "cpu"), crops)
        if not parity.relative <= TOLERANCE:
            raise RunFailedError(
                "the export's answers differ from PyTorch's, so no file was written",
                file=file,
                value=", ".join(f"{name} differs by {value:.2g}" for name, value in parity.largest.items()),
                hint="another version of torch or onnxruntime may export it right: fer-bench doctor",
            )
        checked.append(parity)

    state = write_atomic(file, write)
    return Export(file, state.st_size, OPSET, checked[0])


def to_onnx(method: Method, outputs: tuple[str, ...], crops: Crops) -> Any:
    """Return a method as an `onnx.ModelProto` without metadata, for any number of crops.

    Args:
        method: A trained method, on the CPU.
        outputs: Names of its outputs.
        crops: Crops to trace it with, at least two.

    Raises:
        UsageError: onnx or onnxscript is missing.
        RunFailedError: torch cannot export the network.
    """
    imported("onnx")
    imported("onnxscript")
    network = Deployed(method, outputs).eval()
    ready_autograd()
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (torch.from_numpy(np.array(crops[:2])),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_shapes={"crops": {0: torch.export.Dim("batch", min=1)}},
                verbose=False,
            )
    except Exception as error:  # the exporter raises types of its own for what it does not know
        raise RunFailedError(
            f"torch cannot export the network of {method.name} with these settings: {one_line(error)}",
            value=", ".join(f"{name}={value}" for name, value in method.settings.model_dump().items()),
        ) from None
    assert program is not None
    graph = program.model_proto
    _strip(graph)
    return graph


def _strip(graph: Any) -> None:
    """Remove what the exporter notes about the code: paths and lines of this machine."""
    graph.doc_string = graph.graph.doc_string = ""
    del graph.graph.metadata_props[:]
    for part in (graph.graph.node, graph.graph.value_info, graph.graph.input, graph.graph.output):
        for each in part:
            each.doc_string = ""
            del each.metadata_props[:]
    for tensor in graph.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def compare(model: FaceModel, other: FaceModel, crops: Crops) -> Parity:
    """Compare two forms of a model on the same crops: all at once, and the first alone.

    Args:
        model: What is right.
        other: What is compared with it.
        crops: uint8 [N, S, S, 3].
    """
    pairs = [(model.answer(crops), other.answer(crops)), (model.answer(crops[:1]), other.answer(crops[:1]))]
    largest: dict[str, float] = {}
    relative = 0.0
    for right, found in pairs:
        for name, wanted in _named(right).items():
            given = _named(found)[name]
            difference = float(np.abs(wanted - given).max())
            difference = difference if np.isfinite(difference) else float("inf")
            largest[name] = max(largest.get(name, 0.0), difference)
            relative = max(relative, difference / max(1.0, float(np.abs(wanted).max())))
    first, second = (each.logits.argmax(axis=1) for each in pairs[0])
    return Parity(len(crops), largest, relative, int((first != second).sum()))


def _named(answers: Answers) -> dict[str, Any]:
    values = {"logits": answers.logits, "va": answers.va, "au": answers.au}
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch's exporter says about its own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
