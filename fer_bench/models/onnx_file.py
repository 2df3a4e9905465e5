"""Networks in ONNX files, computed by onnxruntime. Nothing in such a file is executed as code of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError, UsageError, one_line
from fer_bench.files import file_hash, mistaken_for, usable_cores
from fer_bench.models.card import ModelCard
from fer_bench.models.preprocess import AT_ONCE, Crops, network_input

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


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


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{name} is missing, which reads ONNX files: {one_line(error)}",
            hint="pip install fer-bench[onnx]",
        ) from None


class OnnxNetwork:
    """A network in an ONNX file; arguments and errors: see `open_onnx`."""

    def __init__(self, file: Path, card: ModelCard, device: str) -> None:
        self.file, self.card = file, card
        external = self._read(file)
        parts = [file_hash(one) for one in (file, *external)]
        self.sha256 = parts[0] if len(parts) == 1 else _joined(parts)
        self.session = self._open(device)
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

    def _read(self, file: Path) -> list[Path]:
        """Check what can be checked without computing; return the files of external data."""
        onnx = _imported("onnx")
        try:
            model = onnx.load(str(file), load_external_data=False)
        except FileNotFoundError:
            raise
        except Exception as error:
            what, hint = mistaken_for(file) or (f"it is damaged or of another kind: {one_line(error)}", None)
            raise DataError(f"not a readable ONNX file: {what}", file=file, hint=hint) from None
        if not model.graph.node:
            what, hint = mistaken_for(file) or ("it holds no network", None)
            raise DataError(f"not a readable ONNX file: {what}", file=file, hint=hint)
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        locations = {location for tensor in _tensors(model) if (location := _location(tensor)) is not None}
        return [self._inside(location) for location in sorted(locations)]

    def _inside(self, location: str) -> Path:
        folder = self.file.parent.resolve()
        found = (folder / location).resolve()
        if Path(location).is_absolute() or not found.is_relative_to(folder):
            problem = "the file keeps weights outside its own folder, where nothing of it is read"
            raise DataError(problem, file=self.file, value=location, hint="put both into one folder")
        if not found.is_file():
            raise DataError(
                "the file keeps weights in another file, which is not there",
                file=self.file,
                value=location,
                hint="download it as well, into the same folder",
            )
        return found

    def _open(self, device: str) -> Any:
        runtime = _imported("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what is fatal is raised as well
        options.intra_op_num_threads = usable_cores()
        wanted = ["CPUExecutionProvider"]
        if device == "cuda":
            if "CUDAExecutionProvider" not in runtime.get_available_providers():
                raise UsageError(
                    "this onnxruntime computes on the CPU only",
                    value="--device cuda",
                    hint="pip install onnxruntime-gpu instead of onnxruntime, or --device cpu",
                )
            wanted.insert(0, "CUDAExecutionProvider")
        try:
            return runtime.InferenceSession(str(self.file), options, providers=wanted)
        except Exception as error:
            foreign = sorted(domain for domain in self.opsets if domain not in OWN_DOMAINS)
            newest = _imported("onnx").defs.onnx_opset_version()
            opset = max(self.opsets.get("", 0), self.opsets.get("ai.onnx", 0))
            if opset > newest:
                problem = f"the file needs opset {opset}, and onnxruntime {runtime.__version__} lacks it"
                hint = "pip install -U onnxruntime onnx, or export it with a lower opset"
            elif foreign:
                problem = "the file needs operators of another library, and foreign code is never loaded"
                raise DataError(problem, file=self.file, value=", ".join(foreign)) from None
            else:
                problem, hint = f"onnxruntime cannot open the file: {one_line(error)}", None
            raise DataError(problem, file=self.file, hint=hint) from None

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


def _location(tensor: Any) -> str | None:
    """Return where a tensor's values are, None if they are in the file itself."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return entries.get("location", "") if entries else None


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every constant of a model, those inside functions and branches included."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for attribute in (one for node in nodes for one in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(graph)
