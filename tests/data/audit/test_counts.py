from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fer_bench import datasets
from fer_bench.data.audit.counts import compare_counts, count
from fer_bench.data.audit.report import Report
from fer_bench.data.card import Card, ExpectedCount, class_counts
from tests.data.toy import toy_rows

LAYOUTS = [
    (name, layout)
    for name in datasets.names()
    if datasets.get(name).card.counts
    for layout in sorted({c.layout for c in datasets.get(name).card.counts if c.layout} or {""})
]


def published_index(card: Card, layout: str) -> pd.DataFrame:
    """Return the columns that counting reads, with just as many rows as are published for a layout."""
    counts = [c for c in card.counts if c.layout in ("", layout)]
    parts = []
    for split, unit in dict.fromkeys((c.split, c.unit) for c in counts if c.unit != "subjects"):
        n = {c.code: c.n for c in counts if (c.split, c.unit) == (split, unit)}
        total = n.pop(None, sum(n.values()))
        codes = [code for code, times in n.items() for _ in range(times)]
        other = card.classes[0].code if unit == "sequences" else None  # a sequence without a class counts not
        parts.append(pd.DataFrame({"native_label": codes + [other] * (total - len(codes)), "split": split}))
    index = pd.concat(parts, ignore_index=True)
    people = next((c.n for c in counts if c.unit == "subjects"), 1)
    places = np.arange(len(index))
    return index.assign(
        is_neutral_frame=False, sequence=places.astype(str), subject=(places % people).astype(str)
    )


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_what_is_published_of_a_layout_is_not_found_wanting(name, layout):
    card = datasets.get(name).card
    report = Report(name)
    compare_counts(report, card, published_index(card, layout), layout)
    assert report.findings == []


@pytest.mark.parametrize("name", ["ferplus", "affectnet7"])
def test_the_numbers_of_another_layout_differ_by_little_and_are_no_error(name):
    card = datasets.get(name).card
    one, two = [layout for each, layout in LAYOUTS if each == name]
    for mine, other in ((one, two), (two, one)):
        report = Report(name)
        compare_counts(report, card, published_index(card, mine), other)
        assert {(f.severity, f.kind) for f in report.findings} == {("warning", "counts")}


@pytest.mark.parametrize(
    ("n", "found"),
    [
        ({"1": 600, "2": 400}, None),
        ({"1": 610, "2": 400}, ("warning", "counts", 10, 0.01)),
        ({"1": 611, "2": 400}, ("error", "enlarged", 11, 0.011)),
        ({"1": 650, "2": 350}, ("warning", "counts", 50, 0.05)),  # labels were changed
        ({"1": 600, "2": 100}, ("warning", "counts", 300, 0.3)),
    ],
)
@pytest.mark.parametrize("with_total", [True, False])
def test_a_few_more_pictures_than_published_are_no_error(n, found, with_total):
    counts = class_counts(["1", "2"], {"train": (600, 400)}, trust="page", source="here", totals=with_total)
    card = datasets.get("rafdb").card.model_copy(update={"counts": counts})
    index = pd.DataFrame({"native_label": [code for code, times in n.items() for _ in range(times)]})
    report = Report("rafdb")
    compare_counts(report, card, index.assign(split="train", is_neutral_frame=False), "")
    told = [(f.severity, f.kind, f.rows, f.share) for f in report.findings]
    assert told == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("unit", "code", "n"),
    [
        ("images", "fear", 8 * 2),
        ("images", None, 8 * 12 + 1),  # with one that carries valence and arousal only
        ("sequences", None, 8 * 6),
        ("sequences", "fear", 8),
        ("subjects", None, 8),
    ],
)
def test_counts_are_of_annotated_rows_without_first_frames(make_toy, unit, code, n):
    rows = [
        *toy_rows(8),
        {
            "sample_id": "va",
            "path": "pictures/va.png",
            "subject": "S99",
            "sequence": "S99/0",
            "valence": 0.1,
            "arousal": 0.1,
        },
    ]
    index = make_toy(rows).index
    expected = ExpectedCount(split="none", code=code, unit=unit, n=1, trust="page", source="x")
    assert count(index, expected) == n
    assert count(index.assign(sequence=None), expected.model_copy(update={"unit": "sequences"})) is None
