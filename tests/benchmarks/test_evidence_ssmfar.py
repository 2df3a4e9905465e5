"""The evidence page of ssmfar, from a tiny sweep of its own."""

from __future__ import annotations

import json
import re

import pytest
import torch

from fer_bench.errors import StoreError
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def evidence(load_benchmark):
    return load_benchmark("evidence_ssmfar")


@pytest.fixture(scope="module")
def workspace(tiny_root):
    return Workspace(find_roots(str(tiny_root)))


SWEEP = {
    "name": "small",
    "profile": "quick",
    "methods": ["ssmfar"],
    "datasets": ["rafdb"],
    "seeds": [0, 1],
    "targets": "none",
    "set": ["method.size=32", "train.max_epochs=2"],
    "variants": {
        "pseudo": ["train.label_fraction=0.5"],
        "without": ["train.label_fraction=0.5", "method.unlabelled_rows=skip"],
        "oracle": ["train.label_fraction=0.5", "method.unlabelled_rows=oracle"],
        "all": [],
    },
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    file = tmp_path_factory.mktemp("sweep") / "small.yaml"
    file.write_text(json.dumps(SWEEP))
    return file


@pytest.fixture(scope="module")
def store(workspace, small, tmp_path_factory):
    torch.set_num_threads(1)
    found = Store(tmp_path_factory.mktemp("runs"))
    planned, _ = plan_sweep(read_sweep(small), workspace)
    assert len(planned) == 8
    other = read_sweep(small).model_copy(update={"seeds": (0,), "set": ("method.size=40",)})
    stray = plan_sweep(other.model_copy(update={"variants": {"x": ("train.max_epochs=1",)}}), workspace)[0]
    for run in (*planned, *stray):  # a run with other settings is none of the table's
        assert execute(run, found, workspace).status == "done"
    return found


def test_page_and_figure(evidence, store, small, tmp_path):
    given = ["--runs-dir", str(store.root), "--sweep", str(small), "--out", str(tmp_path)]
    evidence.main(given)
    page = (tmp_path / evidence.PAGE).read_text()
    assert "SYNTHETIC DATA" in page
    assert "from 8 of the 8 runs" in page
    assert "The backbone starts from clip-tiny-neutral" in page
    half, whole = (line.split(" | ") for line in page.splitlines() if re.match(r"\| \d+ %", line))
    assert (half[0], half[3]) == ("| 50 %", "2")
    arms = evidence.read_arms(store, read_sweep(small))
    used, left_out, oracle = (arms["rafdb", 0.5, way] for way in ("pseudo", "skip", "oracle"))
    assert half[1] == str(used.labelled) == str(left_out.labelled)
    assert used.labelled < used.records[0].rows["train"]
    for place, arm in ((-2, used), (-1, oracle)):
        change = evidence.difference(arm, left_out)
        assert change.value == pytest.approx(arm.uar.value - left_out.uar.value)
        assert half[place].startswith(f"{100 * change.value:+.1f}")
    assert re.search(r"\*\*Pseudo-labels\*\* against none, in \d comparisons", page) or "[" not in half[-1]
    scores = [r.score("rafdb").uar for r in used.records]
    assert used.uar.value == pytest.approx(sum(scores) / 2)
    assert whole[4] == "-"
    assert "no such rows" in whole[-2]
    assert (tmp_path / evidence.FIGURE).read_bytes().startswith(b"\x89PNG")
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    evidence.main(given)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first


def test_labelled_rows_are_seen_equally_often_in_all_arms(evidence, store, small):
    arms = evidence.read_arms(store, read_sweep(small))
    used, left_out, oracle = (arms["rafdb", 0.5, way] for way in ("pseudo", "skip", "oracle"))
    rows = used.records[0].rows["train"]
    steps = rows // 32
    assert used.seen == left_out.seen == oracle.seen == 2 * steps * 16 / used.labelled
    whole = arms["rafdb", 1.0, "pseudo"]
    assert whole.seen == 2 * rows / whole.labelled == 2  # every row in each of two epochs


def test_records_tell_the_semi_supervised_protocol(store):
    record = next(
        r
        for r in store.records()
        if r.settings["train"]["label_fraction"] == 0.5 and r.rows.get("unlabelled")
    )
    assert record.rows["unlabelled"] > 0
    assert any("starts from clip-tiny-neutral" in text for text in record.warnings)
    assert record.adapted == (
        "no valence and arousal: without that head; no action units: without these heads"
    )


def test_an_empty_store_is_refused(evidence, small, tmp_path):
    with pytest.raises(StoreError, match=r"no finished run of this sweep.*\n.*sweep label_fraction "):
        evidence.read_arms(Store(tmp_path), read_sweep(small))


def test_the_sweep_file_is_valid():
    sweep = read_sweep("label_fraction")
    assert len(sweep.variants) == 11
    assert sweep.seeds == (0, 1, 2)
    arms = set()
    for change in sweep.variants.values():
        settings, train = resolve_settings("ssmfar", sweep.profile, (*sweep.set, *change))
        arms.add((train.label_fraction, settings.unlabelled_rows))
        assert (train.max_epochs, settings.batches) == (48, "separate")  # the same steps in every arm
    ways = ("pseudo", "skip", "oracle")
    assert arms == {(f, way) for f in (0.05, 0.1, 0.25) for way in ways} | {(1.0, "pseudo"), (1.0, "skip")}
