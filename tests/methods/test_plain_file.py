"""Files of torch.save are refused for a whole reason in plain words, without terminal codes."""

import argparse
import pickle
import re

import numpy as np
import pytest
import torch

from fer_bench.errors import DataError, StoreError, UsageError
from fer_bench.methods import GCN, ResEmoteNet
from fer_bench.methods.base import Method
from fer_bench.methods.plain_file import mismatch, read_plain, shown
from fer_bench.methods.weights import read_state
from fer_bench.runs.training.checkpoints import load_weights, save_weights

STATE = {"layer.weight": torch.zeros(2, 2)}


class Config:
    def __init__(self, width=1):
        self.width = width


FOREIGN = {
    "state_dict": STATE,
    "args": argparse.Namespace(lr=1e-3),
    "config": Config(),
    "best": np.float64(0.5),
}


def readers(file):
    """Call each of the four ways in which a user's checkpoint is read."""
    return {
        "load_weights": lambda: load_weights(file),
        "pretrained weights": lambda: read_state(file),
        "import_checkpoint": lambda: ResEmoteNet.import_checkpoint(file),
        "load_from_checkpoint": lambda: Method.load_from_checkpoint(file),
        "load_from_checkpoint of a class": lambda: GCN.load_from_checkpoint(str(file)),
    }


WAYS = list(readers(None))


def refusal(way, file):
    with pytest.raises((DataError, StoreError)) as caught:
        readers(file)[way]()
    text = str(caught.value)
    assert str(file) in text
    assert "\x1b" not in text
    assert "\t" not in text
    assert not re.search(r"weights_only|PyTorch 2\.6|file an issue|add_safe_globals|two options", text)
    return text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_foreign_objects_names_them_and_what_helps(way, zipped, tmp_path):
    torch.save(FOREIGN, tmp_path / "theirs.pth", _use_new_zipfile_serialization=zipped)
    text = refusal(way, tmp_path / "theirs.pth")
    assert "objects besides tensors and plain values" in text
    assert "would execute code from the file" in text
    assert "torch.save(model.state_dict(), FILE)" in text
    named = ["argparse.Namespace", f"{__name__}.Config", "numpy._core.multiarray.scalar"]
    for name in named if zipped else named[:1]:  # the older format names the first alone
        assert name in text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
            r"Git LFS pointer.*\n.*git lfs",
        ),
        (b"<!doctype html><html></html>", "a web page, not the file itself"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (pickle.dumps(STATE, protocol=4), "damaged, or torch.save did not write it"),
        (b"\x00\x01\x02", "it is damaged"),
    ],
)
def test_what_is_no_checkpoint_at_all_is_named(way, content, reason, tmp_path):
    (tmp_path / "model.pt").write_bytes(content)
    assert re.search(reason, refusal(way, tmp_path / "model.pt"))


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_that_was_cut_off_is_damaged(way, tmp_path):
    torch.save(STATE, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: len(content) // 2])
    assert "damaged or incomplete: PytorchStreamReader failed reading zip archive" in refusal(
        way, tmp_path / "half.pt"
    )


@pytest.mark.parametrize("way", WAYS)
def test_torchscript_is_named(way, tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    assert "TorchScript archive, which holds code" in refusal(way, tmp_path / "script.pt")


@pytest.mark.parametrize("way", WAYS)
def test_an_absent_file_is_absent(way, tmp_path):
    assert re.search("absent|no such", refusal(way, tmp_path / "nowhere.pt"))


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    assert "it is damaged: Error while deserializing header" in refusal(
        "pretrained weights", tmp_path / "model.safetensors"
    )


def test_plain_values_of_any_other_layout_are_not_ours(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(STATE, tmp_path / "state.pt")
    for name in ("list.pt", "state.pt"):
        assert "not a checkpoint of this suite" in refusal("load_weights", tmp_path / name)
        assert "not a checkpoint of a method" in refusal("load_from_checkpoint", tmp_path / name)
    assert read_plain(tmp_path / "list.pt") == [1, 2]


def test_weights_of_another_network_are_told_apart_tensor_by_tensor(tmp_path):
    method = GCN(["anger", "fear"], GCN.build_settings({"width": 0.1}))
    save_weights(method, tmp_path / "val.pt")
    content = torch.load(tmp_path / "val.pt", weights_only=True)
    first, second, *_ = content["state"]
    content["state"][first] = torch.zeros(7)
    content["state"]["extra"] = content["state"].pop(second)
    torch.save(content, tmp_path / "val.pt")
    text = refusal("load_weights", tmp_path / "val.pt")
    assert f"it lacks {second}; it holds besides extra; it has in another shape {first} (7,) instead" in text


def test_a_lightning_checkpoint_of_other_settings_is_told_apart_too(tmp_path):
    method = GCN(["anger", "fear"], GCN.build_settings({"width": 0.1}))
    state = dict(method.state_dict())
    first = next(iter(state))
    state["extra"] = state.pop(first)
    content = {
        "state_dict": state,
        "hyper_parameters": dict(method.hparams),
        "pytorch-lightning_version": "2.6.0",
    }
    torch.save(content, tmp_path / "x.ckpt")
    text = refusal("load_from_checkpoint", tmp_path / "x.ckpt")
    assert "not a checkpoint of gcn: Missing key(s)" in text
    assert first in text
    assert "extra" in text


def test_mismatches_are_counted():
    expected = {f"layer{number}": torch.zeros(1) for number in range(7)}
    assert mismatch({}, expected) == "it lacks layer0, layer1, layer2, layer3, layer4 and 2 more"
    assert mismatch(expected, expected) == ""
    assert shown(["a", "b"]) == "a, b"


def test_an_unknown_method_is_a_usage_error(tmp_path):
    torch.save({"state_dict": {}, "hyper_parameters": {"method": "gnc"}}, tmp_path / "x.ckpt")
    with pytest.raises(UsageError, match="did you mean gcn"):
        Method.load_from_checkpoint(tmp_path / "x.ckpt")
