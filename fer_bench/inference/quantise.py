"""Static quantisation of an exported file to 8 bits, by onnxruntime, and what that costs and gains."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fer_bench.errors import DataError, RunFailedError, UsageError, one_line
from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.intervals import difference
from fer_bench.files import write_atomic
from fer_bench.inference.embedded import INPUT, embed
from fer_bench.inference.face_model import Crops
from fer_bench.inference.latency import latency_ratios
from fer_bench.inference.model_card import Int8Report, ModelCard
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.inference.source_rows import SourceRows
from fer_bench.models.onnx_session import imported
from fer_bench.runs.environment import describe_without_torch

CALIBRATION_ROWS = 256
"""Training rows from which the ranges of activations are taken."""
AT_ONCE = 32
QUANTISED = ("Conv", "Gemm", "MatMul", "Relu", "MaxPool", "Add", "GlobalAveragePool", "AveragePool")
"""Operators that compute with integers: layers and what stands between them. Pre-processing, normalisation of
features and differences of features stay in float32."""


def export_int8(file: Path, rows: SourceRows, described: ModelCard, out: Path) -> Int8Report:
    """Write the 8-bit form of an export; its card says what quantisation cost and gained.

    Args:
        file: The export in float32.
        rows: The data that the model was trained on: training rows calibrate, validation rows compare.
        described: The model card of the export.
        out: The file to write.

    Raises:
        UsageError: onnxruntime is missing, or the protocol has no validation rows.
        DataError: The data are not those of the run.
        RunFailedError: onnxruntime cannot quantise the network.
        StoreError: The file cannot be written.
    """
    if rows.changed:
        raise DataError(
            "these are not the data that the run was trained on, so which rows it has seen is unknown",
            value=rows.record.dataset,
            hint="name the same data, or train anew on these",
        )
    training, validation = rows.rows("train", CALIBRATION_ROWS), rows.rows("val")
    if len(validation) == 0:
        raise UsageError(
            "the protocol has no validation rows, on which the cost of quantisation is measured",
            value=rows.protocol.name,
            hint="export without --int8, or train under a protocol with validation rows",
        )
    whole = OnnxModel(file, "cpu", threads=1)
    network = quantise(file, rows.crops(training))
    card = whole.card.model_copy(update={"int8": True})
    report: list[Int8Report] = []

    def write(temporary: Path) -> None:
        embed(network, card, described)  # to open it: what it cost is known only then
        temporary.write_bytes(network.SerializeToString(deterministic=True))
        found = _compare(whole, OnnxModel(temporary, "cpu", threads=1), rows, len(training))
        report.append(found)
        embed(network, card, described.model_copy(update={"int8": found}))
        temporary.write_bytes(network.SerializeToString(deterministic=True))

    write_atomic(out, write)
    return report[0]


def _compare(whole: OnnxModel, small: OnnxModel, rows: SourceRows, calibrated: int) -> Int8Report:
    """Return what quantisation cost on the validation rows, and what it gained on this processor."""
    validation = rows.rows("val")
    given = [answers(rows.predictions(each, validation), rows.record.classes) for each in (whole, small)]
    before, after = (estimate([each], rows.record.dataset, seeds=(0,)) for each in given)
    crops = rows.crops(validation[:32])
    processor = describe_without_torch()["cpu"]
    return Int8Report(
        calibration_rows=calibrated,
        validation_rows=len(validation),
        size=(whole.path.stat().st_size, small.path.stat().st_size),
        accuracy=(before.values["accuracy"].value, after.values["accuracy"].value),
        accuracy_change=_change(before, after, "accuracy"),
        uar=(before.values["uar"].value, after.values["uar"].value),
        uar_change=_change(before, after, "uar"),
        same_answer=float((given[0].answer == given[1].answer).mean()),
        latency=latency_ratios(small, whole, crops),
        processor=f"{processor}, one thread",
    )


def _change(before: Estimate, after: Estimate, metric: str) -> tuple[float, tuple[float, float] | None]:
    """Return by how much a score changed, with the interval over the units that both answered."""
    found = difference(after.values[metric], before.values[metric])
    assert found is not None
    interval = None if found.interval is None else (found.interval.low, found.interval.high)
    return found.value, interval


def quantise(file: Path, crops: Crops) -> Any:
    """Return the network of an export with weights and activations of 8 bits, as an `onnx.ModelProto`.

    Weights have one scale per channel and use 7 of the 8 bits, so that processors without 8-bit dot products
    (AVX2) do not overflow and answer the same as others.

    Args:
        file: The export in float32.
        crops: Training crops to take the ranges of activations from, uint8 [N, S, S, 3].

    Raises:
        UsageError: onnxruntime is missing.
        RunFailedError: onnxruntime cannot quantise the network.
    """
    onnx, tools = imported("onnx"), imported("onnxruntime.quantization")
    preparing = imported("onnxruntime.quantization.shape_inference")

    level = logging.getLogger().level
    try:
        logging.getLogger().setLevel(logging.ERROR)  # it advises its own developers there
        with tempfile.TemporaryDirectory() as folder:
            prepared, done = Path(folder, "prepared.onnx"), Path(folder, "int8.onnx")
            preparing.quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
            tools.quantize_static(
                str(prepared),
                str(done),
                _Batches(crops),
                quant_format=tools.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                reduce_range=True,
                activation_type=tools.QuantType.QUInt8,
                weight_type=tools.QuantType.QInt8,
                calibrate_method=tools.CalibrationMethod.MinMax,
            )
            return _without_unused_domains(onnx.load(str(done)))
    except Exception as error:  # onnxruntime raises types of its own
        problem = f"onnxruntime cannot quantise the network: {one_line(error)}"
        raise RunFailedError(problem, file=file) from None
    finally:
        logging.getLogger().setLevel(level)


class _Batches:
    """Calibration crops as onnxruntime asks for them: a batch at a time, then None."""

    def __init__(self, crops: Crops) -> None:
        starts = range(0, len(crops), AT_ONCE)
        self._batches: Iterator[Crops] = (crops[start : start + AT_ONCE] for start in starts)

    def get_next(self) -> dict[str, Crops] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _without_unused_domains(model: Any) -> Any:
    """Drop the operator sets that onnxruntime lists in every file it writes and that no operator is of."""
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
