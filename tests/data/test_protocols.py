from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.data.card import Card, Folds, HashSplit, NativeClass, Official, Protocol, Stratified
from fer_bench.data.index import build_index
from fer_bench.data.protocols import (
    assign_roles,
    deal_folds,
    find_protocol,
    folds_of,
    in_label_set,
    target_rows,
    unit_interval,
)
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.errors import DataError, UsageError

SIX = [emotion.value for emotion in LABEL_SETS["6"]]
IDS = st.sets(st.text("SP0123456789", min_size=1, max_size=4), min_size=4, max_size=25)
FAST = settings(max_examples=30, deadline=None)


def card(split: Any = None, **changes: Any) -> Card:
    base = Protocol(name="main", label_set=LABEL_SETS["6"], split=split or Folds(k=4))
    fields = {
        "name": "toy",
        "title": "Toy",
        "setting": "wild",
        "citation": "",
        "licence": "",
        "obtain": "",
        "classes": tuple(NativeClass(e.value, e.value, e) for e in Emotion),
        "tree": (),
        "protocols": (base,),
        "default_protocol": "main",
        "quick_protocol": "main",
        "unit": "image",
    }
    return Card.model_validate({**fields, **changes})


def lab(subjects: Any, *, variant: str = "", label: str | None = None, tag: str = "") -> list[dict[str, Any]]:
    """Two frames of all six expressions per subject, and a first frame; unlabelled when `label` is ''."""
    rows = []
    for subject in subjects:
        for name in SIX:
            for frame in range(3):
                meant = "neutral" if frame == 0 else name if label is None else label or None
                rows.append(
                    {
                        "sample_id": f"{tag}{subject}/{variant}/{name}/{frame}",
                        "path": "x.png",
                        "subject": subject,
                        "group": subject,
                        "variant": variant,
                        "label": meant,
                        "native_label": None if frame == 0 else meant,
                        "is_neutral_frame": frame == 0,
                    }
                )
    return rows


def wild(counts: dict[str, int], split: str = "none", tag: str = "") -> list[dict[str, Any]]:
    return [
        {
            "sample_id": f"{tag}{split}/{name}/{i:05d}",
            "path": "x.png",
            "label": name,
            "native_label": name,
            "split": split,
        }
        for name, n in counts.items()
        for i in range(n)
    ]


def roles_by_id(index: pd.DataFrame, card: Card, fold: int = 1) -> dict[str, str]:
    return dict(
        zip(index["sample_id"], assign_roles(index, card, card.protocols[0], fold).tolist(), strict=True)
    )


# Folds --------------------------------------------------------------------------------------------------


@given(IDS, st.integers(2, 4), st.sampled_from(["interleaved", "contiguous"]))
def test_folds_partition_the_subjects_evenly(subjects, k, rule):
    folds = deal_folds(subjects, Folds(k=k, rule=rule))
    assert folds.keys() == subjects
    sizes = Counter(folds.values())
    assert set(sizes) == set(range(1, k + 1))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    shuffled = random.Random(0).choices(sorted(subjects), k=50) + sorted(subjects)
    assert deal_folds(shuffled, Folds(k=k, rule=rule)) == folds


def test_interleaved_folds_take_every_kth_and_contiguous_ones_neighbours():
    ids = [f"S{i:03d}" for i in range(8)]
    assert [deal_folds(ids, Folds(k=3))[s] for s in ids] == [1, 2, 3, 1, 2, 3, 1, 2]
    assert [deal_folds(ids, Folds(k=3, rule="contiguous"))[s] for s in ids] == [1, 1, 1, 2, 2, 2, 3, 3]


def test_118_subjects_make_eight_folds_of_twelve_and_two_of_eleven():
    sizes = Counter(deal_folds([f"S{i:03d}" for i in range(118)], Folds()).values())
    assert [sizes[fold] for fold in range(1, 11)] == [12] * 8 + [11] * 2


def test_fewer_subjects_than_folds_are_refused():
    with pytest.raises(DataError, match=r"10 folds need at least 10 labelled subjects .*9"):
        deal_folds([str(i) for i in range(9)], Folds())


