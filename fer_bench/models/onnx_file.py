"""Networks in ONNX files, computed by onnxruntime. Nothing in such a file is executed as code of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError, one_line
from fer_bench.files import file_hash
from fer_bench.models.card import ModelCard
from fer_bench.models.onnx_session import open_session, read_onnx
from fer_bench.models.preprocess import AT_ONCE, Crops, network_input

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


def open_onnx(file: Path, card: ModelCard, device: str) -> tuple[Callable[[Crops], NDArray[Any]], str]:
    """Return the network of a file as a function from crops to its answers, and the hash of the file.

    The hash covers external data as well.

    Args:
        file: The ONNX file.
        card: Its card.
        device: `cpu` or `cuda`.

    Raises:
        UsageError: onnx or onnxruntime is missing.
        DataError: Not an ONNX file, external data outside its folder, operators that the runtime lacks, or
            another input or output than the card says.
    """
    try:
        network = OnnxNetwork(file, card, device)
    except FileNotFoundError:
        raise DataError("there is no such model file", file=file) from None
    return network, network.sha256


class OnnxNetwork:
    """A network in an ONNX file; arguments and errors: see `open_onnx`."""

    def __init__(self, file: Path, card: ModelCard, device: str) -> None:
        self.file, self.card = file, card
        read = read_onnx(file)
        parts = [file_hash(one) for one in (file, *map(read.inside, read.external))]
        self.sha256 = parts[0] if len(parts) == 1 else _joined(parts)
        self.session = open_session(read, device)
        self.input, self.type = self._input()
        self.output = self._output()
        first = self.input.shape[0]
        self.batch: int | None = first if isinstance(first, int) and first > 0 else None

    def __call__(self, crops: Crops) -> NDArray[Any]:
        """Return the network's answers [B, ...] for crops uint8 [B, S, S, 3]."""
        values: NDArray[Any] = network_input(crops, self.card.input)
        values = np.rint(values).astype(np.uint8) if self.type is np.uint8 else values.astype(self.type)
        step = self.batch or AT_ONCE
        return np.concatenate([self._run(values[at : at + step]) for at in range(0, len(values), step)])

    def _run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Compute a batch, filled up to the only size that the network takes, if it takes one only."""
        count, size = len(values), self.batch or len(values)
        if count < size:
            values = np.concatenate([values, np.zeros((size - count, *values.shape[1:]), values.dtype)])
        try:
            (found,) = self.session.run([self.output], {self.input.name: values})
            answers = np.asarray(found)
            if answers.ndim > 0 and len(answers) == size:
                return self._flat(answers)[:count]
            problem = f"the network answers {len(np.atleast_1d(answers))} rows for {size} faces"
        except Exception as error:  # onnxruntime raises types of its own
            problem = f"the network cannot be computed: {one_line(error)}"
        if size > 1 and self.batch is None:  # the file says any number, and some node inside says one
            self.batch = 1
            return np.concatenate([self._run(values[at : at + 1]) for at in range(count)])
        raise DataError(problem, file=self.file)

    def _flat(self, answers: NDArray[Any]) -> NDArray[Any]:
        """Return [B, C] for the [B, C, 1, 1] of networks without a last flattening."""
        return answers.reshape(answers.shape[:2]) if set(answers.shape[2:]) == {1} else answers

    def _input(self) -> tuple[Any, type]:
        """Return the network's input and the type of its values."""
        spec, inputs = self.card.input, self.session.get_inputs()
        found = [one for one in inputs if spec.name in (None, one.name)]
        names = ", ".join(one.name for one in inputs)
        if len(inputs) > 1 or len(found) != 1:
            problem = "a classifier has one input" if len(inputs) != 1 else "the card names another input"
            raise DataError(problem, file=self.file, value=names)
        shape = list(found[0].shape)
        if len(shape) != 4:
            problem = f"the input has {len(shape)} dimensions, and one of pictures has 4"
            raise DataError(problem, file=self.file, value=shape)
        for have, wanted in zip(shape[1:], spec.shape, strict=True):
            if isinstance(have, int) and have > 0 and have != wanted:
                raise DataError(
                    f"the network takes pictures of {_times(shape[1:])}, and the card says "
                    f"{_times(spec.shape)} ({spec.layout}, {spec.colour})",
                    file=self.file,
                    hint=f"layout, size, colour and channels of the model card ({self.card.name})",
                )
        if found[0].type not in TYPES:
            raise DataError("the input is not of pixels", file=self.file, value=found[0].type)
        if found[0].type == "tensor(uint8)" and spec.range != (0.0, 255.0):
            problem = "the network takes bytes, and the card says other values"
            raise DataError(problem, file=self.file, hint="range: [0, 255]")
        return found[0], TYPES[found[0].type]

    def _output(self) -> str:
        """Return the name of the output that holds the answers."""
        outputs = {one.name: one for one in self.session.get_outputs()}
        name = self.card.output
        if name is None and len(outputs) > 1:
            problem = "the network has several outputs, and the card does not say which one answers"
            hint = f"output: {next(iter(outputs))}"
            raise DataError(problem, file=self.file, value=", ".join(outputs), hint=hint)
        if name is not None and name not in outputs:
            problem = f"the network has no output {name}"
            raise DataError(problem, file=self.file, value=", ".join(outputs))
        found = outputs[name or next(iter(outputs))]
        shape = found.shape
        if len(shape) >= 2 and isinstance(shape[1], int) and shape[1] not in (0, len(self.card.classes)):
            problem = (
                f"the network has {shape[1]} outputs, and the card names {len(self.card.classes)} classes"
            )
            raise DataError(problem, file=self.file, value=found.name)
        return str(found.name)


def _times(shape: Any) -> str:
    return "x".join(map(str, shape))


def _joined(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
