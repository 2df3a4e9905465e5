from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.data.audit.split_file import freeze, protocol_hash
from fer_bench.data.card import Folds, HashSplit, Official, Stratified
from fer_bench.data.index import build_index
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import UsageError
from tests.data.toy import CARD, Toy, toy_rows


def toy(rows, **change):
    """Return a toy without pictures: a split needs none."""
    made = object.__new__(Toy)
    made.card = CARD.model_copy(update=change)
    made.__dict__["index"] = build_index(rows, "toy")
    return made


def with_rule(rule):
    return {"protocols": tuple(p.model_copy(update={"split": rule}) for p in CARD.protocols)}


def lone(rows):
    """Return rows that are their own group, for rules that deal single pictures."""
    return [{**row, "group": None, "reference_id": None} for row in rows if not row["is_neutral_frame"]]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.randoms(use_true_random=False),
    rule=st.sampled_from([Folds(k=4), Folds(k=3, rule="contiguous"), Official(), HashSplit(), Stratified()]),
)
def test_order_and_paths_never_change_the_hash(seed, rule):
    rows = toy_rows(8) if isinstance(rule, Folds) else lone(toy_rows(8))
    first = freeze(toy(rows, **with_rule(rule)))
    moved = [{**row, "path": f"elsewhere/{row['path']}", "gender": "female"} for row in rows]
    seed.shuffle(moved)
    assert freeze(toy(moved, **with_rule(rule))).hash == first.hash


@settings(max_examples=25, deadline=None)
@given(
    rule=st.sampled_from([Folds(k=4), Official(), HashSplit(), Stratified()]),
    lost=st.integers(0, 60),
)
def test_another_row_is_another_hash(rule, lost):
    rows = toy_rows(8) if isinstance(rule, Folds) else lone(toy_rows(8))
    rows = [{**row, "reference_id": None} for row in rows]
    first = freeze(toy(rows, **with_rule(rule)))
    kept = first.rows["sample_id"].iloc[lost % len(first.rows)]
    fewer = [row for row in rows if row["sample_id"] != kept]
    assert freeze(toy(fewer, **with_rule(rule))).hash != first.hash


def test_the_hash_is_the_one_of_the_written_file_and_frozen_for_good():
    frozen = freeze(toy(toy_rows(4)), "6-folds", 2)
    rows = list(csv.DictReader(io.StringIO(frozen.csv)))
    assert rows[0] == {"sample_id": "S00/0/1", "role": "train", "group": "S00", "label": "happiness"}
    assert {row["role"] for row in rows if row["group"] == "S01"} == {"test"}
    assert {row["role"] for row in rows if row["group"] == "S02"} == {"val"}
    assert frozen.hash == hashlib.sha256(frozen.csv.encode()).hexdigest()[:16]
    assert frozen.counts == {"train": 24, "val": 12, "test": 12}
    assert frozen.hash == "1972e66b7d104c9d"  # a change here changes what published numbers mean


def test_rows_with_affect_only_have_a_role_and_an_empty_label():
    rows = [*toy_rows(4)]
    for row in rows:
        if row["subject"] == "S03" and not row["is_neutral_frame"]:
            row |= {
                "label": None if row["sequence"].endswith("5") else row["label"],
                "valence": 0.5,
                "arousal": 0,
            }
    found = freeze(toy(rows, has_va=True)).rows
    assert found["label"].isna().sum() == 2
    assert freeze(toy(rows, has_va=True)).csv.count(",S03,\n") == 2


def test_the_hash_does_not_depend_on_the_process():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        f"from {__name__} import toy, toy_rows, freeze\nprint(freeze(toy(toy_rows(8))).hash)"
    )
    expected = freeze(toy(toy_rows(8))).hash
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": "C", "TZ": "Asia/Tokyo"}
        done = subprocess.run(
            [sys.executable, "-c", code, *sys.path],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_an_unknown_fold_or_protocol_is_refused():
    with pytest.raises(UsageError, match="no such fold"):
        freeze(toy(toy_rows(4)), "6-folds", 5)
    with pytest.raises(UsageError, match="unknown protocol"):
        freeze(toy(toy_rows(4)), "6-fold")


def test_a_protocol_hash_is_of_the_rule_and_not_of_its_prose():
    (first, *_) = CARD.protocols
    mark = protocol_hash(CARD, first)
    assert len(mark) == 12
    assert protocol_hash(CARD, first.model_copy(update={"note": "again", "aliases": ("x",)})) == mark
    assert protocol_hash(CARD.model_copy(update={"licence": "other"}), first) == mark
    changes = (
        {"label_set": LABEL_SETS["7"]},
        {"split": Folds(k=5)},
        {"variants": ("VL/Strong",)},
        {"name": "x"},
    )
    others = {protocol_hash(CARD, first.model_copy(update=change)) for change in changes}
    others.add(protocol_hash(CARD.model_copy(update={"version": 2}), first))
    assert len(others | {mark}) == len(changes) + 2
