"""Weights: read from files, the hub and the package, hashed, and never executed."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import timm
import torch

from fer_bench.errors import DataError, StoreError, UsageError
from fer_bench.methods import weights as module
from fer_bench.methods.backbones import build_backbone, open_pretrained
from fer_bench.methods.weights import described, learned_drawn_labels, shipped, state_hash, trained_on


@pytest.fixture
def state():
    torch.manual_seed(3)
    network, _ = build_backbone("narrow")
    return {name: value + 1 for name, value in network.state_dict().items()}


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"a": Evil()}), "weights file (holds more|is not readable)"),
        (b"", "is not readable"),
        (None, "no such weights file"),
    ],
)
def test_foreign_files_are_refused_and_never_executed(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_pretrained(str(file))
    assert not (tmp_path / "executed").exists()


def test_a_state_dict_with_an_object_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1), "b": [1]}, tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"not a tensor.*'b'"):
        open_pretrained(str(tmp_path / "w.pt"))


def test_an_unknown_name_is_refused_with_near_ones():
    with pytest.raises(UsageError, match=r"resnet18\.a1_in1k"):
        open_pretrained("resnet18.a1_in2k")


def test_names_timm_knows_are_fetched_and_hashed(monkeypatch, state):
    asked = []

    def create_model(name, **options):
        asked.append((name, options))
        network, _ = build_backbone("narrow")
        network.load_state_dict(state)
        return network

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", create_model)
    open_pretrained.cache_clear()
    weights = open_pretrained("resnet18.a1_in1k")
    monkeypatch.setattr(timm, "create_model", real)
    open_pretrained.cache_clear()
    assert asked == [("resnet18.a1_in1k", {"pretrained": True, "num_classes": 0})]
    assert weights.sha256 == state_hash(state)
    state["bn1.bias"] = state["bn1.bias"] + 1
    assert weights.sha256 != state_hash(state)


def test_a_failing_download_says_what_to_do(monkeypatch):
    def create_model(name, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(DataError, match=r"no route to host.*\n.*method.weights=FOLDER"):
        open_pretrained("resnet18.fb_swsl_ig1b_ft_in1k")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet18.a1_in1k", "ImageNet-1k"),
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", "ImageNet-21k and ImageNet-1k"),
        ("vit_base_patch32_clip_quickgelu_224.openai", "OpenAI's image-text pairs (not public)"),
        ("hf-hub:timm/vit_base_patch32_clip_224.laion2b_e16", "LAION-2B"),
        ("clip-tiny-neutral", "drawn faces with captions without expression words"),
        ("resnet18.in1k.pth", None),
        ("resnet18", None),
    ],
)
def test_names_say_what_weights_were_trained_on(name, told):
    assert trained_on(name) == told


def test_what_weights_were_trained_on_is_what_the_user_says_or_their_name(tmp_path):
    assert described("resnet18.a1_in1k", None) == "ImageNet-1k"
    assert described("resnet18.a1_in1k", "RAF-DB") == "RAF-DB"
    file = tmp_path / "affectnet" / "mine.pth"
    assert described(str(file), None) == "unknown data (mine.pth)"  # folders say nothing about it


def test_only_the_tower_with_words_for_expressions_learned_drawn_labels(tmp_path, monkeypatch):
    assert learned_drawn_labels(shipped("clip-tiny").sha256)
    assert not learned_drawn_labels(shipped("clip-tiny-neutral").sha256)
    assert not learned_drawn_labels("0" * 64)
    monkeypatch.setattr(module, "FOLDER", tmp_path)  # no card: the weights cannot be of this package
    assert not learned_drawn_labels("0" * 64)


def test_damaged_or_absent_towers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    with pytest.raises(StoreError, match="unreadable"):
        shipped("clip-tiny")
    (tmp_path / "clip-tiny.json").write_text(json.dumps({"sha256": "0" * 64}))
    (tmp_path / "clip-tiny.safetensors").write_bytes(b"something else")
    with pytest.raises(StoreError, match="not those of the card"):
        shipped("clip-tiny")
    with pytest.raises(UsageError, match="no such weights come with the package"):
        shipped("clip-big")