@FAST
@given(IDS, st.integers(1, 4))
def test_no_subject_crosses_and_the_next_fold_validates(subjects, fold):
    toy = card()
    index = build_index(lab(subjects), "toy")
    roles = assign_roles(index, toy, toy.protocols[0], fold)
    sides = pd.DataFrame({"subject": index["subject"], "role": roles})[roles != ""].drop_duplicates()
    assert not sides["subject"].duplicated().any()
    dealt = deal_folds(subjects, Folds(k=4))
    expected = {s: "test" if f == fold else "val" if f == fold % 4 + 1 else "train" for s, f in dealt.items()}
    assert dict(zip(sides["subject"], sides["role"], strict=True)) == expected


@FAST
@given(IDS, st.sets(st.text("AZ5", min_size=1, max_size=3), max_size=5), st.sampled_from(["", "unlabelled"]))
def test_subjects_without_an_expression_change_nothing(subjects, strangers, kind):
    rows = lab(subjects)
    extra = lab(strangers - subjects, label="", tag="x")
    if kind == "":  # nor do those of whom there are first frames only
        extra = [row for row in extra if row["is_neutral_frame"]]
    alone = roles_by_id(build_index(rows, "toy"), card())
    together = roles_by_id(build_index(rows + extra, "toy"), card())
    assert {name: together[name] for name in alone} == alone
    assert {together[name] for name in together.keys() - alone.keys()} <= {""}


@FAST
@given(IDS)
def test_every_row_is_tested_in_exactly_one_fold(subjects):
    toy = card()
    index = build_index(lab(subjects), "toy")
    tested = sum(
        (assign_roles(index, toy, toy.protocols[0], fold) == "test").astype(int) for fold in (1, 2, 3, 4)
    )
    assert np.array_equal(tested, in_label_set(index, toy.protocols[0]).astype(int))


def test_folds_are_the_same_for_every_label_set():
    names = ("6", "7", "7c", "8")
    protocols = tuple(Protocol(name=n, label_set=LABEL_SETS[n], split=Folds(k=4)) for n in names)
    rows = lab([f"S{i}" for i in range(9)]) + lab(["S0a"], label="contempt")
    toy, index = card(protocols=protocols, default_protocol="6", quick_protocol="6"), build_index(rows, "toy")
    side = {}
    for protocol in protocols:
        roles = assign_roles(index, toy, protocol, 2)
        for subject, role in zip(index["subject"], roles, strict=True):
            if role:
                assert side.setdefault(subject, role) == role
    assert "S0a" in side


def test_a_variant_deals_its_own_subjects_and_leaves_the_others_out():
    main = Protocol(name="main", label_set=LABEL_SETS["6"], split=Folds(k=4), variants=("VL",))
    toy = card(protocols=(main,))
    ids = [f"S{i}" for i in range(8)]
    few = build_index(lab(ids, variant="VL"), "toy")
    more = build_index(lab(ids, variant="VL") + lab(["S00", *ids], variant="NI"), "toy")
    alone, together = roles_by_id(few, toy), roles_by_id(more, toy)
    assert {name: together[name] for name in alone} == alone
    assert not any(together[name] for name in together.keys() - alone.keys())


def test_without_validation_nine_folds_train():
    main = Protocol(name="main", label_set=LABEL_SETS["6"], split=Folds(k=4, validation="none"))
    index = build_index(lab(range(8)), "toy")
    assert Counter(assign_roles(index, card(protocols=(main,)), main, 1).tolist()) == {
        "train": 6 * 12,
        "test": 2 * 12,
        "": 8 * 6,
    }


def test_neutral_first_frames_take_part_where_the_label_set_has_neutral():
    seven = Protocol(name="main", label_set=LABEL_SETS["7"], split=Folds(k=4))
    index = build_index(lab(range(8)), "toy")
    roles = assign_roles(index, card(protocols=(seven,)), seven, 1)
    assert (roles[index["is_neutral_frame"].to_numpy()] != "").all()


def test_folds_need_to_know_who_is_on_a_picture():
    rows = [*lab(range(8)), {"sample_id": "lost", "path": "lost.png", "label": "fear"}]
    with pytest.raises(DataError, match=r"need a subject for every row .*'lost'") as caught:
        roles_by_id(build_index(rows, "toy"), card())
    assert caught.value.file == "lost.png"


# Official splits ----------------------------------------------------------------------------------------


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
