"""ONNX files: read without executing code of their own, and opened with onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fer_bench.distribution import install_hint
from fer_bench.errors import DataError, UsageError, one_line
from fer_bench.files import mistaken_for, usable_cores

OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def imported(name: str) -> Any:
    """Import onnx or onnxruntime.

    Raises:
        UsageError: It is missing.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{name} is missing, which reads ONNX files: {one_line(error)}",
            hint=install_hint("onnx"),
        ) from None


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read and not computed.

    Attributes:
        file: The file.
        model: Its `onnx.ModelProto`, without external data.
        external: Where it keeps further weights, as paths in the file; `inside` finds them.
    """

    file: Path
    model: Any
    external: tuple[str, ...]

    @property
    def opsets(self) -> dict[str, int]:
        """Version of every operator set that the file needs, by domain."""
        return {entry.domain: entry.version for entry in self.model.opset_import}

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators that the file needs."""
        return max(self.opsets.get("", 0), self.opsets.get("ai.onnx", 0))

    @property
    def foreign(self) -> list[str]:
        """Operator sets of other libraries that the file needs."""
        return sorted(domain for domain in self.opsets if domain not in OWN_DOMAINS)

    def inside(self, location: str) -> Path:
        """Return the path of external data, which must be in the folder of the file.

        Raises:
            DataError: They are outside it, or absent.
        """
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


def read_onnx(file: Path) -> OnnxFile:
    """Read an ONNX file and check what can be checked without computing.

    Raises:
        FileNotFoundError: There is no such file.
        UsageError: onnx is missing.
        DataError: Not an ONNX file.
    """
    onnx = imported("onnx")
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
    locations = {location for tensor in _tensors(model) if (location := _location(tensor)) is not None}
    return OnnxFile(file, model, tuple(sorted(locations)))


def open_session(read: OnnxFile, device: str, *, threads: int | None = None) -> Any:
    """Return an onnxruntime session of a file.

    Args:
        read: The file.
        device: `cpu` or `cuda`.
        threads: Threads of an operator; None takes the cores that this process may use.

    Raises:
        UsageError: onnxruntime is missing, or computes on the CPU only.
        DataError: It cannot open the file, or the file needs operators of another library.
    """
    runtime = imported("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what is fatal is raised as well
    options.intra_op_num_threads = threads or usable_cores()
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
        return runtime.InferenceSession(str(read.file), options, providers=wanted)
    except Exception as error:
        newest = imported("onnx").defs.onnx_opset_version()
        if read.opset > newest:
            problem = f"the file needs opset {read.opset}, and onnxruntime {runtime.__version__} lacks it"
            hint = "pip install -U onnxruntime onnx, or export it with a lower opset"
        elif read.foreign:
            problem = "the file needs operators of another library, and foreign code is never loaded"
            raise DataError(problem, file=read.file, value=", ".join(read.foreign)) from None
        else:
            problem, hint = f"onnxruntime cannot open the file: {one_line(error)}", None
        raise DataError(problem, file=read.file, hint=hint) from None


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
