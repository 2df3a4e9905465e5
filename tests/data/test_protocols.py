from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.data.card import Card, Folds, HashSplit, Official, Protocol, Stratified
from fer_bench.data.index import build_index
from fer_bench.data.protocols import (
    assign_roles,
    find_protocol,
    folds_of,
    in_label_set,
    target_rows,
    unit_interval,
)
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError, UsageError
from tests.data.protocol_rows import FAST, SIX, card, lab, roles_by_id, wild


def official(**options: Any) -> Card:
    return card(Official(**options))


@FAST
@given(st.dictionaries(st.sampled_from(SIX), st.integers(1, 80), min_size=1), st.integers(0, 3))
def test_validation_is_a_tenth_of_every_class_and_never_all_of_it(counts, seed):
    counts = {**counts, "fear": 30}
    rows = wild(counts, "train") + wild({"fear": 5}, "test")
    shuffled = random.Random(seed).sample(rows, len(rows))
    roles = roles_by_id(build_index(rows, "toy"), official())
    assert roles == roles_by_id(build_index(shuffled, "toy"), official())
    assert {role for name, role in roles.items() if name.startswith("test")} == {"test"}
    for name, n in counts.items():
        carved = sum(role == "val" for sample, role in roles.items() if sample.startswith(f"train/{name}/"))
        assert carved == (0 if n == 1 else max(1, round(n / 10)))


def test_a_tiny_class_keeps_a_training_row_whatever_the_share():
    rows = wild({"anger": 1, "fear": 2, "disgust": 3}, "train") + wild({"fear": 1}, "test")
    roles = roles_by_id(build_index(rows, "toy"), official(fraction=0.9))
    train = {sample.split("/")[1] for sample, role in roles.items() if role == "train"}
    assert train == {"anger", "fear", "disgust"}
    assert [role for sample, role in roles.items() if "/anger/" in sample] == ["train"]


@FAST
@given(st.lists(st.integers(1, 6), min_size=25, max_size=60), st.integers(0, 3))
def test_carving_by_group_takes_about_a_tenth_and_splits_no_group(sizes, seed):
    rows = wild({"fear": sum(sizes)}, "train")
    groups = [f"v{g}" for g, n in enumerate(sizes) for _ in range(n)]
    rows = [{**row, "group": group} for row, group in zip(rows, groups, strict=True)] + wild(
        {"fear": 3}, "test"
    )
    index = build_index(random.Random(seed).sample(rows, len(rows)), "toy")
    roles = assign_roles(index, official(carve="group"), official(carve="group").protocols[0])
    sides = pd.DataFrame({"group": index["group"], "role": roles}).drop_duplicates()
    assert not sides["group"].duplicated().any()
    carved = int((roles == "val").sum())
    assert sum(sizes) / 10 <= carved < sum(sizes) / 10 + max(sizes)
    assert (
        roles.tolist()
        == assign_roles(build_index(rows, "toy"), official(), official(carve="group").protocols[0]).tolist()
    )


def test_one_huge_group_never_takes_the_whole_training_set():
    rows = [{**row, "group": f"g{i % 2}"} for i, row in enumerate(wild({"fear": 20}, "train"))]
    index = build_index(rows + wild({"fear": 3}, "test"), "toy")
    toy = official(carve="group", fraction=0.9)
    assert Counter(assign_roles(index, toy, toy.protocols[0]).tolist()) == {"train": 10, "val": 10, "test": 3}
    single = build_index([{**row, "group": "g"} for row in rows] + wild({"fear": 3}, "test"), "toy")
    with pytest.raises(DataError, match=r"leaves no labelled row to val"):
        assign_roles(single, toy, toy.protocols[0])


def test_an_official_validation_part_is_used_as_it_is():
    rows = [row for split in ("train", "val", "test") for row in wild({"fear": 10}, split)]
    roles = roles_by_id(build_index(rows + wild({"fear": 2}, "none"), "toy"), official(validation="official"))
    assert all(
        role == (split if (split := name.split("/")[0]) != "none" else "") for name, role in roles.items()
    )


def test_where_val_tests_the_other_parts_train_only():
    rows = [row for split in ("train", "val") for row in wild({"fear": 20}, split)]
    roles = roles_by_id(build_index(rows, "toy"), official(test="val"))
    assert {role for name, role in roles.items() if name.startswith("val")} == {"test"}
    assert Counter(role for name, role in roles.items() if name.startswith("train")) == {
        "train": 18,
        "val": 2,
    }


