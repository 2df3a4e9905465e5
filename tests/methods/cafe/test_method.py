"""cafe: the exact network, a tower that stays frozen, weights that are checked first, and learning."""

from __future__ import annotations

import os

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from fer_bench.config import InputSpec, TrainSettings, build
from fer_bench.data.batch import Batch, Task
from fer_bench.errors import DataError, UsageError
from fer_bench.methods.base import count_parameters
from fer_bench.methods.cafe import losses, towers
from fer_bench.methods.cafe.method import CAFE, CAFESettings
from fer_bench.methods.cafe.network import CAFENetwork, FrozenTower, fit_width
from fer_bench.methods.cafe.tiny import SPEC, TinyTower
from tests.methods.two_processes import Step, joined, run_two

SEVEN = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
THREE = SEVEN[:3]
WEIGHTS = os.environ.get("FER_BENCH_CLIP_WEIGHTS")


def make(classes: tuple[str, ...] = THREE, *, seed: int = 0, **settings: object) -> CAFE:
    torch.manual_seed(seed)
    chosen = CAFESettings(**{"tower": "clip-tiny", "backbone": "narrow", "size": 32, **settings})
    train = TrainSettings(max_epochs=1, batch_size=8)
    return CAFE(Task(classes, (4,) * len(classes)), chosen, train)


def make_batch(rows: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(rows, 3, 32, 32, generator=generator),
        "label": torch.arange(rows) % 3,
        "row": torch.arange(rows),
    }


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
        network = CAFENetwork(7, tower=towers.DEFAULT, backbone="resnet18", given=InputSpec(size=224))
    assert network.tower.width == network.width == 512
    assert count_parameters(network) == 11_180_103
    assert count_parameters(network.tower) == 0


def test_shapes_at_the_authors_size():
    with torch.device("meta"):
        network = CAFENetwork(8, tower=towers.DEFAULT, backbone="resnet18", given=InputSpec(size=224))
        found = network(torch.zeros(2, 3, 224, 224))
    assert (found.logits.shape, found.feature.shape, found.mask.shape) == ((2, 8), (2, 512), (2, 512))


def test_the_feature_is_the_frozen_one_times_the_sigmoid():
    method = make().eval()
    image = make_batch()["image"]
    found = method.network(image)
    expected = method.network.tower.encoder(image) * torch.sigmoid(method.network.backbone(image))
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
    wanted = InputSpec(size=32, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    given = InputSpec(size=32)
    tower = FrozenTower("clip-tiny", given=given, wanted=wanted)
    seen = []
    tower.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    pixels = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor(given.mean).view(3, 1, 1), torch.tensor(given.std).view(3, 1, 1)
    tower((pixels - mean) / std)
    mean, std = torch.tensor(wanted.mean).view(3, 1, 1), torch.tensor(wanted.std).view(3, 1, 1)
    torch.testing.assert_close(seen[0], (pixels - mean) / std, rtol=1e-4, atol=1e-5)
    assert towers.tower_spec(towers.DEFAULT).mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert towers.tower_spec("clip-tiny") == SPEC


def test_training_step_is_the_weighted_sum_of_its_parts():
    method, batch = make(), make_batch()
    torch.manual_seed(1)
    parts = method.losses(batch)
    torch.manual_seed(1)
    total = method.training_step(batch, 0)
    torch.testing.assert_close(total, parts["cls"] + 1.5 * parts["sep"] + 5 * parts["div"])
    assert set(make(separation=0, diversity=0).losses(batch)) == {"cls"}


def test_losses_are_those_of_the_masked_feature():
    method, batch = make().eval(), make_batch()
    torch.manual_seed(2)
    parts = method.losses(batch)
    found = method.network(batch["image"])
    torch.manual_seed(2)
    kept = losses.draw_kept(192, 3, torch.device("cpu"))
    torch.testing.assert_close(parts["cls"], F.cross_entropy(found.logits, batch["label"]))
    dropped = losses.group_maxima(found.feature * kept, 3)
    torch.testing.assert_close(parts["sep"], F.cross_entropy(dropped, batch["label"]))
    torch.testing.assert_close(parts["div"], 1 - losses.group_maxima(found.feature, 3).mean() / 64)


def test_inference_by_groups():
    method = make(inference="groups").eval()
    image = make_batch()["image"]
    torch.testing.assert_close(method(image).logits, losses.group_maxima(method.network(image).feature, 3))


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


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


def ddp_worker(rank: int, folder: str) -> None:
    """Train two steps as one of two processes; the tower must not change, the rest is saved."""
    from torch.nn.parallel import DistributedDataParallel

    with joined(rank, folder):
        method = make()
        before = state_of(method.network.tower)
        parallel = DistributedDataParallel(Step(method)).train()
        optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-2)
        for step in range(2):
            optimizer.zero_grad()
            parallel(make_batch(4, seed=10 * step + rank)).backward()
            optimizer.step()
        assert not any(module.training for module in method.network.tower.modules())
        after = method.network.tower.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        torch.save([p.detach() for p in method.network.parameters()], f"{folder}/{rank}.pt")


