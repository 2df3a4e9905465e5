"""The evidence of gcn: tables and figures from tiny sweeps of its own, and the sweep files."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
import yaml

from fer_bench import datasets
from fer_bench.data.loading.transforms import prepare
from fer_bench.data.protocols import find_protocol
from fer_bench.errors import StoreError
from fer_bench.evaluation.estimates import uar_of_answers
from fer_bench.methods.claims import claims_of
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.sweepfile import SWEEPS, read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

NAMES = ("gcn_evidence", "gcn_adapted", "gcn_variants", "gcn_defaults")
SMALL = [
    *("method.width=0.1", "method.hidden=8", "train.max_epochs=2", "train.batch_size=16"),
    "method.generator_weights=null",
]


@pytest.fixture(scope="module")
def evidence(load_benchmark):
    return load_benchmark("evidence_gcn")


@pytest.fixture(scope="module")
def workspace(tiny_root):
    return Workspace(find_roots(str(tiny_root)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two sweep files, shrunk: oulu alone, two repetitions, few variants, without the shipped generator."""
    folder = tmp_path_factory.mktemp("sweeps")
    for name in ("gcn_evidence", "gcn_variants"):
        content = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())
        kept = [v for v in content["variants"] if not v.startswith(("S0R1", "S1R0", "S0R0 v", "S0R0 g"))][:5]
        variants = {variant: content["variants"][variant] for variant in kept}
        if name == "gcn_evidence":  # without pretrained weights something else has to tell them apart
            variants |= {"gcn pre-trained": ["method.margin=1"], "control": ["method.generator=none"]}
            variants |= {"plain encoder": ["method.generator=none", "method.weight_decay=0"]}
        content |= {
            "datasets": ["oulu"],
            "folds": "default",
            "seeds": [0, 1],
            "set": [*content.get("set", ()), *SMALL],
            "variants": variants,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def store(workspace, small, tmp_path_factory):
    torch.set_num_threads(1)
    found = Store(tmp_path_factory.mktemp("runs"))
    for name in ("gcn_evidence", "gcn_variants"):
        planned, _ = plan_sweep(read_sweep(small / f"{name}.yaml"), workspace)
        for run in planned:
            assert execute(run, found, workspace).status == "done"
    return found


def test_table_and_figures(evidence, store, small, workspace, tmp_path, monkeypatch):
    people = sys.modules["gcn_people"]
    rows = [people.rows_of(workspace, "oulu", "6-4fold", seed) for seed in (1, 2)]
    monkeypatch.setattr(evidence, "SWEEPS", small)
    monkeypatch.setattr(evidence, "people_of", lambda *_: rows)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- gcn_evidence -->\nold\n<!-- /gcn_evidence -->\nafter\n")
    given = ["--runs-dir", str(store.root), "--readme", str(readme), "--figures", str(tmp_path / "f")]
    evidence.main(given)
    page = readme.read_text()
    assert "\nold\n" not in page
    assert "SYNTHETIC DATA" in page
    assert f"{sum(len(r.label) for r in rows)} pictures of {2 * len(set(rows[0].subject))} people" in page
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    cells = {line[0].removeprefix("| "): line for line in lines[1:]}
    assert [*cells] == [name for name, *_ in evidence.ROWS]
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    for name, variant, beside in evidence.ROWS:
        models = [evidence.model_of(store, record) for record in arms[variant].records.values()]
        answers = [people.answers_of(model, rows, beside) for model in models]
        uar = 100 * sum(map(uar_of_answers, answers)) / len(answers)
        assert cells[name][2].startswith(f"{uar:.1f}")
        assert len(set(answers[0].samples)) == len(answers[0].samples)
    plain, other = cells["plain encoder"], cells["gcn from scratch"]
    gap = float(other[2].split()[0]) - float(plain[2].split()[0])
    assert float(other[4].split()[0]) == pytest.approx(gap, abs=0.11)
    assert plain[6] == ""  # it draws nothing
    assert re.fullmatch(r"0\.\d{4}", other[6])
    figures = {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()}
    assert set(figures) == {"gcn-generation-error.png", "gcn-references.png"}
    evidence.main(given)
    assert readme.read_text() == page
    assert {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()} == figures


def test_faces_are_compared_with_what_the_line_says(store, small, workspace, evidence):
    people = sys.modules["gcn_people"]
    rows = people.rows_of(workspace, "oulu", "6-4fold", 1)
    subjects = workspace.source("oulu").dataset.index.set_index("sample_id")["subject"]
    assert [f"1/{subjects[sample[2:]]}" for sample in rows.sample] == rows.subject.tolist()
    assert not (rows.own == rows.other).all(axis=(1, 2, 3)).any()
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    model = evidence.model_of(store, arms["gcn enrolled"].first)
    logits = {
        beside: np.concatenate([*people.logits_of(model, rows, beside)])
        for beside in ("generated", "own", "other")
    }
    assert not np.allclose(logits["own"], logits["other"])
    images = prepare(torch.from_numpy(rows.faces), model.input_spec(model.settings))
    with torch.inference_mode():
        np.testing.assert_allclose(logits["generated"], model(images).logits.numpy(), atol=1e-5)


def test_only_folds_and_seeds_that_all_variants_have_are_compared(evidence, store, small):
    arm = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]["gcn from scratch"]
    assert {*evidence.only(arm, {(1, 1), (2, 0)}).records} == {(1, 1)}


