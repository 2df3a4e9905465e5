"""Carry out an export: find crops to compare on, write the file, quantise it where that is wanted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.errors import DataError, UsageError
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.export import Export, export_onnx
from fer_bench.inference.face_model import Crops
from fer_bench.inference.model_card import Int8Report, model_card
from fer_bench.inference.quantise import export_int8
from fer_bench.inference.source_rows import SourceRows, open_source_rows, record_of
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Announce, Workspace

COMPARED = 64
"""Crops on which an export is compared with PyTorch."""
DRAWN = "rafdb"
"""Layout of the drawn faces that replace a source that is not here."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote and found.

    Attributes:
        file: The file.
        size: Its bytes.
        whole: The export in float32, which was compared with PyTorch.
        crops: What it was compared on, in words.
        int8: What quantisation cost and gained, None without.
    """

    file: Path
    size: int
    whole: Export
    crops: str
    int8: Int8Report | None

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        parity = self.whole.parity
        return {
            "file": str(self.file),
            "size": self.size,
            "opset": self.whole.opset,
            "parity": {
                "compared_on": self.crops,
                "crops": parity.crops,
                "largest_difference": parity.largest,
                "relative": parity.relative,
                "other_answers": parity.other_answers,
            },
            "int8": None if self.int8 is None else self.int8.model_dump(mode="json"),
        }


def export(
    model: CheckpointModel,
    roots: DataRoots,
    file: Path,
    *,
    int8: bool = False,
    announce: Announce | None = None,
) -> Exported:
    """Export a checkpoint to one ONNX file.

    Args:
        model: The checkpoint, on the CPU.
        roots: Where the data are that it was trained on. Where they are absent, float32 is compared on drawn
            faces, and 8 bits are refused.
        file: The file to write.
        int8: Whether to quantise it.
        announce: Called while data are prepared.

    Raises:
        UsageError: A package is missing, or 8 bits without the data that the checkpoint was trained on.
        DataError: The data are damaged, or not those of the run.
        RunFailedError: The network cannot be exported or quantised, or the export's answers differ.
        StoreError: The file cannot be written.
    """
    try:
        rows: SourceRows | None = open_source_rows(model, roots, announce=announce)
    except (UsageError, DataError) as error:
        if int8:
            raise
        rows, why = None, error.message
    described = model_card(model.card, record_of(model))
    if rows is None:
        crops = _drawn(model.spec.size, announce)
        words = f"drawn faces, as the source could not be opened: {why}"
    else:
        crops, words = _of_source(rows)
    if not int8 or rows is None:
        done = export_onnx(model, described, crops, file)
        return Exported(file, done.size, done, words, None)
    with tempfile.TemporaryDirectory() as folder:
        done = export_onnx(model, described, crops, Path(folder, "float32.onnx"))
        report = export_int8(done.file, rows, described, file)
    return Exported(file, file.stat().st_size, done, words, report)


def _of_source(rows: SourceRows) -> tuple[Crops, str]:
    """Return crops of the source to compare on, and what they are."""
    drawn = "drawn faces: " if rows.record.data_kind == "synthetic" else ""
    for role, name in (("val", "validation"), ("train", "training")):
        if len(found := rows.rows(role, COMPARED)) > 1:
            return rows.crops(found), f"{drawn}{name} rows of {rows.record.dataset}"
    raise DataError("the source has no labelled rows", value=rows.record.dataset)


def _drawn(size: int, announce: Announce | None) -> Crops:
    workspace = Workspace(DataRoots(None, {}, "drawn faces"), size="tiny", announce=announce)
    return np.array(workspace.pack(DRAWN, size).pixels[:COMPARED])


def default_name(model: CheckpointModel, *, int8: bool) -> Path:
    """Return how a file is called where nobody says it: `erm-oulu-b712f2fd.onnx`."""
    card = model.card
    source = card.trained_on.replace("+", "-")
    return Path(f"{card.method}-{source}-{(card.key or card.weights)[:8]}{'-int8' if int8 else ''}.onnx")
