"""cafe's network: the authors' sizes, a tower that stays frozen, and OpenAI's features."""

from __future__ import annotations

import os

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fer_bench.config import InputSpec
from fer_bench.methods.cafe.network import (
    DEFAULT_TOWER,
    TINY_INPUT,
    CAFENetwork,
    FrozenTower,
    build_tower,
    fit_width,
    load_tower,
    open_tower,
    tower_spec,
)
from fer_bench.methods.size import count_parameters
from fer_bench.methods.weights import Pretrained
from tests.methods.cafe.small import make, make_batch, state_of

WEIGHTS = os.environ.get("FER_BENCH_CLIP_WEIGHTS")


def small_clip(**changes: int) -> nn.Module:
    """Return OpenAI's architecture, only smaller."""
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 16, **changes}
    return timm.create_model("vit_base_patch32_clip_quickgelu_224", pretrained=False, **sizes).eval()


def openai_state(width: int = 32, depth: int = 2, outputs: int = 16) -> dict[str, torch.Tensor]:
    """Return random weights under the names of OpenAI's release."""
    torch.manual_seed(5)
    state = {
        "visual.class_embedding": torch.randn(width),
        "visual.positional_embedding": torch.randn(50, width),
        "visual.proj": torch.randn(width, outputs) / 4,
        "visual.conv1.weight": torch.randn(width, 3, 32, 32) / 40,
    }
    for name in (
        "ln_pre",
        "ln_post",
        *(f"transformer.resblocks.{i}.ln_{k}" for i in range(depth) for k in (1, 2)),
    ):
        state |= {f"visual.{name}.weight": 1 + 0.1 * torch.randn(width)}
        state |= {f"visual.{name}.bias": 0.1 * torch.randn(width)}
    for i in range(depth):
        block = f"visual.transformer.resblocks.{i}"
        for name, (rows, columns) in {
            "attn.in_proj_": (3 * width, width),
            "attn.out_proj.": (width, width),
            "mlp.c_fc.": (4 * width, width),
            "mlp.c_proj.": (width, 4 * width),
        }.items():
            state[f"{block}.{name}weight"] = torch.randn(rows, columns) / columns**0.5
            state[f"{block}.{name}bias"] = 0.1 * torch.randn(rows)
    return {**state, "text_projection": torch.randn(3, 3), "logit_scale": torch.tensor(4.6)}


def reference_forward(state: dict[str, torch.Tensor], image: torch.Tensor, heads: int) -> torch.Tensor:
    """Return CLIP's image feature, written from the paper's description with torch's own functions."""
    state = {name.removeprefix("visual."): value.float() for name, value in state.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    patches = F.conv2d(image, state["conv1.weight"], stride=state["conv1.weight"].shape[-1])
    patches = patches.flatten(2).transpose(1, 2)
    first = state["class_embedding"].expand(len(image), 1, -1)
    x = norm(torch.cat([first, patches], dim=1) + state["positional_embedding"], "ln_pre")
    depth = len([name for name in state if name.endswith("mlp.c_fc.weight")])
    for i in range(depth):
        own = {k.removeprefix(f"transformer.resblocks.{i}."): v for k, v in state.items()}
        y = norm(x, f"transformer.resblocks.{i}.ln_1").transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            y, y, y, x.shape[2], heads, own["attn.in_proj_weight"], own["attn.in_proj_bias"], None, None,
            False, 0.0, own["attn.out_proj.weight"], own["attn.out_proj.bias"], need_weights=False,
        )  # fmt: skip
        x = x + attended.transpose(0, 1)
        y = norm(x, f"transformer.resblocks.{i}.ln_2")
        y = F.linear(y, own["mlp.c_fc.weight"], own["mlp.c_fc.bias"])
        y = y * torch.sigmoid(1.702 * y)  # QuickGELU
        x = x + F.linear(y, own["mlp.c_proj.weight"], own["mlp.c_proj.bias"])
    return norm(x[:, 0], "ln_post") @ state["proj"]


def test_trainable_parameters_are_the_authors():
    with torch.device("meta"):
        network = CAFENetwork(7, tower=DEFAULT_TOWER, backbone="resnet18", given=InputSpec(size=224))
    assert network.tower.width == network.width == 512
    assert count_parameters(network) == 11_180_103
    assert count_parameters(network.tower) == 0


def test_shapes_at_the_authors_size():
    with torch.device("meta"):
        network = CAFENetwork(8, tower=DEFAULT_TOWER, backbone="resnet18", given=InputSpec(size=224))
        found = network(torch.zeros(2, 3, 224, 224))
    assert (found.logits.shape, found.feature.shape, found.mask.shape) == ((2, 8), (2, 512), (2, 512))


