"""A method without batch statistics and dropout: how its rows are dealt to processes must not matter."""

import torch
from torch import nn

from fer_bench.config import InputSpec, MethodSettings, ProfileSettings, TrainSettings
from fer_bench.methods.base import Method, Prediction, classification_loss


class PlainSettings(MethodSettings):
    lr: float = 0.05


class Plain(Method[PlainSettings]):
    name = "plain"
    settings_type = PlainSettings
    profiles = {"quick": ProfileSettings(train=TrainSettings(max_epochs=3, batch_size=15))}

    def __init__(self, classes, settings=None, train=None):
        super().__init__(classes, settings, train)
        count = len(self.task.classes)
        self.network = nn.Sequential(
            *(nn.Conv2d(3, 4, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 25, count))
        )

    @classmethod
    def input_spec(cls, settings):
        return InputSpec(size=24)

    def forward(self, image):
        return Prediction(self.network(image).float())

    def training_step(self, batch, batch_idx):
        loss = classification_loss(self(batch["image"]).logits, batch["label"])
        self.log_losses(len(batch["label"]), total=loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.settings.lr, momentum=0.9)
