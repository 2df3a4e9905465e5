"""The contract suite of methods: ours and the example keep it, and each broken promise is named."""

import json

import pytest

from fer_bench import methods
from fer_bench.runs.contract import check_method
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace
from tests.outside import block, installed_files
from tests.runs.training.test_fit_surroundings import CLUSTERS

PLAIN = block("Add a method", "python").replace(
    "import torch\n", "import random\n\nimport numpy as np\nimport torch\n"
)


@pytest.fixture
def drawn():
    return Workspace(DataRoots(None, {}, "drawn faces"), size="tiny")


@pytest.mark.parametrize("name", methods.BUILT_IN)
def test_built_in_methods_keep_it(drawn, name):
    small = {
        "gcn": ["method.width=0.1", "method.generator_weights=null"],
        "resemotenet": ["method.width=0.03"],
    }.get(name, [])
    results = check_method(name, drawn, overrides=small)
    assert [result for result in results if not result.ok] == []
    assert len(results) == 13


@pytest.mark.parametrize("cluster", ["slurm", "lightning"])
def test_it_ignores_the_cluster_around_it(drawn, cluster, monkeypatch):
    for name, value in CLUSTERS[cluster].items():
        monkeypatch.setenv(name, value)
    results = check_method("resemotenet", drawn, overrides=["method.width=0.03"])
    assert [result for result in results if not result.ok] == []


@pytest.fixture
def check(tmp_path, monkeypatch, drawn):
    """Check the method of CONTRIBUTING.md after replacements; return the broken contracts."""

    def run(*changes):
        code = PLAIN
        for old, new in changes:
            assert old in code
            code = code.replace(old, new)
        where = ("fer_bench.methods", tmp_path / "site", monkeypatch)
        with installed_files({"plainmethod.py": code}, {"plain": "plainmethod:Plain"}, *where):
            return {result.name: result.message for result in check_method("plain", drawn) if not result.ok}

    return run


def test_the_example_keeps_it(check):
    assert check() == {}


INIT = "        self.network = nn.Sequential("
STEP = '        loss = classification_loss(logits, batch["label"], batch.get("soft_label"))'
FORWARD = "        return Prediction(logits=self.network(image))"
FAULTS = {
    "another name": ((('name = "plain"', 'name = "plane"'),), {"registered": "calls itself 'plane'"}),
    "no paper profile": ((('"paper": Pro', '"papers": Pro'),), {"settings": "no such profile"}),
    "weights from another generator": (
        ((INIT, "        self.bias = nn.Parameter(torch.tensor(random.random()))\n" + INIT),),
        {"network": "the same seed gives other initial weights"},
    ),
    "a large network": ((('{"width": 8}', '{"width": 600}'),), {"network": "more than 25 million"}),
    "a fixed number of classes": (
        (("len(self.task.classes)", "6"),),
        {"forward": r"logits are not float [1, 3] (found ['torch.float32', 1, 6])"},
    ),
    "a tensor": (((FORWARD, "        return self.network(image)"),), {"forward": "no Prediction"}),
    "dropout in evaluation": (
        ((FORWARD, "        return Prediction(nn.functional.dropout(self.network(image), 0.5, True))"),),
        {"rows": "get other logits the second time", "save": "predicts something else"},
    ),
    "faces that know each other": (
        ((FORWARD, "        found = self.network(image)\n        return Prediction(found - found.mean(0))"),),
        {"rows": "depend on the faces that it comes with"},
    ),
    "a layer that is not used": (
        ((INIT, "        self.unused = nn.Linear(2, 2)\n" + INIT),),
        {"training": "no gradient reaches 2 of 8 parameters (found ['unused.weight', 'unused.bias'])"},
    ),
    "a layer without optimiser": (
        (("AdamW(self.parameters()", "AdamW(self.network[:-1].parameters()"),),
        {"training": "two steps change 4 of 6 parameters"},
    ),
    "no loss": (
        (("        return loss", "        return None"),),
        {"training": "takes no step", "labels": "no loss"},
    ),
    "a loss that is not finite": (
        ((STEP, STEP + " * float('inf')"),),
        {"training": "train/classification became NaN or infinite in epoch 0"},
    ),
    "a wrong batch key": (
        ((STEP, STEP.replace('"label"', '"labels"')),),
        {"training": "KeyError: 'labels' (in tr"},
    ),
    "soft labels that are ignored": (
        ((', batch.get("soft_label"))', ")"),),
        {"labels": "the loss ignores soft_label"},
    ),
    "state outside of buffers": (
        (
            (INIT, "        self.seen = 0\n" + INIT),
            (STEP, "        self.seen += 1\n" + STEP),
            (FORWARD, "        return Prediction(self.network(image) * (1 + self.seen))"),
        ),
        {"save": "predicts something else", "resume": "resumes to other weights"},
    ),
    "draws that are not seeded": (
        ((STEP, STEP + " * float(np.random.default_rng().uniform(0.5, 1))"),),
        {"resume": "resumes to other weights"},
    ),
    "mixed types": (
        (
            (
                STEP,
                "        torch.zeros(len(logits), 6).scatter_(1, batch['label'][:, None], logits)\n" + STEP,
            ),
        ),
        {"bf16": "RuntimeError: scatter"},
    ),
    "pictures of another size": (
        (
            (
                "    def configure_optimizers",
                "    def train_loader(self, data):\n        return data.training_loader(\n"
                "            change=lambda batch: {**batch, 'image': batch['image'][:, ::2, ::2]})\n\n"
                "    def configure_optimizers",
            ),
        ),
        {"batches": "training images are not float [B, 3, 48, 48]"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_contract_is_named(check, fault, tmp_path):
    changes, wanted = FAULTS[fault]
    broken = check(*changes)
    for name, message in wanted.items():
        assert message in broken.get(name, ""), broken
    if fault == "a wrong batch key":
        assert f"{tmp_path / 'site' / 'plainmethod.py'}, line " in broken["training"]
    elif fault != "a loss that is not finite":
        assert set(broken) == set(wanted), broken


def test_the_command_prints_one_line_per_contract(run_cli, tmp_path, monkeypatch):
    where = ("fer_bench.methods", tmp_path / "site", monkeypatch)
    with installed_files({"plainmethod.py": PLAIN}, {"plain": "plainmethod:Plain"}, *where):
        code, out, _ = run_cli("check", "method", "plain", "--set", "method.width=4")
        assert (code, len(out.splitlines())) == (0, 13)
        assert all(line.startswith("ok ") for line in out.splitlines())
        assert "needs numpy" in out
    with installed_files(
        {"plainmethod.py": "import nowhere\n"},
        {"plain": "plainmethod:Plain"},
        *where[:1],
        tmp_path / "b",
        monkeypatch,
    ):
        code, out, _ = run_cli("check", "method", "plain", "--json")
        (only,) = json.loads(out)["checks"]
        assert (code, only["ok"], "cannot be imported" in only["message"]) == (2, False, True)
    code, _, err = run_cli("check", "method", "gnc")
    assert (code, "did you mean gcn" in err) == (2, True)
