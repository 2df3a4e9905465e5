"""The evidence of gcn: tables and figures from tiny sweeps of its own, and the sweep files."""

from __future__ import annotations

import re
import sys

import pytest
import torch
import yaml

from fer_bench import datasets
from fer_bench.data.protocols import find_protocol
from fer_bench.errors import StoreError
from fer_bench.methods.claims import claims_of
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.sweepfile import SWEEPS, read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

SECTIONS = ("gcn_evidence", "gcn_adapted", "gcn_variants", "gcn_defaults")
MARKED = (*SECTIONS, "gcn_references")
NAMES = (*SECTIONS, "gcn_evidence_mmi", "gcn_references")
SMALL = [
    "method.width=0.1",
    "method.generator_weights=null",
    "method.hidden=8",
    "train.max_epochs=2",
    "train.batch_size=16",
]


@pytest.fixture(scope="module")
def evidence(load_benchmark):
    return load_benchmark("evidence_gcn")


@pytest.fixture(scope="module")
def workspace(tiny_root):
    return Workspace(find_roots(str(tiny_root)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The sweep files, shrunk: oulu alone, two repetitions, few variants."""
    folder = tmp_path_factory.mktemp("sweeps")
    for name in NAMES:
        content = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())
        kept = [v for v in content["variants"] if not v.startswith(("S0R1", "S1R0", "S0R0 v", "S0R0 g"))][:4]
        content |= {
            "datasets": ["oulu"],
            "folds": "default",
            "seeds": content["seeds"][:2],
            "set": SMALL,
            "variants": {variant: content["variants"][variant] for variant in kept},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def store(workspace, small, tmp_path_factory):
    torch.set_num_threads(1)
    found = Store(tmp_path_factory.mktemp("runs"))
    for name in (*SECTIONS[:3], "gcn_references"):
        planned, _ = plan_sweep(read_sweep(small / f"{name}.yaml"), workspace)
        for run in planned:
            assert execute(run, found, workspace).status == "done"
    return found


@pytest.fixture
def readme(tmp_path):
    page = tmp_path / "README.md"
    sections = (f"# {name}\n<!-- {name} -->\nold\n<!-- /{name} -->\nafter\n" for name in MARKED)
    page.write_text("".join(sections))
    return page


def test_tables_and_figures(
    evidence, store, small, workspace, readme, tiny_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(evidence, "SWEEPS", small)
    given = ["--runs-dir", str(store.root), "--development", str(tmp_path / "none")]
    given += ["--readme", str(readme), "--figures", str(tmp_path / "f"), "--data-root", str(tiny_root)]
    evidence.main(given)
    page = readme.read_text()
    assert "no finished run of the sweep gcn_defaults" in capsys.readouterr().out
    assert page.count("old") == 1
    assert page.count("after") == 5
    assert page.count("SYNTHETIC DATA") == 4
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    scores = {name: [r.score("oulu").uar for r in arm.records.values()] for name, arm in arms.items()}
    assert {name: len(values) for name, values in scores.items()} == {"gcn": 2, "plain encoder": 2}
    gcn, plain = (100 * sum(values) / 2 for values in scores.values())
    lines = [line for line in page.splitlines() if line.startswith("| oulu | ")]
    assert f"| oulu | gcn | 2 | {gcn:.1f}" in lines[0]
    assert re.search(rf"{re.escape(f'{gcn - plain:+.1f}')}( \[.*\], provisional)? \|$", lines[0])
    assert [line.split(" | ")[1:3] for line in lines[2:5]] == [
        ["paired", "no"],
        ["adapted", "yes"],
        ["plain encoder", "no"],
    ]
    references = read_sweep(small / "gcn_references.yaml")
    found = evidence.read_arms(store, references)["oulu"]
    drawing = sys.modules["gcn_figures"]
    errors = [drawing.errors_of(drawing.faces_of(store, workspace, arm.first)) for arm in found.values()]
    assert [line.split(" | ")[1:4] for line in lines[5:]] == [
        [name, f"{error.generated:.4f}", f"{error.copied:.4f}"]
        for name, error in zip(("ae", "vae", "gan"), errors, strict=True)
    ]
    assert re.search(r"\| S1R1 vae \| \d+\.\d \(\d+\.\d\) \|", page)
    figures = {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()}
    assert set(figures) == {"gcn-generation-error.png", "gcn-references.png"}
    assert all(content.startswith(b"\x89PNG") for content in figures.values())
    evidence.main(given)
    assert readme.read_text() == page
    assert {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()} == figures


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
    figures = sys.modules["gcn_figures"]
    arm = evidence.read_arms(store, read_sweep(small / "gcn_variants.yaml"))["oulu"]["S1R1 ae"]
    faces = figures.faces_of(store, workspace, arm.first)
    errors = figures.errors_of(faces)
    assert errors.generated == pytest.approx(((faces.drawn - faces.neutral) ** 2).mean().item(), rel=1e-5)
    assert errors.copied == pytest.approx(((faces.image - faces.neutral) ** 2).mean().item(), rel=1e-5)
    index = workspace.source("oulu").dataset.index
    assert len(faces.label) == arm.first.rows["test"]
    assert set(faces.subject) <= set(index["subject"])


def test_defaults_must_come_from_the_development_population(evidence, store, small):
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))
    with pytest.raises(StoreError, match="development population"):
        evidence.defaults_table(arms)


def test_a_page_without_the_section_is_refused(evidence, tmp_path):
    (tmp_path / "page.md").write_text("nothing\n")
    with pytest.raises(StoreError, match="no such section"):
        evidence.write_section(tmp_path / "page.md", "gcn_evidence", "text")


def test_the_readme_has_every_section(evidence):
    page = evidence.README.read_text()
    assert all(page.count(f"<!-- {name} -->\n") == page.count(f"<!-- /{name} -->") == 1 for name in MARKED)


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
