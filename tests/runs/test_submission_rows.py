"""`submit rows` asks for the rows that our own runs predict, and `submit check` scores those as runs do."""

import pandas as pd
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from fer_bench import methods
from fer_bench.cli.scores import register
from fer_bench.methods.base import Prediction
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.submission import check_submission
from fer_bench.synthetic import layouts
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.runs.plain_method import Plain

app = typer.Typer()
register(app)


class Affective(Plain):
    """`plain` with valence, arousal and action units that nothing trains."""

    name = "affective"
    predicts_affect = True

    def __init__(self, classes, settings=None, train=None):
        super().__init__(classes, settings, train)
        self.affect = nn.Linear(4 * 25, 14)

    def forward(self, image):
        features = self.network[:3](image)
        affect = self.affect(features).float()
        logits = self.network[3](features).float()
        return Prediction(logits, va=torch.tanh(affect[:, :2]), au=affect[:, 2:])


@pytest.fixture
def affective(monkeypatch):
    monkeypatch.setitem(methods.REGISTRY.targets, "affective", f"{__name__}:Affective")
    return "affective"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    layouts.write("affwild2", root, size="tiny", jobs=1)
    return root


def agree(planned, workspace, root, tmp_path, *options):
    """Compare the rows asked for with those predicted, per target, and both scores."""
    store, config = Store(tmp_path / "runs"), planned.config
    record = execute(planned, store, workspace)
    assert record.status == "done", record.error
    scored = [score for score in record.scores if score.selection == "val"]
    for score in scored:
        out = tmp_path / f"{score.target}.csv"
        arguments = ["submit", "rows", "--target", score.target, "--source", config.dataset, "--quick"]
        arguments += ["--protocol", config.protocol, "--fold", str(config.fold), "--data-root", str(root)]
        arguments += [*options, "--out", str(out)]
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
        asked = pd.read_csv(out, dtype={"sample_id": "str", "unit": "str", "label": "str"})
        file = planned.folder(store).predictions_file(score.target, "val")
        predicted = store.predictions(record, score.target).frame
        for column in ("sample_id", "unit", "label"):
            assert asked[column].fillna("").tolist() == predicted[column].fillna("").tolist()
        roots = find_roots(str(root))
        checked = check_submission(file, roots, protocol=config.protocol, fold=config.fold, quick=True)
        assert checked.score == score
    return [score.target for score in scored]


def test_of_a_single_dataset(plan, plain, workspace, tiny_root, tmp_path):
    planned = plan(method=plain, overrides=(), fold=2, max_epochs=1)
    assert agree(planned, workspace, tiny_root, tmp_path) == ["oulu", "rafdb"]


def test_of_the_members_of_a_union(plan, plain, workspace, tiny_root, tmp_path):
    union = {"dataset": "ckplus+oulu", "protocol": "7-union-quick", "targets": "all"}
    planned = plan(method=plain, overrides=(), max_epochs=1, fold=2, **union)
    assert agree(planned, workspace, tiny_root, tmp_path) == ["ckplus", "oulu", "rafdb"]


def test_of_a_method_that_predicts_affect(plan, affective, videos, tmp_path):
    workspace = Workspace(find_roots(str(videos)))
    planned = plan(
        workspace,
        method=affective,
        dataset="affwild2",
        protocol="abaw4",
        overrides=(),
        max_epochs=1,
        targets="none",
    )
    assert agree(planned, workspace, videos, tmp_path, "--affect") == ["affwild2"]
    assert pd.read_csv(tmp_path / "affwild2.csv")["label"].isna().any()
