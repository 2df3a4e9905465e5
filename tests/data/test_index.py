from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from fer_bench.data.index import (
    COLUMNS,
    NO_AU,
    build_index,
    fingerprint,
    stack_au,
    stack_votes,
    validate_index,
)
from fer_bench.errors import DataError

AU = [0, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "sample_id": f"s{number}",
        "path": f"a/{number}.jpg",
        "box": (1.0, 2.0, 30.0, 40.0),
        "landmarks": np.ones((5, 2), np.float32),
        "native_label": "4",
        "label": "happiness",
        "subject": "P1",
        "sequence": "q",
        "split": "train",
        **changes,
    }


def test_missing_keys_take_their_defaults():
    index = build_index([{"sample_id": "a", "path": "a.jpg"}], "toy")
    only = index.iloc[0]
    assert list(index.columns) == list(COLUMNS)
    assert (only["frame"], only["split"], only["group"], only["variant"]) == (-1, "none", "a", "")
    assert only["box"] is None
    assert not only["is_neutral_frame"]
    assert np.isnan(only["valence"])
    assert index[["label", "subject", "reference_id", "gender"]].isna().all(axis=None)
    assert np.array_equal(only["au"], NO_AU)


def test_the_order_of_the_input_does_not_matter():
    rows = [row(i, path=f"p{i % 7}", label=random.Random(i).choice(["fear", None])) for i in range(30)]
    shuffled = random.Random(1).sample(rows, len(rows))
    first, second = build_index(rows, "toy"), build_index(shuffled, "toy")
    assert first.drop(columns=["au", "landmarks"]).equals(second.drop(columns=["au", "landmarks"]))
    assert fingerprint(first) == fingerprint(second)
    assert first["sample_id"].is_monotonic_increasing


def test_action_units_are_stacked_as_small_integers():
    index = build_index([row(0, au=AU), row(1)], "toy")
    assert stack_au(index).dtype == np.int8
    assert stack_au(index).tolist() == [AU, [-1] * 12]