def test_other_folds_and_sizes_do_not_count(evidence, store, small):
    sweep = read_sweep(small / "gcn_evidence.yaml")
    assert set(evidence.read_arms(store, sweep, size="tiny")) == {"oulu"}
    assert evidence.read_arms(store, sweep, size="full") == {}
    assert evidence.read_arms(store, sweep.model_copy(update={"folds": (2,)})) == {}


def test_claims_stand_beside_real_runs_of_the_paper_profile(evidence, store, small):
    sweep = read_sweep(small / "gcn_variants.yaml")
    found = evidence.read_arms(store, sweep)["oulu"]
    real = {"data_kind": "real", "profile": "paper", "generator": None}
    arms = {
        "oulu": {
            name: evidence.Arm(
                "oulu", name, {key: r.model_copy(update=real) for key, r in arm.records.items()}, 10
            )
            for name, arm in found.items()
        }
    }
    lines = evidence.variants_table(store, arms, sweep).splitlines()
    assert lines[0] == "Real data, profile paper."
    assert "| oulu: paper (accuracy) |" in lines[2]
    (full,) = [line for line in lines if line.startswith("| S1R1 ae ")]
    assert full.endswith("1 of 10 folds) | 86.11 |")


def test_generation_error_by_hand(evidence, store, small, workspace):
    people, figures = sys.modules["gcn_people"], sys.modules["gcn_figures"]
    rows = people.rows_of(workspace, "oulu", "6-4fold", 1)
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    model = evidence.model_of(store, arms["gcn from scratch"].first)
    faces = people.faces_drawn(model, rows)
    errors = figures.errors_of(faces)
    assert errors.generated == pytest.approx(((faces.drawn - faces.neutral) ** 2).mean().item(), rel=1e-5)
    assert errors.copied == pytest.approx(((faces.image - faces.neutral) ** 2).mean().item(), rel=1e-5)
    assert people.mean_errors({1: model, 2: model}, rows) == pytest.approx(errors)
    plain = evidence.model_of(store, arms["plain encoder"].first)
    assert people.faces_drawn(plain, rows) is people.mean_errors({1: plain}, rows) is None


def test_a_page_without_the_section_is_refused(evidence, tmp_path):
    (tmp_path / "page.md").write_text("nothing\n")
    with pytest.raises(StoreError, match="no such section"):
        evidence.write_section(tmp_path / "page.md", "gcn_evidence", "text")


def test_the_readme_has_the_section(evidence):
    page = evidence.README.read_text()
    assert page.count("<!-- gcn_evidence -->\n") == page.count("<!-- /gcn_evidence -->") == 1


def test_the_sweep_of_a_licensed_user_prints_its_table(evidence, store, small, capsys):
    evidence.main(["--runs-dir", str(store.root), "--sweep", str(small / "gcn_variants.yaml")])
    printed = capsys.readouterr().out
    assert printed.count("| S1R1 ") == 3
    assert "paper" not in printed  # the paper's numbers never stand beside drawn faces
    with pytest.raises(StoreError, match=r"no finished run[^$]*sweep gcn_paper "):
        evidence.main(["--runs-dir", str(store.root), "--sweep", "gcn_paper"])


@pytest.mark.parametrize("name", [*NAMES, "gcn_paper"])
def test_the_sweep_files_are_valid(name):
    sweep = read_sweep(name)
    assert sweep.methods == ("gcn",)
    settings = [
        resolve_settings("gcn", sweep.profile, (*sweep.set, *change)) for change in sweep.variants.values()
    ]
    # No alternative is the default under another name.
    assert len({str(s) for s in settings}) == len(settings)
    for dataset in sweep.datasets:
        find_protocol(datasets.get(dataset).card, sweep.protocols.get(dataset))


def test_claims_are_the_papers():
    claims = {(c.of, c.variant, c.source, c.target): c.value for c in claims_of("gcn").claims}
    assert len(claims) == 22
    for dataset, value in {"ckplus": "97.93", "mmi": "81.53", "oulu": "86.11"}.items():
        assert claims["gcn", "S1R1", (dataset,), dataset] == value
    assert claims["gcn", "S1R1", ("ckplus",), "fer2013"] == "40.19"
    assert claims["gcn", "S1R1", ("ckplus",), "rafdb"] == "45.44"
    assert claims["gcn", "S1R1", ("ckplus", "mmi", "oulu"), "sfew"] == "35.57"
