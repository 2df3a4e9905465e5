"""Models from ONNX files that `fer-bench export` wrote, computed by onnxruntime. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import DataError, one_line
from fer_bench.files import file_hash
from fer_bench.inference.embedded import INPUT, outputs_of, read_cards
from fer_bench.inference.face_model import Answers, Crops, FaceModel
from fer_bench.models.onnx_session import imported, open_session, read_onnx


class OnnxModel(FaceModel):
    """An exported model.

    Args:
        path: A file that `fer-bench export` wrote.
        device: `auto`, `cpu` or `cuda`; `auto` takes a GPU where onnxruntime can.
        recipe: How faces are cropped, instead of what the file says; its size is the network's.
        threads: Threads of onnxruntime; None takes the cores that this process may use.

    Attributes:
        model_card: The model card in the file.
        opset: Version of ONNX's operators that it needs.

    Raises:
        UsageError: onnx or onnxruntime is missing, there is no such device, or the file is not an export.
        DataError: The file is absent, damaged, changed, of a newer version, refers to other files or needs
            operators of another library.
    """

    def __init__(
        self,
        path: Path | str,
        device: str = "auto",
        recipe: CropRecipe | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        try:
            read = read_onnx(self.path)
            self.sha256 = file_hash(self.path)
        except FileNotFoundError:
            raise DataError("there is no such model file", file=self.path) from None
        self.card, self.model_card = read_cards(read.model, self.path)
        if recipe is not None:
            recipe = recipe.model_copy(update={"size": self.card.recipe.size})
            self.card = self.card.model_copy(update={"recipe": recipe})
        if read.external:
            problem = "an export is one file, and this one keeps weights in another"
            raise DataError(problem, file=self.path, value=read.external[0])
        if read.foreign or read.model.functions:
            problem = "an export has operators of ONNX alone, and this file brings others"
            value = ", ".join(read.foreign) or read.model.functions[0].name
            raise DataError(problem, file=self.path, value=value)
        self.opset = read.opset
        if device == "auto":
            has_gpu = "CUDAExecutionProvider" in imported("onnxruntime").get_available_providers()
            device = "cuda" if has_gpu else "cpu"
        self.device = device
        self.session = open_session(read, device, threads=threads)
        self._check()

    def answer(self, crops: Crops) -> Answers:
        """Return the answers for crops, see `FaceModel`.

        Raises:
            DataError: onnxruntime cannot compute them.
        """
        try:
            found = self.session.run(list(self._outputs), {INPUT: np.ascontiguousarray(crops)})
        except Exception as error:  # onnxruntime raises types of its own
            raise DataError(f"the network cannot be computed: {one_line(error)}", file=self.path) from None
        return Answers(**dict(zip(self._outputs, found, strict=True)))

    def _check(self) -> None:
        """Check that inputs and outputs are what the card says."""
        card, size = self.card, self.card.recipe.size
        self._outputs = outputs_of(card)
        widths = {"logits": len(card.classes), "va": 2, "au": 12}
        wanted = {INPUT: [size, size, 3], **{name: [widths[name]] for name in self._outputs}}
        found = {
            each.name: list(each.shape[1:])
            for each in (*self.session.get_inputs(), *self.session.get_outputs())
        }
        if found != wanted:
            problem = "the network's inputs or outputs are not those on its card"
            raise DataError(problem, file=self.path, value=found)