def test_two_processes_leave_the_tower_frozen_and_agree_on_the_rest(tmp_path):
    run_two(__name__, tmp_path, seconds=180)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    start = list(make().network.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(first, start, strict=True))


def test_overfits_eight_images():
    method = make()
    batch = make_batch()
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()
    assert method.losses(batch)["cls"] < 0.1


def test_paper_profile_is_the_authors():
    paper = CAFE.profiles["paper"]
    settings = build(CAFESettings, paper.method, "paper")
    assert (settings.separation, settings.diversity, settings.lr, settings.weight_decay) == (
        1.5,
        5,
        2e-4,
        1e-4,
    )
    assert (settings.tower, settings.backbone, settings.size) == (towers.DEFAULT, "resnet18", 224)
    assert (paper.train.max_epochs, paper.train.batch_size) == (60, 32)
    how = paper.train.augmentation
    assert (how.flip, how.erase, how.erase_area, how.noise) == (0.5, 0.5, (0.02, 0.25), 0.5)
    assert how.noise_std**2 == pytest.approx(30)


def test_the_rate_decays_by_a_tenth_per_epoch():
    config = make(recipe="paper").configure_optimizers()
    adam, schedule = config["optimizer"], config["lr_scheduler"]
    learning = {id(p) for group in adam.param_groups for p in group["params"]}
    assert learning == {id(p) for p in make_list(schedule.optimizer)}
    adam.step()
    schedule.step()
    assert adam.param_groups[0]["lr"] == pytest.approx(0.9 * 2e-4)


