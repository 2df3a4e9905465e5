"""erm's network: sizes, any backbone of timm, and what is said of names that are none."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
import torch

from fer_bench.errors import UsageError
from fer_bench.methods.backbones import build_backbone
from fer_bench.methods.erm.method import ERM
from fer_bench.methods.erm.network import (
    ERMNetwork,
    SmallBackbone,
    build_any_backbone,
    check_backbone,
    picture_spec,
    standardise,
    timm_options,
    weights_of,
)
from fer_bench.methods.size import count_parameters, multiply_adds


def test_resnet18_has_the_known_size():
    network = ERMNetwork(7, backbone="resnet18", size=64)
    assert count_parameters(network) == 11_176_512 + 7 * 513
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    same = build_backbone("resnet18")[0].state_dict().keys()
    assert network.backbone.state_dict().keys() == same


def test_the_small_network_by_hand():
    backbone = SmallBackbone(48)
    channels = (3, 16, 32, 64, 128)
    expected = sum(9 * before * after + 2 * after for before, after in pairwise(channels))
    assert count_parameters(backbone) == expected == 97_680
    assert backbone(torch.randn(2, 3, 48, 48)).shape == (2, backbone.num_features) == (2, 1152)
    method = ERM(["fear", "anger"], {"backbone": "small", "mode": "scratch", "size": 48})
    convolutions = sum(
        9 * before * after * (48 >> place) ** 2 for place, (before, after) in enumerate(pairwise(channels))
    )
    assert multiply_adds(method) == convolutions + 2 * 1152 == 8_960_256


def test_light_and_contrast_do_not_reach_the_small_network():
    torch.manual_seed(0)
    network, image = SmallBackbone(32, width=4).eval(), torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(network(image), network(0.4 * image + 0.3), rtol=1e-2, atol=1e-3)
    found = standardise(image)
    torch.testing.assert_close(found.mean((1, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.std((1, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("small", 50),
        ("narrow", 64),
        ("mobilenetv3_small_050", 64),
        ("convnext_atto", 64),
        ("vit_tiny_patch16_224", 64),
    ],
)
def test_any_backbone_ends_in_one_feature_vector(name, size):
    network, features = build_any_backbone(name, size)
    with torch.no_grad():
        assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, features)
    check_backbone(name, size, 16)


def test_pictures_are_as_timms_weights_want_them():
    assert picture_spec("vit_tiny_patch16_224", 96).mean == (0.5, 0.5, 0.5)
    assert picture_spec("resnet18", 96).mean == (0.485, 0.456, 0.406)
    assert picture_spec("small", 48).size == 48
    assert timm_options("vit_tiny_patch16_224", 96) == {"img_size": 96}
    assert timm_options("resnet18", 96) == timm_options("small", 96) == {}


def test_the_weights_that_a_name_means():
    assert weights_of("resnet18") == weights_of("resnet18.a1_in1k") == "resnet18.a1_in1k"
    assert weights_of("convnext_tiny.fb_in22k") == "convnext_tiny.fb_in22k"
    assert weights_of("small") is weights_of("narrow") is None


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("resnet81", "no such backbone", "did you mean .*resnet"),
        ("smal", "no such backbone", "small"),
        ("???", "no such backbone", "timm.list_models"),
        ("resnet18.a1_in22k", "timm has no such weights of resnet18", "resnet18.a1_in1k"),
    ],
)
def test_an_unknown_backbone_gets_near_names(name, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        build_any_backbone(name, 64)
    assert caught.value.value == name
    assert re.search(hint, str(caught.value.hint))


@pytest.mark.parametrize(("name", "size"), [("convnext_atto", 16), ("levit_128s", 100)])
def test_a_size_that_a_backbone_does_not_take(name, size):
    with pytest.raises(UsageError, match=f"{size} pixels"):
        check_backbone(name, size, 16)


def test_a_frozen_backbone_stays_as_it_is():
    torch.manual_seed(0)
    network = ERMNetwork(3, backbone="small", size=32, width=4, frozen=True).train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    assert count_parameters(network) == 3 * (network.backbone.num_features + 1)
    assert not network.backbone.training
    assert network.head.weight.grad is not None
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(("backbone", "size"), [("small", 48), ("mobilenetv3_small_050", 64)])
def test_network_is_exportable(backbone, size):
    torch.manual_seed(0)
    network = ERMNetwork(3, backbone=backbone, size=size).eval()
    image = torch.rand(2, 3, size, size)
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(program.module()(image[:1]), network(image[:1]), rtol=1e-4, atol=1e-5)


def test_onnxruntime_gives_the_same_answers():
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = ERMNetwork(5, backbone="small", size=48, dropout=0.3).eval()
    image, file = torch.rand(3, 3, 48, 48), io.BytesIO()
    program = torch.onnx.export(
        network, (image,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue())
    (name,) = [given.name for given in session.get_inputs()]
    for rows in (1, 3):
        (found,) = session.run(None, {name: image[:rows].numpy()})
        torch.testing.assert_close(torch.from_numpy(found), network(image[:rows]), rtol=1e-3, atol=1e-4)