# Splits of our own --------------------------------------------------------------------------------------


@FAST
@given(st.integers(60, 200), st.integers(1, 100))
def test_a_hash_split_moves_nobody_when_rows_come(n, more):
    toy = card(HashSplit())
    rows = [{**row, "group": f"photo{i // 2}"} for i, row in enumerate(wild({"fear": n}))]
    extra = [{**row, "group": f"new{i}"} for i, row in enumerate(wild({"anger": more}, tag="x"))]
    before, after = (
        roles_by_id(build_index(rows, "toy"), toy),
        roles_by_id(build_index(rows + extra, "toy"), toy),
    )
    assert {name: after[name] for name in before} == before
    index = build_index(rows, "toy")
    sides = pd.DataFrame(
        {"group": index["group"], "role": [before[s] for s in index["sample_id"]]}
    ).drop_duplicates()
    assert not sides["group"].duplicated().any()


def test_a_hash_split_keeps_its_shares_and_depends_on_the_dataset():
    toy = card(HashSplit())
    index = build_index(wild({"fear": 4000}), "toy")
    shares = Counter(roles_by_id(index, toy).values())
    assert {role: shares[role] / 4000 for role in shares} == pytest.approx(
        {"train": 0.7, "val": 0.15, "test": 0.15}, abs=0.02
    )
    other = toy.model_copy(update={"name": "other"})
    assert roles_by_id(index, toy) != roles_by_id(index, other)


@FAST
@given(st.dictionaries(st.sampled_from(SIX), st.integers(1, 60), min_size=1))
def test_a_stratified_split_gives_every_class_to_every_role_it_can(counts):
    counts = {**counts, "fear": 20}
    toy = card(Stratified())
    roles = roles_by_id(build_index(wild(counts), "toy"), toy)
    for name, n in counts.items():
        own = Counter(role for sample, role in roles.items() if sample.startswith(f"none/{name}/"))
        assert own["train"] >= 1
        assert own["test"] >= (n >= 2)
        assert own["val"] >= (n >= 3)
        assert own["test"] == pytest.approx(0.15 * n, abs=1)
        assert own["val"] == pytest.approx(0.15 * n, abs=1)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (6, 2, 2)), (100, (70, 15, 15))]
)
def test_stratified_shares_of_small_classes(n, expected):
    roles = Counter(
        role
        for sample, role in roles_by_id(
            build_index(wild({"fear": 40, "anger": n}), "toy"), card(Stratified())
        ).items()
        if "anger" in sample
    )
    assert (roles["train"], roles["val"], roles["test"]) == expected


def test_extreme_shares_still_leave_a_training_row():
    toy = card(Stratified(train=0.01, val=0.01))
    assert Counter(roles_by_id(build_index(wild({"fear": 6}), "toy"), toy).values()) == {
        "train": 1,
        "val": 1,
        "test": 4,
    }


# Rows without an expression, targets, refusals ----------------------------------------------------------


def test_rows_with_valence_but_no_expression_go_with_their_group():
    rows = [{**row, "group": f"v{i // 4}"} for i, row in enumerate(wild({"fear": 80}, "train"))]
    rows += [
        {
            "sample_id": f"x{i}",
            "path": "x",
            "group": f"v{i}",
            "split": "train",
            "valence": 0.1,
            "arousal": 0.2,
        }
        for i in range(20)
    ]
    rows += [
        {"sample_id": "nothing", "path": "x", "group": "v0", "split": "train"},
        *wild({"fear": 3}, "test"),
    ]
    toy, index = official(carve="group"), build_index(rows, "toy")
    roles = assign_roles(index, toy, toy.protocols[0])
    of_group = {
        g: r
        for g, r, s in zip(index["group"], roles, index["sample_id"], strict=True)
        if s.startswith("train")
    }
    for sample, group, role in zip(index["sample_id"], index["group"], roles, strict=True):
        if sample.startswith("x"):
            assert role == of_group[group]
    assert roles[index["sample_id"] == "nothing"] == ""
    assert {"train", "val"} == set(of_group.values())


