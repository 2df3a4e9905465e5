"""The evidence of cafe, from a tiny sweep of its own, and the sweep file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from fer_bench.errors import StoreError
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.sweepfile import SWEEPS, read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

KEPT = ("frozen tower alone (linear probe)", "mask", "mask, separation and diversity")


@pytest.fixture(scope="module")
def evidence(load_benchmark):
    return load_benchmark("evidence_cafe")


@pytest.fixture(scope="module")
def workspace(tiny_root):
    return Workspace(find_roots(str(tiny_root)))


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory):
    content = yaml.safe_load((SWEEPS / "ablation_cafe.yaml").read_text())
    content |= {
        "seeds": [0, 1],
        "targets": ["oulu"],
        "set": ["method.size=32", "train.max_epochs=1", "train.batch_size=16"],
        "variants": {name: content["variants"][name] for name in KEPT},
    }
    file = tmp_path_factory.mktemp("sweep") / "small.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def store(workspace, sweep_file, tmp_path_factory):
    torch.set_num_threads(1)
    found = Store(tmp_path_factory.mktemp("runs"))
    planned, _ = plan_sweep(read_sweep(sweep_file), workspace)
    assert len(planned) == 6
    for run in planned:
        assert execute(run, found, workspace).status == "done"
    return found


def test_section_and_figure(evidence, store, sweep_file, tiny_root, tmp_path):
    readme, figure = tmp_path / "README.md", tmp_path / "figure.png"
    readme.write_text("before\n<!-- cafe_evidence -->\nold\n<!-- /cafe_evidence -->\nafter\n")
    given = ["--runs-dir", str(store.root), "--sweep", str(sweep_file), "--data-root", str(tiny_root)]
    given += ["--readme", str(readme), "--figure", str(figure)]
    evidence.main(given)
    page = readme.read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "SYNTHETIC DATA" in page
    assert "2 seed(s)" in page
    arms = evidence.read_arms(store, read_sweep(sweep_file))
    assert list(arms) == list(KEPT)
    for name, arm in arms.items():
        scores = [record.score("oulu") for record in arm.records]
        assert arm.targets["oulu"].value == pytest.approx(np.mean([s.metrics["transfer"] for s in scores]))
        assert arm.sd == pytest.approx(np.std([s.metrics["transfer"] for s in scores], ddof=1))
        assert f"| {name} | {100 * arm.in_domain.value:.1f}" in page
    change = 100 * (arms["mask"].mean.value - arms["frozen tower alone (linear probe)"].mean.value)
    assert f"| frozen tower alone (linear probe) → mask | {change:+.1f}" in page
    assert figure.read_bytes().startswith(b"\x89PNG")
    first = figure.read_bytes(), page
    evidence.main(given)
    assert (figure.read_bytes(), readme.read_text()) == first


def test_contributions_add_up_to_the_logit(evidence, store, workspace, sweep_file):
    from fer_bench.data.loading.datamodule import evaluation_batches
    from fer_bench.data.loading.union_module import make_datamodule
    from fer_bench.runs.training.checkpoints import load_weights

    record = evidence.read_arms(store, read_sweep(sweep_file))["mask"].records[0]
    found = evidence.contributions(store, record, workspace)
    run = store.run_dir(record.method, record.dataset, record.key)
    method = load_weights(run.checkpoints / f"{record.headline}.pt")
    source, spec = workspace.source("rafdb").dataset, method.input_spec(method.settings)
    rows = make_datamodule(source, spec=spec, protocol=record.protocol).rows("test")
    pack = workspace.pack("rafdb", spec.size)
    (batch,) = evaluation_batches(pack, source, record.classes, rows, spec, torch.device("cpu"))
    with torch.no_grad():
        logits = method(batch["image"]).logits - method.network.head.bias
    for number in range(len(record.classes)):
        mine = batch["label"] == number
        assert found[number].sum() == pytest.approx(logits[mine, number].mean().item(), abs=1e-3)


def test_verdicts(evidence):
    from fer_bench.evaluation.intervals import Value

    alone = Value(0.3, None)
    assert evidence._step(alone, Value(0.4, None)) == ("+10.0", "too few units to say")


def test_a_store_without_runs_is_refused(evidence, sweep_file, tmp_path):
    with pytest.raises(StoreError, match="no finished run of this sweep"):
        evidence.read_arms(Store(tmp_path), read_sweep(sweep_file))


def test_the_sweep_file_is_the_papers_ablation(evidence):
    sweep = read_sweep("ablation_cafe")
    assert (sweep.methods, sweep.datasets, sweep.seeds, sweep.targets) == (
        ("cafe",),
        ("rafdb",),
        (0, 1, 2),
        "all",
    )
    settings = {
        name: resolve_settings("cafe", sweep.profile, change)[0] for name, change in sweep.variants.items()
    }
    chosen = {name: (s.mask, s.separation, s.diversity, s.tower) for name, s in settings.items()}
    assert chosen["mask"] == ("sigmoid", 0, 0, "clip-tiny")
    assert chosen["mask and separation"] == ("sigmoid", 1.5, 0, "clip-tiny")
    assert chosen["mask, separation and diversity"] == ("sigmoid", 1.5, 5, "clip-tiny")
    assert chosen["neutral tower, whole method"] == ("sigmoid", 1.5, 5, "clip-tiny-neutral")
    assert {name for pair in evidence.STEPS for name in pair} <= set(sweep.variants)
    assert set(evidence.DRAWN) <= set(sweep.variants)
