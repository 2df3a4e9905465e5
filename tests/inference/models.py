"""Models that are not trained, one with answers that can be computed by hand, and a camera."""

from pathlib import Path

import numpy as np
import torch

from fer_bench import methods
from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.face_model import Answers, FaceModel
from fer_bench.inference.opening import open_face_model
from fer_bench.runs.training.checkpoints import save_weights

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


class Camera:
    """Camera 0 in place of OpenCV's: frames without end, each of another grey."""

    def __init__(self, number=0):
        self.number, self.frames = number, 0

    def isOpened(self):  # noqa: N802
        return self.number == 0

    def get(self, what):
        return 0.0

    def grab(self):
        self.frames += 1
        return True

    def retrieve(self):
        return True, np.full((40, 40, 3), self.frames % 200, np.uint8)

    def release(self):
        pass


def saved(folder, classes=("neutral", "happiness", "anger"), method="gcn", **changes):
    """Save an untrained method with the settings of its quick profile, and open it."""
    torch.manual_seed(0)
    kind = methods.get(method)
    settings, train = kind.profile("quick")
    file = folder / f"{method}.pt"
    save_weights(kind(classes, settings.model_copy(update=changes), train), file)
    return open_face_model(file, "cpu", recipe=CropRecipe(kind="similarity", size=64))