def test_the_feature_is_the_frozen_one_times_the_sigmoid():
    method = make().eval()
    image = make_batch()["image"]
    found = method.network(image)
    expected = method.network.tower(image) * torch.sigmoid(method.network.backbone(image))
    torch.testing.assert_close(found.feature, expected)
    torch.testing.assert_close(found.logits, method.network.head(expected))
    torch.testing.assert_close(method(image).extras["mask"], torch.sigmoid(method.network.backbone(image)))


@pytest.mark.parametrize("kind", ["linear", "none", "alone"])
def test_other_masks(kind):
    method = make(mask=kind).eval()
    image, network = make_batch()["image"], method.network
    feature = network(image).feature
    if kind == "alone":
        assert network.tower is None
        torch.testing.assert_close(feature, network.backbone(image))
    elif kind == "none":
        assert network.backbone is None
        torch.testing.assert_close(feature, network.tower(image))
    else:
        torch.testing.assert_close(feature, network.tower(image) * network.backbone(image))
    method.train().training_step(make_batch(), 0).backward()
    assert all((p.grad is not None) == p.requires_grad for p in method.parameters())


def test_widths_are_matched_by_means_of_neighbours():
    feature = torch.arange(8.0).view(1, 8)
    assert fit_width(feature, 4).tolist() == [[0.5, 2.5, 4.5, 6.5]]
    assert fit_width(feature, 8) is feature
    assert fit_width(feature, 16).shape == (1, 16)


def test_the_tower_sees_its_own_normalisation_when_asked():
    wanted = InputSpec(size=64, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    given = InputSpec(size=64)
    tower = FrozenTower("clip-tiny", given=given, wanted=wanted)
    seen = []
    tower.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    pixels = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor(given.mean).view(3, 1, 1), torch.tensor(given.std).view(3, 1, 1)
    tower((pixels - mean) / std)
    mean, std = torch.tensor(wanted.mean).view(3, 1, 1), torch.tensor(wanted.std).view(3, 1, 1)
    torch.testing.assert_close(seen[0], (pixels - mean) / std, rtol=1e-4, atol=1e-5)
    assert tower_spec(DEFAULT_TOWER).mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert tower_spec("clip-tiny") == TINY_INPUT


@pytest.mark.parametrize("side", [32, 150])
def test_the_tower_gets_pictures_of_the_size_it_was_trained_on(side):
    """As PIL scales them, which is what the authors' code does."""
    tower, seen = FrozenTower("clip-tiny", given=TINY_INPUT), []
    tower.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    picture = np.random.default_rng(0).random((side, side), dtype=np.float32)
    tower(torch.from_numpy(picture).expand(1, 3, side, side))
    wanted = np.asarray(Image.fromarray(picture).resize((TINY_INPUT.size,) * 2, Image.Resampling.BILINEAR))
    np.testing.assert_allclose(seen[0][0, 1], wanted, atol=1e-5)


def test_features_are_the_same_in_training_and_evaluation():
    """Autocast, under which training runs on GPUs, does not reach the tower: what is cached is in 32 bits."""
    tower, image = FrozenTower("clip-tiny", given=TINY_INPUT), torch.rand(2, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (tower.encoder(image).float() - tower(image)).abs().max() > 1e-4
        trained = tower(image)
    assert torch.equal(trained, tower(image))
    assert tower.to(torch.bfloat16)(image).dtype == torch.bfloat16  # with --precision bf16-true


def test_the_tower_stays_frozen_and_in_evaluation_mode():
    method = make().train()
    assert method.network.backbone.training
    assert not any(module.training for module in method.network.tower.modules())
    before = state_of(method.network.tower)
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        method.training_step(make_batch(), 0).backward()
        optimizer.step()
    after = method.network.tower.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(p.requires_grad for p in method.network.tower.parameters())
    other = make(seed=1)
    other.load_state_dict(method.state_dict())
    assert not any(module.training for module in other.train().network.tower.modules())
    assert not any(p.requires_grad for p in other.network.tower.parameters())


def test_openais_weights_give_openais_features():
    state, tower = openai_state(), small_clip()
    load_tower(tower, Pretrained(state, ""), "a file")
    image = torch.randn(3, 3, 224, 224)
    with torch.no_grad():
        found, expected = tower(image), reference_forward(state, image, heads=4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(WEIGHTS is None, reason="set FER_BENCH_CLIP_WEIGHTS to a file with OpenAI's ViT-B/32")
def test_the_real_tower_gives_openais_features():
    state = torch.jit.load(WEIGHTS, map_location="cpu").state_dict() if str(WEIGHTS).endswith(".pt") else None
    given = open_tower(WEIGHTS) if state is None else Pretrained(state, "")
    if "visual.proj" not in given.state:
        pytest.skip("the file has timm's names, not OpenAI's")
    tower, width = build_tower(DEFAULT_TOWER)
    load_tower(tower, given, str(WEIGHTS))
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        found, expected = tower.eval()(image), reference_forward(given.state, image, heads=12)
    assert width == 512
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
