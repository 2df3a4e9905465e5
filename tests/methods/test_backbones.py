"""Backbones: pretrained weights are loaded whole or refused, and runs say where they came from."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from fer_bench.data.batch import Task
from fer_bench.errors import DataError
from fer_bench.files import file_hash
from fer_bench.methods.backbones import build_backbone, fitting_backbone, load_backbone, open_pretrained
from fer_bench.methods.cafe.network import build_tower, load_tower, open_tower
from fer_bench.methods.erm.network import build_any_backbone
from fer_bench.methods.ssmfar.method import SSMFAR
from fer_bench.methods.ssmfar.settings import SSMFARSettings
from fer_bench.methods.weights import SHIPPED, shipped, trained_on
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.training.checkpoints import load_weights, save_weights
from fer_bench.runs.training.fit import build_method
from tests.plans import plan_one


@pytest.fixture
def state():
    torch.manual_seed(3)
    network, _ = build_backbone("narrow")
    return {name: value + 1 for name, value in network.state_dict().items()}


def with_head(state):
    return {**state, "fc.weight": torch.zeros(3, 192), "fc.bias": torch.zeros(3)}


@pytest.mark.parametrize("kind", ["plain", "wrapped", "safetensors"])
def test_files_load_whole_with_their_hash(kind, state, tmp_path):
    file = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(with_head(state), file)
    else:
        prefixed = {f"module.{name}": value for name, value in with_head(state).items()}
        torch.save({"state_dict": prefixed, "epoch": 3} if kind == "wrapped" else with_head(state), file)
    weights = open_pretrained(str(file))
    assert weights.sha256 == file_hash(file)
    network, _ = build_backbone("narrow")
    load_backbone(network, weights, str(file))
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_names_of_the_usual_resnet18_fit():
    network, width = build_backbone("resnet18")
    assert width == 512
    assert {
        "conv1.weight",
        "layer4.1.bn2.running_var",
        "layer2.0.downsample.0.weight",
    } <= network.state_dict().keys()


@pytest.mark.parametrize("build", [build_backbone, lambda name: build_any_backbone(name, 64)])
def test_a_random_resnet18_starts_as_torchvisions_does(build):
    """Every tensor has the same mean and spread: convolutions by He's rule over outputs, norms at one."""
    torch.manual_seed(0)
    ours = build("resnet18")[0].state_dict()
    theirs = resnet18().state_dict()
    assert ours.keys() == theirs.keys() - {"fc.weight", "fc.bias"}
    for name, value in ours.items():
        wanted = theirs[name]
        assert value.shape == wanted.shape
        if value.dim() < 4:
            assert torch.equal(value, wanted), name  # a last norm that started at zero would show here
            continue
        expected = (2 / (value.shape[0] * value[0, 0].numel())) ** 0.5
        error = 5 * expected / value.numel() ** 0.5
        assert abs(value.mean()) < error, name
        for one in (value, wanted):  # the error of a standard deviation is 1 / sqrt(2 n)
            assert abs(one.std() - expected) < error, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer3.0.conv1.weight"), "lack a tensor.*layer3.0.conv1.weight"),
        (lambda s: s.update({"layer9.weight": torch.zeros(1)}), "hold a tensor.*layer9.weight"),
        (lambda s: s.update({"bn1.bias": torch.zeros(5)}), r"bn1.bias has shape \[5\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message, state, tmp_path):
    change(state)
    torch.save(state, tmp_path / "w.pth")
    network, _ = build_backbone("narrow")
    with pytest.raises(DataError, match=message):
        load_backbone(network, open_pretrained(str(tmp_path / "w.pth")), "w.pth")


@pytest.mark.parametrize("name", SHIPPED)
def test_towers_of_the_package_start_a_narrow_backbone(name):
    weights = open_pretrained(name)
    network, _ = build_backbone("narrow")
    load_backbone(network, weights, name)
    tower, _ = build_tower(name)
    load_tower(tower, open_tower(name), name)
    for key, value in network.state_dict().items():
        assert torch.equal(value, tower.trunk.state_dict()[key]), key
    assert weights.sha256 == shipped(name).sha256 == fitting_backbone("narrow", name)
    assert ("saw this generator's labels" in trained_on(name)) == (name == "clip-tiny")
    with pytest.raises(DataError, match=r"has shape .* and this backbone's has"):
        fitting_backbone("resnet18", name)


class TestInRuns:
    def test_weights_of_another_network_are_refused_before_anything_runs(self, plan):
        with pytest.raises(DataError, match=r"clip-tiny-neutral.*this backbone's has"):
            plan("clip-tiny-neutral", "method.backbone=resnet18")

    def settings(self, file, **more) -> SSMFARSettings:
        return SSMFARSettings(backbone="narrow", size=32, weights=str(file), **more)

    def test_caveats_say_where_the_backbone_starts(self, state, tmp_path):
        assert "random weights" in SSMFAR.caveats(SSMFARSettings())[0]
        torch.save(state, tmp_path / "w.pth")
        assert "unknown data" in SSMFAR.caveats(self.settings(tmp_path / "w.pth"))[0]
        told = SSMFAR.caveats(self.settings(tmp_path / "w.pth", weights_trained_on="MS-Celeb-1M"))[0]
        assert told.endswith("trained on MS-Celeb-1M")

    def test_a_fresh_run_loads_them_and_a_stored_checkpoint_needs_no_file(self, state, tmp_path):
        file = tmp_path / "w.pth"
        torch.save(state, file)
        overrides = ("method.size=32", f"method.weights={file}")
        settings, train = resolve_settings("ssmfar", "quick", overrides)
        config = type("Config", (), {"method": "ssmfar", "seed": 0, "train": train, "init": None})()
        config.method_settings = settings.model_dump(mode="json")
        method = build_method(config, Task(("happiness", "fear"), (2, 2)))
        assert torch.equal(method.network.backbone.bn1.bias, state["bn1.bias"])
        save_weights(method, tmp_path / "stored.pt")
        file.unlink()
        again = load_weights(tmp_path / "stored.pt")
        assert torch.equal(again.network.backbone.bn1.bias, state["bn1.bias"])

    def test_the_run_key_has_their_hash_and_not_their_place(self, state, tmp_path, plan):
        torch.save(state, tmp_path / "a.pth")
        shutil.copy(tmp_path / "a.pth", tmp_path / "b.pth")
        other = dict(state)
        other["bn1.bias"] = other["bn1.bias"] + 1
        torch.save(other, tmp_path / "c.pth")
        keys = {}
        for name in ("a.pth", "b.pth", "c.pth"):
            planned = plan(tmp_path / name)
            keys[name] = planned.key
            assert planned.key_fields["weights"] == {"backbone": file_hash(tmp_path / name)}
        assert keys["a.pth"] == keys["b.pth"] != keys["c.pth"]

    @pytest.fixture
    def plan(self, tiny_root):
        from fer_bench.workspace.sources import find_roots
        from fer_bench.workspace.workspace import Workspace

        workspace = Workspace(find_roots(str(tiny_root)))

        def make(file, *more):
            return plan_one(
                workspace,
                method="ssmfar",
                dataset="rafdb",
                protocol="7-official",
                fold=1,
                seed=0,
                profile="quick",
                overrides=(f"method.weights={file}", *more),
                targets="none",
            )

        return make
