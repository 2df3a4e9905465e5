from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from fer_bench.emotions import LABEL_SETS
from fer_bench.evaluation.estimates import answers
from fer_bench.leaderboard import tables
from fer_bench.leaderboard.notes import notes_of
from fer_bench.leaderboard.tables import build_board
from fer_bench.results.predictions import read_predictions, write_predictions

NAMED = ("ckplus", "mmi", "oulu", "rafdb", "affectnet7", "expw", "affwild2")


def board(store, methods=("gcn", "resemotenet")):
    return build_board(store, methods=methods, named_targets=NAMED)


def only_section(store):
    (section,) = board(store).sections
    return section


def uar_of(store, record, target, label_set=None):
    predictions = store.predictions(record, target)
    given = answers(predictions, label_set or record.score(target).label_set)
    return balanced_accuracy_score(given.truth, given.answer)


def test_lab_folds_are_pooled_in_domain_with_mean_and_sd_beside(store, add):
    records = [add(fold=fold, targets=()) for fold in (1, 2, 3, 4)]
    cell = only_section(store).cell("gcn", "oulu")
    frames = [answers(store.predictions(r, "oulu"), r.classes) for r in records]
    truth, answer = (np.concatenate([getattr(f, name) for f in frames]) for name in ("truth", "answer"))
    found = cell.in_domain.estimate
    assert found.values["uar"].value == pytest.approx(balanced_accuracy_score(truth, answer))
    assert found.values["accuracy"].value == pytest.approx(accuracy_score(truth, answer))
    assert (found.n, found.units) == (400, 50)
    by_fold = [uar_of(store, r, "oulu") for r in records]
    assert (cell.in_domain.fold_mean, cell.in_domain.fold_sd) == pytest.approx(
        (np.mean(by_fold), np.std(by_fold, ddof=1))
    )
    assert cell.in_domain.estimate.seed_sd("uar") is None
    assert cell.folds == (1, 2, 3, 4)


def test_seeds_are_averaged_not_pooled(store, add):
    records = [add(dataset="rafdb", seed=seed, targets=()) for seed in (0, 1, 2)]
    cell = only_section(store).cell("gcn", "rafdb")
    by_seed = [uar_of(store, r, "rafdb") for r in records]
    assert cell.in_domain.estimate.values["uar"].value == pytest.approx(np.mean(by_seed))
    assert cell.in_domain.estimate.seed_sd("uar") == pytest.approx(np.std(by_seed, ddof=1))
    assert cell.in_domain.estimate.n == 400


def test_transfer_is_the_mean_over_fold_models_then_seeds(store, add):
    records = [add(fold=fold, seed=seed) for seed in (0, 1) for fold in (1, 2)]
    cell = only_section(store).cell("gcn", "oulu")
    scores = [r.score("rafdb").metrics["transfer"] for r in records]
    by_seed = [np.mean(scores[:2]), np.mean(scores[2:])]
    found = cell.cross["rafdb"]
    assert found.values["transfer"].value == pytest.approx(np.mean(by_seed))
    assert found.seed_sd("transfer") == pytest.approx(np.std(by_seed, ddof=1))
    assert found.n == records[0].score("rafdb").n
    transfers = [cell.cross[t].values["transfer"].value for t in NAMED if t != "oulu"]
    assert cell.generalisation.mean.value == pytest.approx(np.mean(transfers))
    assert cell.generalisation.complete
    means = [np.mean([cell.cross[t].by_seed["transfer"][s] for t in cell.cross]) for s in (0, 1)]
    assert cell.seed_sd == pytest.approx(np.std(means, ddof=1))


def test_a_seed_that_lacks_folds_is_left_out_and_said(store, add):
    for fold, seed in ((1, 0), (2, 0), (1, 1)):
        add(fold=fold, seed=seed, targets=("rafdb",))
    cell = only_section(store).cell("gcn", "oulu")
    assert (cell.seeds, cell.partial) == ((0,), {1: (1,)})
    assert cell.cross["rafdb"].seed_sd("transfer") is None
    assert any("seed 1 has finished fold 1 of 4 only" in text for text in notes_of(cell))


