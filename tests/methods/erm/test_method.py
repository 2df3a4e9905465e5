"""erm: its recipe, modes, settings that contradict each other, and learning."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from fer_bench.config import PROFILES, Augmentation, TrainSettings
from fer_bench.data.batch import Task
from fer_bench.errors import DataError, UsageError
from fer_bench.files import file_hash
from fer_bench.methods.backbones import build_backbone
from fer_bench.methods.erm.method import ERM, MIRRORED_ONLY, rate_at
from fer_bench.methods.erm.network import ERMNetwork, SmallBackbone
from fer_bench.methods.erm.settings import ERMSettings
from fer_bench.methods.weights import shipped
from fer_bench.runs.resolve import resolve_settings

CLASSES = ("happiness", "sadness", "surprise")
SMALL = {"backbone": "small", "mode": "scratch", "size": 32, "width": 4}


def make(**settings: object) -> ERM:
    torch.manual_seed(0)
    chosen = ERMSettings(**{**SMALL, **settings})
    return ERM(Task(CLASSES, (1, 1, 1)), chosen, TrainSettings(max_epochs=1, batch_size=4))


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    rates = [rate_at(step, 10, 4) for step in range(11)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    for step in range(4, 11):
        assert rates[step] == pytest.approx((1 + math.cos(math.pi * (step - 4) / 6)) / 2)
    assert rates[10] == pytest.approx(0)
    assert [rate_at(step, 4, 0) for step in (0, 4)] == [1.0, pytest.approx(0)]


def test_only_matrices_and_kernels_decay():
    method = make(lr=0.01, weight_decay=0.1)
    method._trainer = SimpleNamespace(estimated_stepping_batches=20)
    config = method.configure_optimizers()
    decayed, others = config["optimizer"].param_groups
    assert isinstance(config["optimizer"], torch.optim.AdamW)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0)
    assert all(p.dim() > 1 for p in decayed["params"])
    assert all(p.dim() == 1 for p in others["params"])
    count = len(decayed["params"]) + len(others["params"])
    assert count == len(list(method.parameters()))
    assert config["lr_scheduler"]["interval"] == "step"
    assert decayed["lr"] == pytest.approx(0.01 * rate_at(0, 20, 1))


def test_paper_profile_is_what_the_readme_says():
    settings, train = ERM.profile("paper")
    assert (settings.backbone, settings.mode, settings.size) == ("resnet18", "fine-tune", 224)
    assert (settings.lr, settings.weight_decay, settings.warmup) == (1e-4, 0.05, 0.05)
    how = train.augmentation
    assert (train.max_epochs, train.batch_size) == (40, 64)
    assert (how.flip, how.erase, how.erase_area, how.brightness) == (0.5, 0.5, (0.02, 0.25), 0.3)
    assert "resnet18.a1_in1k, trained on ImageNet-1k" in ERM.caveats(settings)[0]


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (("mode=linear-probe", "mixup=0.2"), "mixup blends pictures", "method.mixup=0"),
        (("mode=linear-probe", "ema=0.9"), "one layer to learn", "method.ema=0"),
        (("mode=scratch", "weights=resnet18.a1_in1k"), "starts from random weights", "mode=fine-tune"),
        (
            ("backbone=hf-hub:timm/resnet18.a1_in1k",),
            "name of an architecture",
            "method.weights=hf-hub:timm/",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        resolve_settings("erm", "paper", tuple(f"method.{change}" for change in overrides))
    assert hint in str(caught.value.hint)
    values = dict(change.split("=") for change in overrides)
    with pytest.raises(UsageError, match=message):
        ERM(CLASSES, values)


def test_a_probe_has_the_same_features_in_training_and_evaluation():
    """Autocast, under which training runs on GPUs, does not reach what stays as it is."""
    network = ERMNetwork(7, backbone="small", size=32, frozen=True).eval()
    image, seen = torch.rand(2, 3, 32, 32), []
    network.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(image)
    network(image)
    assert seen[0].dtype == torch.float32
    assert torch.equal(*seen)


def test_a_probe_sees_plain_and_mirrored_faces_alone():
    probe = ("method.mode=linear-probe",)
    for profile in PROFILES:
        assert resolve_settings("erm", profile, probe)[1].augmentation == MIRRORED_ONLY
    still = resolve_settings("erm", "paper", (*probe, *no_change("flip=0")))[1].augmentation
    assert still == Augmentation(flip=0)
    with pytest.raises(UsageError, match="plain and mirrored faces alone"):
        resolve_settings("erm", "paper", (*probe, "train.augmentation.noise=0.5"))


def no_change(*more: str) -> tuple[str, ...]:
    return tuple(
        f"train.augmentation.{change}"
        for change in ("crop_pad=0", "erase=0", "brightness=0", "contrast=0", *more)
    )


def test_weights_from_a_file_are_loaded_hashed_and_named(tmp_path):
    torch.manual_seed(4)
    state = {name: value + 1 for name, value in SmallBackbone(32, 4).state_dict().items()}
    file = tmp_path / "small.safetensors"
    save_file({**state, "head.weight": torch.zeros(9, 4)}, file)
    method = make(mode="fine-tune", weights=str(file))
    method.load_pretrained()
    for name, value in method.network.backbone.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert ERM.weights(method.settings) == {"backbone": file_hash(file)}
    assert "unknown data" in ERM.caveats(method.settings)[0]
    told = method.settings.model_copy(update={"weights_trained_on": "my faces", "mode": "linear-probe"})
    assert ERM.caveats(told) == (f"linear probe: the backbone stays with {file}, trained on my faces",)


def test_weights_of_a_tower_of_this_package():
    settings = ERMSettings(backbone="narrow", weights="clip-tiny-neutral", size=64)
    assert ERM.weights(settings) == {"backbone": shipped("clip-tiny-neutral").sha256}
    assert "without expression words" in ERM.caveats(settings)[0]


def test_timms_weights_fit_networks_with_a_norm_in_their_head_and_pictures_of_another_size(tmp_path):
    import timm

    for name, size in (("convnext_atto", 64), ("vit_tiny_patch16_224", 64)):
        whole = timm.create_model(name, pretrained=False)
        torch.save(whole.state_dict(), tmp_path / "w.pth")
        method = make(backbone=name, mode="fine-tune", size=size, weights=str(tmp_path / "w.pth"))
        method.load_pretrained()
        last = list(whole.state_dict())[-3]
        assert torch.equal(method.network.backbone.state_dict()[last], whole.state_dict()[last]), last


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mode": "fine-tune"}, UsageError, "there are no pretrained weights of small"),
        ({"mode": "linear-probe", "backbone": "narrow"}, UsageError, "no pretrained weights of narrow"),
        ({"mode": "fine-tune", "weights": "absent.pth"}, DataError, "no such weights file"),
        ({"mode": "fine-tune", "weights": "clip-tiny"}, DataError, "tensor that this backbone"),
    ],
)
def test_weights_that_are_absent_or_of_another_network(settings, error, message):
    with pytest.raises(error, match=message):
        ERM.weights(ERMSettings(**{**SMALL, **settings}))


def test_from_scratch_nothing_is_named():
    settings = ERMSettings(**SMALL)
    assert ERM.weights(settings) == {}
    assert ERM.caveats(settings) == ()
    assert build_backbone("narrow")[1] == 192  # the other backbone of this package


def test_mixing_and_smoothing_change_the_loss():
    batch = {"image": torch.randn(6, 3, 32, 32), "label": torch.arange(6) % 3}
    found = set()
    for changes in ({}, {"mixup": 0.4}, {"label_smoothing": 0.2}):
        method = make(**changes)
        torch.manual_seed(1)
        found.add(round(method.training_step(batch, 0).item(), 5))
    assert len(found) == 3


@pytest.mark.parametrize("changes", [{}, {"mixup": 0.2, "label_smoothing": 0.1}])
def test_overfits_eight_images(changes):
    method = make(width=8, **changes)
    image, label = torch.randn(8, 3, 32, 32), torch.arange(8) % 3
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        method.training_step({"image": image, "label": label}, 0).backward()
        optimizer.step()
    assert torch.equal(method(image).logits.argmax(dim=1), label)
