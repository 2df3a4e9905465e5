import sys

import numpy as np
import pytest
import torch
from torch import nn

from fer_bench import methods
from fer_bench.errors import UsageError
from fer_bench.inference.gradcam import class_maps, find_place
from fer_bench.methods.base import Prediction

CLASSES = ("happiness", "anger", "fear")


def built(name, **changes):
    torch.manual_seed(0)
    kind = methods.get(name)
    settings, train = kind.profile("quick")
    return kind(CLASSES, settings.model_copy(update=changes), train).eval()


def images(method, count=3):
    side = method.input_spec(method.settings).size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


class Left(nn.Module):
    """A network that looks at brightness in the left half only."""

    name = "left"

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU())
        nn.init.ones_(self.network[0].weight)

    def forward(self, image):
        found = self.network(image)
        left = found[..., : image.shape[-1] // 2].mean(dim=(1, 2, 3))
        return Prediction(torch.stack([left, -left], dim=1))


class Last(Left):
    """The same with a normalisation that has channels last, as in Swin."""

    def __init__(self):
        super().__init__()
        self.network.add_module("norm", nn.LayerNorm(2, elementwise_affine=False))

    def forward(self, image):
        found = self.network.norm(self.network[:2](image).permute(0, 2, 3, 1))
        left = found[:, :, : image.shape[-1] // 2, 0].mean(dim=(1, 2))
        return Prediction(torch.stack([left, -left], dim=1))


@pytest.fixture
def two_spots():
    image = torch.zeros(1, 3, 16, 16)
    image[..., 4:8, 2:5] = 1.0
    image[..., 4:8, 11:14] = 1.0
    return image


def test_hirescam_shows_what_the_answer_depends_on_and_grad_cam_all_that_looks_like_it(two_spots):
    exact = class_maps(Left().eval(), two_spots, [0], "hirescam")[0]
    averaged = class_maps(Left().eval(), two_spots, [0], "grad-cam")[0]
    assert exact[5, 3] == pytest.approx(1, abs=1e-3)
    assert exact[:, 8:].max() == 0
    assert averaged[5, 12] == pytest.approx(1, abs=1e-3)
    assert averaged[0, 0] == 0


def test_channels_may_come_last():
    method = Last().eval()
    torch.manual_seed(0)
    nn.init.normal_(method.network[0].weight)
    given = torch.randn(2, 3, 8, 8)
    found = find_place(method, given)
    assert (found.name, found.layout, found.side) == ("norm", "channels last", 8)
    assert class_maps(method, given, [0, 1], "hirescam")[:, :, 4:].max() == 0


def test_nothing_speaks_for_the_other_class(two_spots):
    assert class_maps(Left().eval(), two_spots, [1])[0].max() == 0


@pytest.mark.parametrize(
    ("name", "changes", "place", "layout"),
    [
        ("erm", {}, "backbone.features.14", "channels first"),
        ("erm", {"backbone": "vit_tiny_patch16_224", "size": 64}, "backbone.blocks.11.norm1", "tokens"),
        ("erm", {"backbone": "resnet18", "size": 128}, "backbone.layer4", "channels first"),
        ("gcn", {}, "encoder2.activations.2", "channels first"),
        ("cafe", {}, "backbone.layer3", "channels first"),
        ("resemotenet", {}, None, "channels first"),
        ("ssmfar", {}, None, "channels first"),
    ],
)
def test_every_method_has_a_map_of_its_input(name, changes, place, layout):
    method = built(name, **changes)
    given = images(method)
    found = find_place(method, given)
    assert (place or found.name, layout) == (found.name, found.layout)
    assert found.side >= 4
    maps = class_maps(method, given, [0, 1, 2])
    assert maps.shape == given.shape[:1] + given.shape[2:]
    assert maps.min() >= 0
    assert 0.9 < maps.max() <= 1
    assert all(parameter.grad is None for parameter in method.parameters())


def test_a_row_is_explained_alone():
    method = built("gcn")
    given = images(method)
    alone = class_maps(method, given[1:2], [2])
    assert np.allclose(class_maps(method, given, [0, 2, 1])[1], alone[0], atol=1e-4)


def test_a_frozen_backbone_has_maps_and_a_frozen_tower_alone_has_none():
    frozen = built("erm", backbone="resnet18", size=128, trained="head")
    assert class_maps(frozen, images(frozen), [0, 1, 2]).max() > 0.9
    with pytest.raises(UsageError, match="no layer of cafe has a map"):
        find_place(built("cafe", mask="none"), images(built("cafe")))


def test_the_missing_package_is_named_with_what_installs_it(monkeypatch, two_spots):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UsageError, match="grad-cam, which is not installed") as refused:
        class_maps(Left(), two_spots, [0])
    assert "pip install" in refused.value.hint
