"""Subject-independent folds."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.data.card import Folds, Protocol
from fer_bench.data.index import build_index
from fer_bench.data.protocols import (
    assign_roles,
    deal_folds,
    in_label_set,
)
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError
from tests.data.protocol_rows import FAST, IDS, card, lab, roles_by_id


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