def test_methods_are_compared_on_the_seeds_that_both_have(store, add):
    for method, seeds in (("gcn", (0, 1, 2, 3)), ("cafe", (1, 2, 3)), ("resemotenet", (0,))):
        for seed in seeds:
            add(method, "rafdb", seed=seed)
    section = only_section(store)
    for column in (
        section.own_columns["rafdb"],
        section.general_columns["rafdb"],
        section.overall_column,
    ):
        (test,) = column.tests
        assert ({test.first, test.second}, test.seeds) == ({"gcn", "cafe"}, (1, 2, 3))
        assert {frozenset(pair) for pair in column.untested} == {
            frozenset(("gcn", "resemotenet")),
            frozenset(("cafe", "resemotenet")),
        }
        assert (column.left_out, column.provisional) == ((), False)
    assert {o.label for o in section.overall if o.mean} == {"gcn", "cafe", "resemotenet"}
    own = {m: section.cell(m, "rafdb").in_domain.estimate.by_seed["uar"] for m in ("gcn", "cafe")}
    apart = np.mean([own["gcn"][seed] - own["cafe"][seed] for seed in (1, 2, 3)])
    assert section.own_columns["rafdb"].tests[0].difference == pytest.approx(abs(apart))


def test_unions_are_not_in_the_overall_score(store, add):
    for method in ("gcn", "cafe"):
        for source in ("rafdb", "mmi+oulu"):
            add(method, source)
    section = only_section(store)
    assert section.cell("gcn", "mmi+oulu").generalisation.complete
    assert {o.sources for o in section.overall} == {("rafdb",)}


def test_other_crops_are_not_compared_and_another_size_is_no_other_crop(store, add):
    for method, recipe in (
        ("gcn", "box 64px v1"),
        ("cafe", "box 224px v1"),
        ("resemotenet", "whole 64px v1"),
    ):
        record = add(method, "rafdb", targets=())
        data = record.targets["rafdb"].model_copy(update={"recipe": recipe})
        run = store.run_dir(method, "rafdb", record.key)
        run.write_record(record.model_copy(update={"targets": {"rafdb": data}}))
        file = run.predictions_file("rafdb", "val")
        found = read_predictions(file)
        write_predictions(file, type(found)(found.frame, found.meta.model_copy(update={"recipe": recipe})))
    section = only_section(store)
    assert section.own_columns["rafdb"].left_out == ("resemotenet",)
    assert section.several_versions == ["rafdb"]


def test_retention_recomputes_the_in_domain_score_on_each_pairs_classes(store, add):
    record = add(dataset="affwild2", skill=2.0)
    cell = only_section(store).cell("gcn", "affwild2")
    base, transfers = [], []
    for target in NAMED[:-1]:
        label_set = record.score(target).label_set
        k = len(label_set)
        base.append((uar_of(store, record, "affwild2", label_set) - 1 / k) / (1 - 1 / k))
        transfers.append(record.score(target).metrics["transfer"])
    assert len({record.score(t).label_set for t in NAMED[:-1]}) == 2
    assert cell.generalisation.in_domain.value == pytest.approx(np.mean(base))
    assert cell.retention.value == pytest.approx(np.mean(transfers) / np.mean(base))
    assert cell.retention.interval.low < cell.retention.value < cell.retention.interval.high <= 1


def test_in_domain_scores_over_several_label_sets_hold_their_own_value(store, add):
    three = LABEL_SETS["6"][:3]
    add(dataset="rafdb", skill=0.0, rows=49, targets=("expw", "mmi"), known={"mmi": three})
    cell = only_section(store).cell("gcn", "rafdb")
    assert {len(e.label_set) for e in cell.cross.values()} == {7, 3}
    found = cell.generalisation.in_domain
    assert found.interval.low < found.value < found.interval.high


def test_scores_over_the_six_basic_emotions_stand_beside(store, add):
    record = add(dataset="rafdb", skill=2.0)
    section = only_section(store)
    cell = section.cell("gcn", "rafdb")
    six = [e for e in LABEL_SETS["7"] if e != "neutral"]
    expected = {}
    for target in NAMED:
        if target != "rafdb":
            names = [name for name in record.score(target).label_set if name in six]
            expected[target] = (uar_of(store, record, target, names) - 1 / 6) / (1 - 1 / 6)
    assert cell.six.complete
    assert cell.six.mean.value == pytest.approx(np.mean(list(expected.values())))
    assert cell.six.mean.value != pytest.approx(cell.generalisation.mean.value)
    (overall,) = section.overall
    assert overall.six.value == pytest.approx(cell.six.mean.value)
    only_six = add("resemotenet", "mmi", skill=2.0)
    assert only_six.classes == tuple(LABEL_SETS["6"])
    same = only_section(store).cell("resemotenet", "mmi")
    assert same.six.mean == same.generalisation.mean


def test_retention_is_withheld_where_the_model_guesses(store, add):
    add(skill=0.0)
    assert only_section(store).cell("gcn", "oulu").retention is None


