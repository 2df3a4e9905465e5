"""Pretrained weights of cafe: from files and the hub, checked before a run, and named in the record."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from fer_bench.errors import DataError, UsageError
from fer_bench.methods.cafe.method import CAFE
from fer_bench.methods.cafe.network import (
    DEFAULT_TOWER,
    TinyTower,
    open_tower,
)
from fer_bench.methods.cafe.settings import CAFESettings
from tests.methods.cafe.small import make


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
    image = torch.randn(8, 3, 64, 64)
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
    assert "timm has no pretrained tower" in refused(tower=DEFAULT_TOWER, clip_weights="openai")


def test_without_network_the_error_says_how_to_fetch(monkeypatch):
    def offline(name: str, **options: object) -> nn.Module:
        raise OSError("connection refused\nand more")

    open_tower.cache_clear()
    monkeypatch.setattr(timm, "create_model", offline)
    message = refused(tower=DEFAULT_TOWER)
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
