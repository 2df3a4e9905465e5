"""A model whose answers can be computed by hand."""

from pathlib import Path

import numpy as np

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.face_model import Answers, FaceModel

CLASSES = ("anger", "happiness", "neutral")


class Colours(FaceModel):
    """Answers how red, green and blue a crop is; `calls` are the sizes of its batches."""

    def __init__(self, kind="whole", *, affect=False, size=32, trained_on="rafdb", **fields):
        self.path, self.sha256, self.device = Path("colours"), "c" * 64, "cpu"
        self.card = DeploymentCard(
            name="colours on rafdb",
            method="colours",
            classes=CLASSES,
            has_va=affect,
            has_au=affect,
            recipe=CropRecipe(kind=kind, size=size),
            trained_on=trained_on,
            data_kind="synthetic",
            weights=self.sha256,
            **fields,
        )
        self.calls = []

    def answer(self, crops):
        assert crops.dtype == np.uint8
        assert crops.shape[1:] == (self.card.recipe.size, self.card.recipe.size, 3)
        self.calls.append(len(crops))
        means = crops.astype(np.float32).mean(axis=(1, 2)) / 64
        if not self.card.has_va:
            return Answers(means)
        return Answers(means, np.tanh(means[:, :2]), np.repeat(means[:, :1], 12, axis=1))