def make_list(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def test_more_classes_than_channels_are_refused():
    with pytest.raises(UsageError, match="one channel per class"):
        make(tuple(f"c{i}" for i in range(193)))


# --- Towers and their weights


def test_openais_weights_give_openais_features():
    state, tower = openai_state(), small_clip()
    towers.load_tower(tower, towers.Pretrained(state, "", None), "a file")
    image = torch.randn(3, 3, 224, 224)
    with torch.no_grad():
        found, expected = tower(image), reference_forward(state, image, heads=4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(WEIGHTS is None, reason="set FER_BENCH_CLIP_WEIGHTS to a file with OpenAI's ViT-B/32")
def test_the_real_tower_gives_openais_features():
    state = torch.jit.load(WEIGHTS, map_location="cpu").state_dict() if str(WEIGHTS).endswith(".pt") else None
    given = (
        towers.open_tower(towers.DEFAULT, WEIGHTS) if state is None else towers.Pretrained(state, "", None)
    )
    if "visual.proj" not in given.state:
        pytest.skip("the file has timm's names, not OpenAI's")
    tower, width = towers.build_tower(towers.DEFAULT)
    towers.load_tower(tower, given, str(WEIGHTS))
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        found, expected = tower.eval()(image), reference_forward(given.state, image, heads=12)
    assert width == 512
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", ["file", "folder", "pth"])
def test_tower_weights_from_file_or_folder(tmp_path, form):
    torch.manual_seed(8)
    tower = TinyTower()
    state = tower.state_dict()
    if form == "pth":
        place = tmp_path / "own.pth"
        torch.save({"state_dict": state}, place)
    else:
        folder = tmp_path / "own"
        folder.mkdir()
        save_file(state, folder / "model.safetensors")
        place = folder if form == "folder" else folder / "model.safetensors"
    method = make(clip_weights=str(place))
    method.load_pretrained()
    image = make_batch()["image"]
    torch.testing.assert_close(method.network.tower(image), tower.eval()(image))
    assert len(CAFE.weights(method.settings)["tower"]) == 64
    assert "unknown data" in CAFE.caveats(method.settings)[0]
    told = CAFE.caveats(make(clip_weights=str(place), clip_trained_on="my pairs").settings)
    assert "trained on my pairs" in told[0]


def test_weights_of_the_mask_network_are_loaded(tmp_path):
    other = make(seed=4).network.backbone
    state = {name: value.contiguous() for name, value in other.state_dict().items()}
    save_file(state, tmp_path / "mask.safetensors")
    method = make(mask_weights=str(tmp_path / "mask.safetensors"), mask="alone")
    method.load_pretrained()
    assert torch.equal(next(method.network.backbone.parameters()), next(other.parameters()))
    assert set(CAFE.weights(method.settings)) == {"mask"}
    assert any("trained on unknown data" in text for text in CAFE.caveats(method.settings))


def refused(**settings: object) -> str:
    with pytest.raises((DataError, UsageError)) as caught:
        CAFE.weights(CAFESettings(**settings))
    return str(caught.value)


def test_wrong_weights_are_refused_before_anything_runs(tmp_path):
    tiny = {"tower": "clip-tiny", "size": 64}
    assert "no such weights file" in refused(**tiny, clip_weights=str(tmp_path / "absent.safetensors"))
    assert "holds none" in refused(**tiny, clip_weights=str(tmp_path))
    for name in ("a.pth", "b.pth"):
        torch.save({"x": torch.zeros(1)}, tmp_path / name)
    assert "holds several" in refused(**tiny, clip_weights=str(tmp_path))
    assert "lack a tensor" in refused(**tiny, clip_weights=str(tmp_path / "a.pth"))
    state = {**TinyTower().state_dict(), "project.weight": torch.zeros(3, 3)}
    save_file(state, tmp_path / "shape.safetensors")
    assert "has shape [3, 3]" in refused(**tiny, clip_weights=str(tmp_path / "shape.safetensors"))
    assert "lack a tensor" in refused(**tiny, clip_weights=None, mask_weights=str(tmp_path / "a.pth"))


def test_wrong_towers_are_refused():
    assert "no such CLIP tower" in refused(tower="clip-tine")
    assert "clip-tiny" in refused(tower="clip-tine")
    assert "no such CLIP tower" in refused(tower="resnet18")
    assert "fine-tuned" in refused(tower="vit_base_patch32_clip_224.openai_ft_in1k")
    assert "takes pictures of 224 pixels" in refused(tower=towers.DEFAULT, size=112)
    assert "timm has no pretrained tower" in refused(tower=towers.DEFAULT, clip_weights="openai")


def test_without_network_the_error_says_how_to_fetch(monkeypatch):
    def offline(name: str, **options: object) -> nn.Module:
        raise OSError("connection refused\nand more")

    towers.open_tower.cache_clear()
    monkeypatch.setattr(timm, "create_model", offline)
    message = refused(tower=towers.DEFAULT)
    assert "cannot be downloaded: connection refused" in message
    assert "hf download timm/vit_base_patch32_clip_224.openai" in message
    assert "--set method.clip_weights=FOLDER" in message


def test_records_say_what_the_tower_saw():
    told = CAFE.caveats(CAFESettings(tower="clip-tiny", size=64))
    assert told[0].startswith("backbone saw this generator's labels")
    neutral = CAFE.caveats(CAFESettings(tower="clip-tiny-neutral", size=64))
    assert "captions without expression words" in neutral[0]
    assert not any("saw this generator's labels" in text for text in neutral)
    assert "OpenAI's image-text pairs" in CAFE.caveats(CAFESettings())[0]
    assert any("random weights" in text for text in told)
    assert CAFE.caveats(CAFESettings(mask="alone", tower="clip-tiny")) == told[1:]
