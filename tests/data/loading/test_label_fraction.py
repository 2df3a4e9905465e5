from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.data.index import build_index
from fer_bench.data.loading.label_fraction import hide_labels
from fer_bench.errors import UsageError

NAMES = ("neutral", "happiness", "fear")


def make_index(per_class: tuple[int, int, int], group_size: int = 1):
    rows = []
    for name, count in zip(NAMES, per_class, strict=True):
        rows += [{"label": name} for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(rows))
    return build_index(
        [
            {**rows[i], "sample_id": f"{k:04d}", "path": f"{k}.png", "group": f"g{k // group_size}"}
            for k, i in enumerate(order)
        ],
        "toy",
    )


def counts(index, rows) -> list[int]:
    return [int((index["label"][rows] == name).sum()) for name in NAMES]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([0.1, 0.25, 0.33, 0.5, 0.9]))
def test_single_pictures_are_drawn_by_class_exactly(fraction):
    index = make_index((40, 25, 20))
    hidden = hide_labels(index, np.ones(len(index), bool), fraction, "toy")
    assert counts(index, ~hidden) == [int(np.floor(fraction * n + 0.5)) for n in (40, 25, 20)]


def test_the_draw_depends_on_the_dataset_alone():
    index = make_index((40, 25, 20))
    everything = np.ones(len(index), bool)
    first = hide_labels(index, everything, 0.5, "toy")
    assert (hide_labels(index, everything, 0.5, "toy") == first).all()
    assert (hide_labels(index, everything, 0.5, "other") != first).any()
    assert not (~hide_labels(index, everything, 0.25, "toy") & first).any(), "fewer labels are among more"


def test_groups_keep_or_lose_their_labels_as_a_whole():
    index = make_index((80, 60, 40), group_size=6)
    hidden = hide_labels(index, np.ones(len(index), bool), 0.3, "toy")
    by_group = [set(hidden[index["group"] == g]) for g in index["group"].unique()]
    assert all(len(states) == 1 for states in by_group)
    assert 0.2 < (~hidden).mean() < 0.4
    assert min(counts(index, ~hidden)) >= 2


def test_rows_that_were_not_labelled_are_never_touched():
    index = make_index((40, 25, 20))
    labelled = np.arange(len(index)) % 2 == 0
    hidden = hide_labels(index, labelled, 0.5, "toy")
    assert not (hidden & ~labelled).any()
    assert hidden.any()


def test_a_class_that_whole_groups_would_lose_gets_the_group_that_fits_best():
    rows = [{"label": NAMES[k % 2], "group": f"big{k // 10}"} for k in range(200)]
    rows += [{"label": "fear", "group": f"rare{k // 4}"} for k in range(40)]
    index = build_index(
        [{**r, "sample_id": f"{k:03d}", "path": f"{k}.png"} for k, r in enumerate(rows)], "toy"
    )
    hidden = hide_labels(index, np.ones(len(index), bool), 0.05, "toy")
    assert counts(index, ~hidden) == [5, 5, 4]


def test_too_small_a_fraction_is_refused():
    index = make_index((40, 25, 20))
    message = r"1 labelled training row\(s\) of fear.*0.05.*\n.*label_fraction=0.08"
    with pytest.raises(UsageError, match=message):
        hide_labels(index, np.ones(len(index), bool), 0.05, "toy")
    kept = ~hide_labels(index, np.ones(len(index), bool), 0.08, "toy")
    assert min(counts(index, kept)) == 2, "the hint must hold"


def test_a_class_of_one_row_is_refused():
    index = make_index((40, 25, 1))
    with pytest.raises(UsageError, match=r"fear.*\n.*too few rows"):
        hide_labels(index, np.ones(len(index), bool), 0.9, "toy")
