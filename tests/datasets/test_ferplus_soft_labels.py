"""Votes as training targets: from the files to the batch, the run key and a trained run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fer_bench.config import InputSpec
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.datasets.ferplus import FERPlus
from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import PlannedRun
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.datasets.test_ferplus import HAPPY, NEUTRAL, write_csvs
from tests.plans import plan_one

DOUBT = (4, 0, 0, 4, 0, 0, 2, 0, 0, 0)
SAD = (0, 0, 0, 6, 2, 0, 0, 2, 0, 0)
TRAINING = (NEUTRAL, HAPPY, DOUBT, SAD, HAPPY)
ROWS = (
    *(("Training", f"fer000000{i}.png", votes) for i, votes in enumerate(TRAINING)),
    ("PublicTest", "fer0000005.png", SAD),
    ("PrivateTest", "fer0000006.png", NEUTRAL),
)


@pytest.fixture
def dataset(tmp_path: Path) -> FERPlus:
    return FERPlus(write_csvs(tmp_path / "ferplus", ROWS))


def batch_of(dataset: FERPlus, loader: str = "train", **options: object) -> dict[str, torch.Tensor]:
    chosen = {"spec": InputSpec(size=20), "batch_size": 8, "protocol": "8-probability", **options}
    module = make_datamodule(dataset, **chosen)
    (batch,) = module.train_dataloader() if loader == "train" else module.val_dataloader()
    order = batch["row"].argsort()
    return {name: value[order] for name, value in batch.items()} | {"classes": module.classes}


def test_training_batches_hold_the_shares_of_the_votes(dataset: FERPlus) -> None:
    batch = batch_of(dataset, soft_labels="votes")
    target, classes = batch["soft_label"], batch["classes"]
    assert (target.dtype, target.shape) == (torch.float32, (5, 8))
    shares = {name: round(float(p), 6) for name, p in zip(classes, target[2], strict=True) if p}
    assert shares == {"neutral": 0.4, "sadness": 0.4, "fear": 0.2}
    shares = {name: round(float(p), 6) for name, p in zip(classes, target[3], strict=True) if p}
    assert shares == {"sadness": 0.6, "anger": 0.2, "contempt": 0.2}
    assert "soft_label" not in batch_of(dataset, "val", soft_labels="votes")
    assert "soft_label" not in batch_of(dataset)


def test_votes_outside_the_protocols_classes_do_not_count(dataset: FERPlus) -> None:
    batch = batch_of(dataset, soft_labels="votes", protocol="7-official")
    shares = {
        n: round(float(p), 6) for n, p in zip(batch["classes"], batch["soft_label"][-2], strict=True) if p
    }
    assert shares == {"sadness": 0.75, "anger": 0.25}
    assert len(batch["soft_label"]) == 4, "a row without a majority is not in this protocol"


def test_a_hidden_label_has_no_soft_label_either(tmp_path: Path) -> None:
    rows = [("Training", f"fer{i + 10:07d}.png", HAPPY if i % 2 else SAD) for i in range(8)] + list(ROWS[-2:])
    dataset = FERPlus(write_csvs(tmp_path, rows))
    batch = batch_of(dataset, soft_labels="probability", label_fraction=0.5, with_unlabelled=True)
    hidden = batch["label"] < 0
    assert hidden.sum() == 4
    assert batch["soft_label"][hidden].abs().sum() == 0
    np.testing.assert_allclose(batch["soft_label"][~hidden].sum(1), 1, rtol=1e-6)


def plan(root: Path, soft_labels: str, method: str = "resemotenet", dataset: str = "ferplus") -> PlannedRun:
    return plan_one(
        Workspace(find_roots(str(root))),
        method=method,
        dataset=dataset,
        protocol="8-probability" if dataset == "ferplus" else "6-4fold",
        fold=1,
        seed=0,
        profile="quick",
        overrides=(
            f"train.soft_labels={soft_labels}",
            "train.batch_size=4",
            *(("method.width=0.03",) if method == "resemotenet" else ()),
        ),
        max_epochs=1,
        targets="none",
    )


def test_a_run_learns_from_the_votes_and_its_key_says_so(dataset: FERPlus, tmp_path: Path) -> None:
    keys = {kind: plan(tmp_path, kind) for kind in ("none", "probability", "votes")}
    assert len({planned.key for planned in keys.values()}) == 3
    weights = {}
    for kind, planned in keys.items():
        store = Store(tmp_path / f"runs-{kind}")
        record = execute(planned, store, Workspace(find_roots(str(tmp_path))))
        assert record.status == "done", record.error
        folder = store.run_dir("resemotenet", "ferplus", planned.key).path
        (weights[kind],) = {next((folder / "checkpoints").glob("val*")).read_bytes()}
    assert len(set(weights.values())) == 3


def test_other_votes_give_another_key(dataset: FERPlus, tmp_path: Path) -> None:
    before = plan(tmp_path, "votes").key
    changed = [
        ("Training", name, (4, 0, 0, 4, 0, 2, 0, 0, 0, 0)) if v == DOUBT else (u, name, v)
        for u, name, v in ROWS
    ]
    write_csvs(tmp_path / "ferplus", changed)
    assert plan(tmp_path, "votes").key != before


def test_what_cannot_learn_from_votes_is_refused_before_training(
    dataset: FERPlus, tmp_path: Path, tiny_root: Path
) -> None:
    with pytest.raises(UsageError, match=r"(?s)ssmfar learns one label per face.*resemotenet") as refused:
        plan(tmp_path, "votes", method="ssmfar")
    assert "train.soft_labels=votes" in str(refused.value)
    with pytest.raises(UsageError, match=r"(?s)Oulu-CASIA.*has no votes.*train.soft_labels=none"):
        plan(tiny_root, "probability", dataset="oulu")