def test_a_lab_target_gives_its_labelled_rows_and_first_frames_of_the_protocols_variants():
    main = Protocol(name="main", label_set=LABEL_SETS["6"], split=Folds(k=4), variants=("VL",))
    toy = card(protocols=(main,), as_target="all")
    rows = (
        lab(range(8), variant="VL") + lab(range(8), variant="NI") + lab([9], variant="VL", label="", tag="u")
    )
    index = build_index(rows, "toy")
    chosen = index[target_rows(index, toy, main)]
    assert set(chosen["variant"]) == {"VL"}
    assert chosen["label"].notna().all()
    assert Counter(chosen["label"].tolist()) == {"neutral": 9 * 6, **dict.fromkeys(SIX, 8 * 2)}


@pytest.mark.parametrize("split", [Official(), Official(carve="group"), HashSplit(), Stratified()])
def test_a_wild_target_gives_its_test_rows_whatever_their_label(split):
    counts = {"fear": 60, "anger": 60, "contempt": 20}
    rows = [row for part in ("train", "test") for row in wild(counts, part)]
    toy, index = card(split), build_index(rows, "toy")
    chosen = target_rows(index, toy, toy.protocols[0])
    own = assign_roles(index, toy, toy.protocols[0]) == "test"
    labelled = in_label_set(index, toy.protocols[0])
    assert np.array_equal(chosen & labelled, own)
    assert (index["label"].to_numpy(object)[chosen] == "contempt").any()
    assert not (chosen & (assign_roles(index, toy, toy.protocols[0]) == "train")).any()


@pytest.mark.parametrize(
    ("rows", "role"),
    [
        (wild({"fear": 5}, "train"), "test"),
        (wild({"fear": 5}, "test"), "train"),
        (wild({"fear": 1}, "train") + wild({"fear": 1}, "test"), "val"),
        (wild({"contempt": 9}, "train") + wild({"fear": 1}, "test"), "train"),
    ],
)
def test_a_role_without_rows_is_refused_by_name(rows, role):
    with pytest.raises(
        DataError, match=rf"toy/main leaves no labelled row to {role}\n  fer-bench data verify"
    ):
        roles_by_id(build_index(rows, "toy"), official())


@pytest.mark.parametrize("fold", [0, 5, -1])
def test_a_fold_that_is_not_there_is_refused(fold):
    with pytest.raises(UsageError, match=r"no such fold of toy/main .*\n  1 to 4"):
        assign_roles(build_index(lab(range(8)), "toy"), card(), card().protocols[0], fold)
    assert folds_of(card().protocols[0]) == (1, 2, 3, 4)
    assert folds_of(official().protocols[0]) == (1,)


def test_protocols_are_found_by_name_with_or_without_the_dataset():
    quick = Protocol(name="small", label_set=LABEL_SETS["6"], split=Folds(k=2))
    toy = card(protocols=(*card().protocols, quick), quick_protocol="small")
    assert find_protocol(toy, None).name == "main"
    assert find_protocol(toy, None, quick=True).name == "small"
    assert find_protocol(toy, "main", quick=True).name == "main"
    assert find_protocol(toy, "toy/small") is quick
    with pytest.raises(UsageError, match=r"unknown protocol of toy .*'smal'.*\n  did you mean small"):
        find_protocol(toy, "smal")


def test_unit_interval_is_uniform_and_salted():
    keys = [str(i) for i in range(4000)]
    place = unit_interval(keys, "a")
    assert ((place >= 0) & (place < 1)).all()
    assert np.histogram(place, 10, (0, 1))[0] == pytest.approx(400, abs=90)
    assert abs(np.corrcoef(place, unit_interval(keys, "b"))[0, 1]) < 0.05
    assert unit_interval(["x"], "a")[0] == unit_interval(["y", "x"], "a")[1]


def test_neutral_frames_of_contempt_sequences_are_no_target_rows():
    main = Protocol(name="main", label_set=LABEL_SETS["6"], split=Folds(k=4))
    toy = card(protocols=(main,), as_target="all")
    rows = []
    for sequence, label in (("a", "anger"), ("b", "contempt")):
        rows.append(
            {
                "sample_id": f"{sequence}0",
                "path": "p",
                "subject": "S1",
                "sequence": sequence,
                "label": "neutral",
            }
            | {"is_neutral_frame": True, "group": "S1"}
        )
        rows.append(
            {"sample_id": f"{sequence}1", "path": "p", "subject": "S1", "sequence": sequence, "label": label}
            | {"native_label": label, "group": "S1"}
        )
    index = build_index(rows, "toy")
    assert index["sample_id"][target_rows(index, toy, main)].tolist() == ["a0", "a1", "b1"]