def test_overall_is_over_sources_complete_for_every_method(store, add):
    for dataset in ("oulu", "rafdb", "expw"):
        add("gcn", dataset, skill=1.0)
    add("resemotenet", "oulu", skill=2.5)
    add("resemotenet", "rafdb", skill=2.5)
    add("resemotenet", "expw", skill=2.5, targets=("oulu", "mmi"))
    section = only_section(store)
    first, second = section.overall
    assert (first.label, second.label) == ("resemotenet", "gcn")
    assert first.sources == ("oulu", "rafdb")
    means = [section.cell("gcn", s).generalisation.mean.value for s in ("oulu", "rafdb")]
    assert second.mean.value == pytest.approx(np.mean(means))
    incomplete = section.cell("resemotenet", "expw").generalisation
    assert (incomplete.scored, incomplete.wanted, incomplete.complete) == (2, 6, False)


def test_methods_on_different_folds_are_not_compared(store, add):
    add("gcn", "oulu", fold=1)
    add("resemotenet", "oulu", fold=2)
    assert all(o.mean is None for o in only_section(store).overall)


def test_kinds_profiles_and_generators_never_mix(store, add):
    add(targets=())
    add(targets=(), profile="paper")
    add(targets=(), data_kind="real")
    add(targets=(), seed=1, generator={"version": 2})
    sections = board(store).sections
    assert [(s.data_kind, s.profile) for s in sections] == [
        ("real", "quick"),
        ("synthetic", "paper"),
        ("synthetic", "quick"),
        ("synthetic", "quick"),
    ]
    assert all(len(s.records) == 1 for s in sections)


def test_runs_with_other_settings_are_a_row_of_their_own(store, add):
    add(targets=())
    add("gcn", "rafdb", targets=())
    add(targets=(), changes={"method": {"lr": 0.5}})
    section = only_section(store)
    assert section.labels == ("gcn", "gcn [method.lr=0.5]")
    assert section.cell("gcn", "oulu").records[0].key_fields["method"] == {"lr": 0.01}
    assert [o.label for o in section.overall] == ["gcn"]


def test_another_protocol_is_another_source(store, add):
    add(targets=())
    add(targets=(), fold=2)
    add(targets=(), protocol="6-10fold-train9")
    assert only_section(store).sources == ("oulu", "oulu/6-10fold-train9")


def test_what_failed_is_missing_or_not_run_is_kept(store, add):
    add(targets=("rafdb",), missing={"expw": "not found below the data root"})
    add("gcn", "mmi", status="diverged")
    section = only_section(store)
    assert [r.status for r in section.records] == ["diverged", "done"]
    assert section.missing == {("expw", "not found below the data root"): 1}
    assert section.not_run["gcn"] == ("ckplus", "rafdb", "affectnet7", "expw", "affwild2")
    assert section.not_run["resemotenet"] == NAMED
    assert section.cell("gcn", "mmi") is None


def test_damaged_records_and_predictions_are_listed_and_not_used(store, add):
    good = add(targets=("rafdb", "expw"))
    bad = store.run_dir("gcn", "mmi", "0123").record_file
    bad.parent.mkdir(parents=True)
    bad.write_text('{"schema_version": 1, "status":')
    moved = store.run_dir("gcn", "rafdb", "0123").record_file
    moved.parent.mkdir(parents=True)
    moved.write_text(json.dumps(good.model_dump(mode="json")))
    run = store.run_dir("gcn", "oulu", good.key)
    run.predictions_file("rafdb", "val").write_bytes(b"PAR1 cut")
    found = board(store)
    assert {p.file for p in found.problems} == {
        "gcn/mmi/0123/record.json",
        "gcn/rafdb/0123/record.json",
        f"gcn/oulu/{good.key}/predictions/rafdb@val.parquet",
    }
    cell = found.sections[0].cell("gcn", "oulu")
    assert set(cell.cross) == {"expw"}
    assert cell.in_domain is not None


def test_predictions_that_do_not_give_the_records_score_are_refused(store, add):
    record = add(targets=("rafdb",))
    wrong = {"metrics": {"uar": 0.99}}
    scores = [s.model_copy(update=wrong) if s.target == "rafdb" else s for s in record.scores]
    run = store.run_dir("gcn", "oulu", record.key)
    run.write_record(record.model_copy(update={"scores": tuple(scores)}))
    found = board(store)
    assert "do not give the record's score" in found.problems[0].message
    assert not found.sections[0].cell("gcn", "oulu").cross


def test_predictions_of_another_run_are_refused(store, add):
    one, other = add(targets=()), add(targets=(), seed=1)
    source = store.run_dir("gcn", "oulu", other.key).predictions_file("oulu", "val")
    target = store.run_dir("gcn", "oulu", one.key).predictions_file("oulu", "val")
    target.write_bytes(source.read_bytes())
    assert read_predictions(target).meta.key == other.key
    found = board(store)
    assert found.problems[0].message.startswith("predictions of another run")
    assert found.sections[0].cell("gcn", "oulu").in_domain is None


