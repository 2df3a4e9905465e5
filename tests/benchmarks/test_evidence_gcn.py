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

NAMES = ("gcn_evidence", "gcn_people", "gcn_adapted", "gcn_variants", "gcn_defaults")
SMALL = [
    *("method.width=0.1", "method.hidden=8", "train.max_epochs=2", "train.batch_size=16"),
    "method.generator_weights=null",
]
SMALL_SWEEPS = ("gcn_evidence", "gcn_people", "gcn_variants")
APART = {
    "plain encoder": ["method.generator=none", "method.weight_decay=0"],
    "gcn pre-trained": ["method.margin=1"],
    "control": ["method.generator=none"],
}
ALIKE = {"gcn from scratch": [], "gcn enrolled": ["method.reference=enrolled"]}


@pytest.fixture(scope="module")
def evidence(load_benchmark):
    return load_benchmark("evidence_gcn")


@pytest.fixture(scope="module")
def workspace(tiny_root):
    return Workspace(find_roots(str(tiny_root)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three sweep files, shrunk: oulu alone, few repetitions and variants, without the shipped generator."""
    folder = tmp_path_factory.mktemp("sweeps")
    left_out = ("S0R1", "S1R0", "S0R0 v", "S0R0 g", "a quarter")
    for name in SMALL_SWEEPS:
        content = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())
        kept = [v for v in content["variants"] if not v.startswith(left_out)][:5]
        variants = {variant: content["variants"][variant] for variant in kept}
        if name == "gcn_evidence":  # without pretrained weights something else has to tell them apart
            variants |= APART
        elif name == "gcn_people":
            fewer = ["train.label_fraction=0.5"]
            variants = {f"half, {variant}": fewer + change for variant, change in APART.items()}
            variants |= {f"half, {variant}": fewer + change for variant, change in ALIKE.items()}
        content |= {
            "datasets": ["oulu"],
            "folds": "default",
            "seeds": [0] if name == "gcn_people" else [0, 1],
            "set": [*content.get("set", ()), *SMALL],
            "variants": variants,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def store(workspace, small, tmp_path_factory):
    torch.set_num_threads(1)
    found = Store(tmp_path_factory.mktemp("runs"))
    for name in SMALL_SWEEPS:
        planned, _ = plan_sweep(read_sweep(small / f"{name}.yaml"), workspace)
        for run in planned:
            assert execute(run, found, workspace).status == "done"
    return found


@pytest.mark.long
def test_table_and_figures(evidence, store, small, workspace, tmp_path, monkeypatch):
    people = sys.modules["gcn_people"]
    rows = [people.rows_of(workspace, "oulu", "6-4fold", seed) for seed in (1, 2)]
    monkeypatch.setattr(evidence, "SWEEPS", small)
    gains = sys.modules["gcn_gains"]
    dataset = workspace.source("oulu").dataset
    monkeypatch.setattr(evidence, "people_of", lambda *_: rows)
    monkeypatch.setattr(gains, "drawn_dataset", lambda size: {"tiny": dataset}[size])
    readme = tmp_path / "README.md"
    names = ("gcn_evidence", "gcn_people")
    readme.write_text("".join(f"<!-- {name} -->\nold\n<!-- /{name} -->\nafter\n" for name in names))
    given = ["--runs-dir", str(store.root), "--readme", str(readme), "--figures", str(tmp_path / "f")]
    given += ["--size", "tiny"]
    evidence.main(given)
    page = readme.read_text()
    assert "\nold\n" not in page
    assert page.count("SYNTHETIC DATA") == len(names)
    assert f"{sum(len(r.label) for r in rows)} pictures of {2 * len(set(rows[0].subject))} people" in page
    table = page.partition("<!-- /gcn_evidence -->")[0]
    lines = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    cells = {line[0].removeprefix("| "): line for line in lines[1:]}
    assert [*cells] == [name for name, *_ in evidence.ROWS]
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    for name, variant, beside in evidence.ROWS:
        models = [people.Trained(store, record) for record in arms[variant].records.values()]
        answers = [model.answers(rows, beside) for model in models]
        uar = 100 * sum(map(uar_of_answers, answers)) / len(answers)
        assert cells[name][2].startswith(f"{uar:.1f}")
        assert len(set(answers[0].samples)) == len(answers[0].samples)
    plain, other = cells["plain encoder"], cells["gcn from scratch"]
    gap = float(other[2].split()[0]) - float(plain[2].split()[0])
    assert float(other[4].split()[0]) == pytest.approx(gap, abs=0.11)
    assert plain[6] == ""  # it draws nothing
    assert re.fullmatch(r"0\.\d{4}", other[6])
    figures = {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()}
    assert set(figures) == {"gcn-generation-error.png", "gcn-people.png", "gcn-references.png"}
    evidence.main(given)
    assert readme.read_text() == page
    assert {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()} == figures


@pytest.mark.long
def test_gains_by_the_number_of_people(evidence, store, small, workspace, monkeypatch):
    people, gains = sys.modules["gcn_people"], sys.modules["gcn_gains"]
    dataset = workspace.source("oulu").dataset
    monkeypatch.setattr(gains, "drawn_dataset", lambda size: {"tiny": dataset}[size])
    rows = [people.rows_of(workspace, "oulu", "6-4fold", 1)]
    sweeps = [read_sweep(small / f"{name}.yaml") for name in ("gcn_evidence", "gcn_people")]
    points = gains.read_points(store, *sweeps, rows, "tiny")
    assert gains.read_points(store, *sweeps, rows, "quick") == []
    index = dataset.index
    train = index[(dataset.roles("6-4fold", 1) == "train") & (index["label"] != "neutral")]
    assert [point.people for point in points] == [1, 2]
    assert points[1].rows == len(train)
    assert set(gains.training_rows(dataset, points[0].arms["control"].first)["subject"]) < set(
        train["subject"]
    )
    table = [line.strip("| ").split(" | ") for line in gains.gains_table(points).splitlines()]
    cells = {line[0]: line[1:] for line in table}
    assert cells["seeds x folds"] == ["1 x 1", "2 x 1"]
    for at, point in enumerate(points):
        own = people.Trained(store, point.arms["gcn enrolled"].first).answers(rows, "own")
        uar = {name: 100 * value.values["uar"].value for name, value in point.scores.items()}
        if at == 0:
            assert uar["gcn enrolled: own neutral frame"] == pytest.approx(100 * uar_of_answers(own))
        gap = uar["gcn enrolled: own neutral frame"] - uar[gains.AGAINST[1]]
        assert float(cells["gcn enrolled minus control"][at].split()[0]) == pytest.approx(gap, abs=0.051)


@pytest.mark.long
def test_answers_are_kept_by_run_rows_and_reference(evidence, store, small, workspace, monkeypatch):
    people = sys.modules["gcn_people"]
    rows = [people.rows_of(workspace, "oulu", "6-4fold", seed) for seed in (1, 2)]
    assert rows[0].name == rows[1].name  # the same pixels, whatever the people are called
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    trained = people.Trained(store, arms["gcn enrolled"].first)
    for file in (store.root / people.FOLDER).glob("*"):
        file.unlink()
    found = {beside: trained.logits(rows[0], beside) for beside in ("own", "other")}
    monkeypatch.setattr(people, "model_of", lambda *_: pytest.fail("the answers are known"))
    again = people.Trained(store, arms["gcn enrolled"].first)
    for beside, logits in found.items():
        np.testing.assert_array_equal(again.logits(rows[0], beside), logits)
    assert len([*(store.root / people.FOLDER).glob("*.npy")]) == 2


def test_points_with_fewer_people_take_as_many_steps():
    whole, fewer = read_sweep("gcn_evidence"), read_sweep("gcn_people")
    rows = {"": 395, "a quarter": 106, "half": 197}  # per fold, 393 to 396 of 22 people
    steps = {}
    for sweep in (whole, fewer):
        for name, change in sweep.variants.items():
            train = resolve_settings("gcn", sweep.profile, (*sweep.set, *change))[1]
            share = name.partition(", ")[0] if ", " in name else ""
            steps[name] = train.max_epochs * -(-rows[share] // train.batch_size)
    assert len(steps) == 15
    assert all(abs(each - 600) <= 2 for each in steps.values()), steps


def test_the_variants_with_fewer_people_are_those_of_all():
    whole, fewer = read_sweep("gcn_evidence").variants, read_sweep("gcn_people").variants
    shares = {name.partition(", ")[0] for name in fewer}
    assert {*fewer} == {f"{share}, {name}" for share in shares for name in whole}
    for name, change in fewer.items():
        assert change[2:] == whole[name.partition(", ")[2]]


@pytest.mark.long
def test_faces_are_compared_with_what_the_line_says(store, small, workspace, evidence):
    people = sys.modules["gcn_people"]
    rows = people.rows_of(workspace, "oulu", "6-4fold", 1)
    subjects = workspace.source("oulu").dataset.index.set_index("sample_id")["subject"]
    assert [f"1/{subjects[sample[2:]]}" for sample in rows.sample] == rows.subject.tolist()
    assert not (rows.own == rows.other).all(axis=(1, 2, 3)).any()
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    model = people.model_of(store, arms["gcn enrolled"].first)
    logits = {
        beside: np.concatenate([*people.logits_of(model, rows, beside)])
        for beside in ("generated", "own", "other")
    }
    assert not np.allclose(logits["own"], logits["other"])
    images = prepare(torch.from_numpy(rows.faces), model.input_spec(model.settings))
    with torch.inference_mode():
        np.testing.assert_allclose(logits["generated"], model(images).logits.numpy(), atol=1e-5)
        given = {"reference": prepare(torch.from_numpy(rows.own), model.input_spec(model.settings))}
        given |= {"image": images, "has_reference": torch.ones(len(images), dtype=torch.bool)}
        np.testing.assert_allclose(logits["own"], model.predict_batch(given).logits.numpy(), atol=1e-5)


@pytest.mark.long
def test_what_a_pretrained_generator_draws_is_drawn_once(evidence, store, small, workspace, monkeypatch):
    people = sys.modules["gcn_people"]
    rows = people.rows_of(workspace, "oulu", "6-4fold", 1)
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    calls = []
    monkeypatch.setattr(people, "_DRAWN", {})
    monkeypatch.setattr(people, "_draw", lambda *given: calls.append(given) or torch.zeros(1))
    for kept, count in ((False, 2), (True, 1)):
        model = people.model_of(store, arms["gcn from scratch"].first)
        if kept:
            change = {"generator_weights": "neutral-tiny", "fixed_generator": True}
            model.settings = model.settings.model_copy(update=change)
        calls.clear()
        people.references_drawn(model, rows)
        people.references_drawn(model, rows)
        assert len(calls) == count


@pytest.mark.long
def test_only_folds_and_seeds_that_all_variants_have_are_compared(evidence, store, small):
    arm = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]["gcn from scratch"]
    scores = sys.modules["gcn_scores"]
    one = scores.only(arm, {(1, 1), (2, 0)})
    assert {*one.records} == {(1, 1)}
    assert {name: {*each.records} for name, each in scores.common_runs({"a": arm, "b": one}).items()} == {
        "a": {(1, 1)},
        "b": {(1, 1)},
    }


@pytest.mark.long
def test_other_folds_and_sizes_do_not_count(evidence, store, small):
    sweep = read_sweep(small / "gcn_evidence.yaml")
    assert set(evidence.read_arms(store, sweep, size="tiny")) == {"oulu"}
    assert evidence.read_arms(store, sweep, size="full") == {}
    assert evidence.read_arms(store, sweep.model_copy(update={"folds": (2,)})) == {}


@pytest.mark.long
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


@pytest.mark.long
def test_generation_error_by_hand(evidence, store, small, workspace):
    people, figures = sys.modules["gcn_people"], sys.modules["gcn_figures"]
    rows = people.rows_of(workspace, "oulu", "6-4fold", 1)
    arms = evidence.read_arms(store, read_sweep(small / "gcn_evidence.yaml"))["oulu"]
    trained = people.Trained(store, arms["gcn from scratch"].first)
    model = trained.model
    faces = people.faces_drawn(model, rows)
    errors = figures.errors_of(faces)
    assert errors.generated == pytest.approx(((faces.drawn - faces.neutral) ** 2).mean().item(), rel=1e-5)
    assert errors.copied == pytest.approx(((faces.image - faces.neutral) ** 2).mean().item(), rel=1e-5)
    assert people.mean_errors([trained, trained], rows) == pytest.approx(errors)
    plain = people.Trained(store, arms["plain encoder"].first)
    assert people.faces_drawn(plain.model, rows) is people.mean_errors([plain], rows) is None


def test_a_page_without_the_section_is_refused(evidence, tmp_path):
    (tmp_path / "page.md").write_text("nothing\n")
    with pytest.raises(StoreError, match="no such section"):
        evidence.write_section(tmp_path / "page.md", "gcn_evidence", "text")


@pytest.mark.parametrize("name", ["gcn_evidence", "gcn_people"])
def test_the_readme_has_the_section(evidence, name):
    page = evidence.README.read_text()
    assert page.count(f"<!-- {name} -->\n") == page.count(f"<!-- /{name} -->") == 1


@pytest.mark.long
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
