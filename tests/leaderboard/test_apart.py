from __future__ import annotations

import csv
import re
import shutil

import pytest

from fer_bench import datasets
from fer_bench.evaluation.exposure import Seen
from fer_bench.leaderboard.apart import by_source, told_apart
from fer_bench.leaderboard.compare import compare_named, compare_runs
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.leaderboard.tables import build_board
from fer_bench.results.record import GENERATOR, TrainingData
from fer_bench.results.store import Store

from .conftest import EMOTIONS, adder

SEEDS = (0, 1, 2)
WHY = "its tower saw this generator's expression labels"
TOWER = {"tower": TrainingData(text="drawn faces", exposure={GENERATOR: "in training"})}


def board(store):
    (section,) = build_board(store, methods=(), named_targets=datasets.MAIN_SEVEN).sections
    return section


def lines(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def two_methods(tmp_path_factory):
    """Return a store with three seeds of two methods on every dataset."""
    filled = Store(tmp_path_factory.mktemp("two") / "runs")
    for method, skill in (("gcn", 1.2), ("resemotenet", 3.0)):
        _add_seeds(filled, method, skill=skill)
    return filled


@pytest.fixture(scope="module")
def three_methods(two_methods, tmp_path_factory):
    """Return that store with a method that is better by far, and whose tower saw the generator's labels."""
    filled = Store(tmp_path_factory.mktemp("three") / "runs")
    shutil.copytree(two_methods.root, filled.root)
    _add_seeds(filled, "cafe", skill=6.0, pretrained=TOWER)
    return filled


def _add_seeds(store, method, **how):
    add = adder(store)
    for dataset in EMOTIONS:
        for seed in SEEDS:
            add(method, dataset, seed=seed, **how)


@pytest.fixture
def full(two_methods, store):
    """Fill the store with two methods."""
    shutil.copytree(two_methods.root, store.root)


@pytest.fixture
def with_cafe(three_methods, store):
    """Fill the store with three methods."""
    shutil.copytree(three_methods.root, store.root)


@pytest.mark.long
def test_the_others_are_compared_as_if_it_were_not_there(store, full, add):
    before = board(store)
    for dataset in EMOTIONS:
        add("cafe", dataset, skill=6.0, pretrained=TOWER)
    after = board(store)
    assert after.own_columns == before.own_columns
    assert after.general_columns == before.general_columns
    assert after.overall_column == before.overall_column
    assert tuple(after.overall_column.scores) == ("resemotenet", "gcn")
    assert [(o.label, o.apart and o.apart.reason) for o in after.overall] == [
        ("resemotenet", None),
        ("gcn", None),
        ("cafe", WHY),
    ]
    mine = after.overall[-1]
    assert mine.mean.value > after.overall[0].mean.value
    assert mine.mean.interval is not None
    assert mine.sources == after.overall[0].sources == tuple(EMOTIONS)


def test_it_has_no_say_in_the_sources_of_the_overall_score(store, full, add):
    for dataset in ("oulu", "mmi"):
        add("cafe", dataset, skill=6.0, pretrained=TOWER)
    overall = {o.label: o for o in board(store).overall}
    assert overall["gcn"].sources == tuple(EMOTIONS)
    assert overall["cafe"].mean is None  # a mean over other sources would mislead


@pytest.mark.long
def test_the_page_shows_score_and_interval_without_rank_and_says_why_once(store, with_cafe, tmp_path):
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    told = f"Not compared with the others: cafe, since {WHY}."
    (headline,) = [line for line in text.splitlines() if told in line]
    assert "resemotenet is better than gcn" in headline
    assert headline.endswith(told)
    (row,) = [line for line in text.splitlines() if line.startswith("| [cafe](methods.md#cafe) | ")][:1]
    assert re.match(r"\| \[cafe\]\(methods\.md#cafe\) \| \d\.\d\d ± \.\d\d \| not compared \|", row)
    assert text.count(" §") >= 14  # in-domain and elsewhere, on seven datasets
    assert "**" not in row
    for name in EMOTIONS:
        own = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        assert own.count(told) == 2  # on it, and on others
        assert " §" in own
        assert "§: the weights saw this before" in own
    assert "this generator's expression labels: yes" in text


@pytest.mark.long
def test_files_say_it_too(store, with_cafe, tmp_path):
    write_leaderboard(store, tmp_path)
    assert not any("cafe" in (line["first"], line["second"]) for line in lines(tmp_path / "pairs.csv"))
    letters = {(line["method"], line["letters"]) for line in lines(tmp_path / "generalisation.csv")}
    assert letters == {("gcn", "b"), ("resemotenet", "a"), ("cafe", "")}
    seen = {(line["method"], line["seen"]) for line in lines(tmp_path / "cells.csv")}
    assert seen == {("gcn", ""), ("resemotenet", ""), ("cafe", WHY)}


def test_pretraining_on_one_dataset_leaves_the_others_compared(store, add):
    known = {"backbone": TrainingData(text="AffectNet", exposure={"affectnet7": "in training"})}
    for method, skill, how in (("gcn", 1.2, {}), ("ssmfar", 3.0, {"pretrained": known})):
        for dataset in EMOTIONS:
            add(method, dataset, skill=skill, data_kind="real", profile="paper", **how)
    section = board(store)
    own = {source: set(column.scores) for source, column in section.own_columns.items()}
    assert own == {source: {"gcn", "ssmfar"} for source in EMOTIONS} | {"affectnet7": {"gcn"}}
    general = {source: set(column.scores) for source, column in section.general_columns.items()}
    assert general == {source: {"gcn"} for source in EMOTIONS} | {"affectnet7": {"gcn", "ssmfar"}}
    assert set(section.overall_column.scores) == {"gcn"}
    cell = section.cell("ssmfar", "rafdb")
    assert set(cell.seen) == {"affectnet7"}
    assert (cell.apart_in_domain, cell.apart_elsewhere.what) == (None, "labels")


def test_a_target_outside_the_list_leaves_generalisation_compared(store, add):
    known = {"backbone": TrainingData(text="FER2013", exposure={"fer2013": "in training"})}
    happy = {"fer2013": ("happiness", "sadness", "anger")}
    targets = (*EMOTIONS, "fer2013")
    how = {"data_kind": "real", "profile": "paper", "targets": targets, "known": happy}
    add("gcn", "oulu", **how)
    add("ssmfar", "oulu", pretrained=known, **how)
    section = board(store)
    assert set(section.general_columns["oulu"].scores) == {"gcn", "ssmfar"}
    assert set(section.cell("ssmfar", "oulu").seen) == {"fer2013"}


def test_alone_it_still_has_its_means(store, add, tmp_path):
    for dataset in EMOTIONS:
        add("cafe", dataset, pretrained=TOWER)
    section = board(store)
    assert section.overall[0].mean is not None
    assert section.overall_column.scores == {}
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "only one method" not in text
    assert f"cafe, since {WHY}" in text


@pytest.mark.long
def test_compare_gives_the_difference_without_a_test(store, with_cafe, run_cli):
    found = compare_named(store, "cafe", "gcn", datasets.MAIN_SEVEN)
    assert len(found) == 15  # in-domain and generalisation of seven sources, and overall
    assert all(x.p is None and x.note == f"not tested, first: {WHY}" for x in found)
    assert found[0].interval is not None
    assert all(x.p is not None for x in compare_named(store, "resemotenet", "gcn", datasets.MAIN_SEVEN))
    code, out, _ = run_cli("compare", "gcn", "cafe", "--runs-dir", store.root)
    assert code == 0
    assert f"not tested, second: {WHY}" in out
    assert "one of the two saw before what it is tested on" in out


def test_runs_that_saw_the_same_are_compared(store, add):
    one = add("cafe", "oulu", skill=2.0, pretrained=TOWER)
    other = add("cafe", "oulu", skill=1.0, pretrained=TOWER, changes={"method": {"lr": 1.0}})
    plain = add("gcn", "oulu", skill=1.0)
    assert all(x.p is not None for x in compare_runs((store, one), (store, other)))
    assert all(x.p is None for x in compare_runs((store, one), (store, plain)))


def test_sentences_group_methods_and_sources(store, full):
    a, b = Seen("labels", "A"), Seen("pictures", "B")
    assert told_apart([("x", a), ("y", None), ("z", a), ("x", a)]) == (
        "Not compared with the others: x and z, since A."
    )
    assert told_apart([("x", None)]) == ""
    first, second, *_ = [c for c in board(store).cells if c.label == "gcn"]
    assert by_source([(first, a), (second, None)]) == (
        f"Not compared with the others: gcn on {first.source}, since A."
    )
    assert by_source([(first, a), (second, b)]) == (
        f"Not compared with the others: gcn on {first.source}, since A. "
        f"Not compared with the others: gcn on {second.source}, since B."
    )
