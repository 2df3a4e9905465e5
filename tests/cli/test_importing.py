"""`fer-bench import`: checkpoints of a method's authors, saved as ours and scored under our protocol."""

from __future__ import annotations

import json

import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from fer_bench.cli.importing import import_
from fer_bench.errors import UsageError
from fer_bench.methods.resemotenet.network import AUTHORS_CLASSES
from fer_bench.runs.training.checkpoints import load_weights
from tests.methods.resemotenet.test_method_import import authors_state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    file = tmp_path_factory.mktemp("authors") / "best_model.pth"
    torch.save(authors_state(), file)
    return file


@pytest.fixture
def run():
    app = typer.Typer()
    app.command("import")(import_)
    app.callback()(lambda: None)

    def call(*arguments):
        return CliRunner().invoke(app, ["import", *map(str, arguments)], catch_exceptions=False)

    return call


def test_saves_a_checkpoint_of_ours(run, checkpoint, tmp_path):
    result = run("resemotenet", checkpoint, "--out", tmp_path / "ours.pt")
    assert result.exit_code == 0
    assert "happiness, surprise" in result.stdout
    again = load_weights(tmp_path / "ours.pt")
    assert again.task.classes == AUTHORS_CLASSES
    assert isinstance(again.network.head[-1], nn.Linear)


def test_scores_under_our_protocol(run, checkpoint, tiny_root):
    result = run("resemotenet", checkpoint, "--dataset", "rafdb", "--data-root", tiny_root, "--json")
    report = json.loads(result.stdout)
    assert report["data_kind"] == "synthetic"
    assert report["classes"] == report["score"]["label_set"]
    assert 0 <= report["score"]["metrics"]["uar"] <= 1
    assert report["score"]["n"] > 0


def test_wants_something_to_do(run, checkpoint):
    with pytest.raises(UsageError, match="--out FILE"):
        run("resemotenet", checkpoint)


def test_refuses_protocols_with_other_classes(run, checkpoint, tiny_root):
    with pytest.raises(UsageError, match=r"contempt.*\n.*data describe ckplus"):
        run("resemotenet", checkpoint, "--dataset", "ckplus", "--data-root", tiny_root)