@pytest.mark.parametrize(
    ("changes", "words", "value"),
    [
        ({"sample_id": None}, "no sample_id", None),
        ({"sample_id": ""}, "no sample_id", ""),
        ({"path": None}, "no path", None),
        ({"path": ""}, "no path", ""),
        ({"group": ""}, "no group", ""),
        ({"sample_id": "s0"}, "repeated sample_id", "s0"),
        ({"path": "/etc/passwd"}, "leaves the dataset root", "/etc/passwd"),
        ({"path": "a/../../b.jpg"}, "leaves the dataset root", "a/../../b.jpg"),
        ({"path": "a\\..\\b.jpg"}, "leaves the dataset root", "a\\..\\b.jpg"),
        ({"label": "joy"}, "unknown label", "joy"),
        ({"valence": 1.5}, "valence outside", 1.5),
        ({"arousal": float("-inf")}, "arousal outside", float("-inf")),
        ({"au": [0, 1]}, "action units that are not 12", [0, 1]),
        ({"au": [2] + [0] * 11}, "action unit not in", [2] + [0] * 11),
        ({"au": [0.5] + [0] * 11}, "action unit not in", [0.5] + [0.0] * 11),
        ({"au": [300] + [0] * 11}, "action unit not in", [300] + [0] * 11),
        ({"box": (5, 5, 5, 9)}, "box without area", (5, 5, 5, 9)),
        ({"box": (9, 5, 5, 9)}, "box without area", (9, 5, 5, 9)),
        ({"box": (0, 0, float("inf"), 9)}, "box without area", (0, 0, float("inf"), 9)),
        ({"box": (0, 0, 9)}, "box without area", (0, 0, 9)),
        ({"landmarks": [[1.0, 2.0, 3.0]]}, "landmarks that are not", [[1.0, 2.0, 3.0]]),
        ({"landmarks": np.full((1, 2), np.inf)}, "landmarks that are not", [[np.inf, np.inf]]),
        ({"frame": -2}, "frame below -1", -2),
        ({"split": "dev"}, "unknown split", "dev"),
        ({"reference_id": "s9"}, "reference_id is not a sample", "s9"),
        ({"reference_id": "s0", "subject": "P2"}, "reference_id of another subject", "s0"),
        ({"reference_id": "s0", "sequence": "r"}, "reference_id of another sequence", "s0"),
        ({"reference_id": "s0", "group": "h"}, "reference_id of another group", "s0"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named_with_its_file_and_value(changes, words, value):
    rows = [row(0, group="g"), row(1, group="g")]
    build_index(rows, "toy")
    with pytest.raises(DataError, match=words) as caught:
        build_index([rows[0], {**rows[1], **changes}], "toy")
    error = caught.value
    sample = changes.get("sample_id", "s1")
    assert error.hint == "fer-bench data verify --dataset toy"
    if sample:
        assert repr(sample) in error.message
    if changes.get("path", "a/1.jpg"):
        assert error.file in (changes.get("path"), "a/1.jpg", "a/0.jpg")
    if value is not None:
        assert error.value == value
        assert "np." not in str(error)


def test_an_empty_dataset_and_an_unknown_column_are_refused():
    with pytest.raises(DataError, match=r"toy has no usable row"):
        build_index([], "toy")
    with pytest.raises(DataError, match=r"unknown index column in toy .*'colour'"):
        build_index([row(), row(1, colour="red")], "toy")
    with pytest.raises(DataError, match=r"lacks the column .*'box'"):
        validate_index(build_index([row()], "toy").drop(columns="box"), "toy")


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_id": "t0"},
        {"frame": 3},
        {"label": "fear"},
        {"label": None},
        {"native_label": "5"},
        {"valence": 0.5, "arousal": 0.1},
        {"au": AU},
        {"box": (1.0, 2.0, 30.0, 41.0)},
        {"box": None},
        {"landmarks": np.zeros((5, 2), np.float32)},
        {"landmarks": None},
        {"split": "test"},
        {"subject": "P2"},
        {"subject": None},
        {"sequence": "r"},
        {"group": "g"},
        {"variant": "VL"},
        {"is_neutral_frame": True},
        {"reference_id": "s0"},
    ],
    ids=str,
)
def test_the_fingerprint_changes_with_whatever_decides_rows_labels_or_faces(changes):
    assert fingerprint(build_index([row(**changes)], "toy")) != fingerprint(build_index([row()], "toy"))


@pytest.mark.parametrize(
    "changes", [{"path": "b/x.png"}, {"gender": "female", "race": "x", "age": "20"}], ids=str
)
def test_the_fingerprint_does_not_change_with_places_and_attributes(changes):
    assert fingerprint(build_index([row(**changes)], "toy")) == fingerprint(build_index([row()], "toy"))


def test_the_fingerprint_tells_which_row_has_what():
    one = build_index([row(0, group="x"), row(1, label="fear", group="x")], "toy")
    other = build_index([row(0, label="fear", group="x"), row(1, group="x")], "toy")
    assert fingerprint(one) != fingerprint(other)
    apart = build_index([row(0, subject="a\nb"), row(1, subject="c")], "toy")
    joined = build_index([row(0, subject="a"), row(1, subject="b\nc")], "toy")
    assert fingerprint(apart) != fingerprint(joined)


def test_votes_are_optional_and_part_of_the_fingerprint():
    none = build_index([row(0), row(1)], "toy")
    votes = np.arange(9, dtype=np.float32)
    some = build_index([row(0), row(1, votes=votes)], "toy")
    assert stack_votes(none).tolist() == [[0.0] * 9] * 2
    assert stack_votes(some).tolist() == [[0.0] * 9, votes.tolist()]
    assert fingerprint(some) != fingerprint(none)
    assert fingerprint(some) != fingerprint(build_index([row(0), row(1, votes=votes[::-1])], "toy"))


@pytest.mark.parametrize("votes", [[1.0] * 8, [-1.0] + [0.0] * 8, [float("nan")] + [0.0] * 8])
def test_votes_that_are_no_counts_are_refused(votes):
    with pytest.raises(DataError, match="votes that are not 9 finite numbers"):
        build_index([row(votes=votes)], "toy")