def test_folds_that_share_rows_are_not_pooled(store, add):
    add("gcn", "rafdb", fold=1, targets=())
    add("gcn", "rafdb", fold=2, targets=())
    found = board(store)
    assert "two folds test the same row" in found.problems[0].message
    assert found.sections[0].cell("gcn", "rafdb").in_domain is None


def test_one_seed_is_provisional(store, full):
    section = only_section(store)
    for columns in (section.own_columns, section.general_columns, {"overall": section.overall_column}):
        for column in columns.values():
            assert column.provisional
            assert list(column.scores) == ["resemotenet", "gcn"]
            assert (column.tests, column.letters, column.leaders) == ((), {}, ())
            assert column.untested == (("resemotenet", "gcn"),)
            assert column.difference("gcn", "resemotenet").interval.high < 0


def test_methods_of_a_column_are_tested_and_get_letters(store, seeded):
    section = only_section(store)
    for columns in (section.own_columns, section.general_columns, {"overall": section.overall_column}):
        for column in columns.values():
            assert column.letters == {"resemotenet": "a", "gcn": "b"}
            assert column.leaders == ("resemotenet",)
            assert not column.provisional
    (test,) = section.own_columns["rafdb"].tests
    estimates = [
        section.cell(m, "rafdb").in_domain.estimate.values["uar"].value for m in ("resemotenet", "gcn")
    ]
    assert test.difference == pytest.approx(estimates[0] - estimates[1])
    assert (test.units, test.p, test.seeds) == (200, test.adjusted, (0, 1, 2))
    overall = section.overall_column.tests[0]
    assert overall.difference == pytest.approx(section.overall[0].mean.value - section.overall[1].mean.value)
    # every target's units once, although models of three sources were tested on them: 25 persons of each lab
    # dataset, 200 pictures, and the videos whose expression is not `other`
    assert overall.units == 3 * 25 + 3 * 200 + 175


def test_seeds_and_folds_are_swapped_together(store, add):
    for method, skill in (("gcn", 1.2), ("cafe", 1.3)):
        for seed in (0, 1, 2):
            for fold in (1, 2, 3, 4):
                add(method, "oulu", skill=skill, seed=seed, fold=fold, targets=("rafdb",))
    (test,) = only_section(store).own_columns["oulu"].tests
    assert test.units == 50
    assert 0 < test.p < 1
    assert test.seeds == (0, 1, 2)


def test_methods_on_other_folds_and_variants_are_not_compared(store, add):
    add("gcn", "oulu", fold=1)
    add("cafe", "oulu", fold=1)
    add("resemotenet", "oulu", fold=2)
    add("gcn", "oulu", fold=1, changes={"method": {"lr": 0.5}})
    section = only_section(store)
    assert section.own_columns["oulu"].left_out == ("resemotenet",)
    assert set(section.own_columns["oulu"].scores) == {"cafe", "gcn"}
    assert section.general_columns["oulu"].left_out == ("resemotenet",)


def test_runs_with_other_crops_are_cells_of_their_own(store, add):
    add("gcn", "oulu", fold=1)
    add("gcn", "oulu", fold=2, changes={"crops": {"all": "similarity"}, "pixels": "other"})
    section = only_section(store)
    assert {(c.label, c.folds, c.usual) for c in section.cells} == {
        ("gcn", (1,), True),
        ("gcn [crops.all=similarity]", (2,), False),
    }


def test_members_of_a_union_are_no_other_datasets(store, add, monkeypatch):
    seen = []
    real = tables.never_cross
    monkeypatch.setattr(tables, "never_cross", lambda names: seen.append(set(names)) or real(names))
    record = add("gcn", "mmi+oulu")
    section = only_section(store)
    cell = section.cell("gcn", "mmi+oulu")
    assert set(cell.inside) == {"mmi", "oulu"}
    assert cell.inside["mmi"].values["uar"].value == pytest.approx(record.score("mmi").uar)
    assert set(cell.cross) == set(NAMED) - {"mmi", "oulu"}
    assert (cell.generalisation.complete, cell.generalisation.wanted) == (True, 5)
    assert {"mmi", "oulu"} <= seen[0]
    assert "mmi+oulu" not in seen[0]


def test_pictures_that_a_union_shares_with_a_target_are_never_counted(store, add):
    add("gcn", "oulu+expw")
    excluded = frozenset({frozenset(("expw", "rafdb"))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "never_cross", lambda names: excluded)
        cell = only_section(store).cell("gcn", "oulu+expw")
    assert "rafdb" not in cell.cross
    assert cell.generalisation.wanted == 4


def test_an_empty_store_has_no_section(store):
    assert board(store).sections == ()
