"""The widest gap between groups of test rows, with its interval and the rows behind it."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import recall_score

from fer_bench.leaderboard.page import read_board, write_leaderboard
from fer_bench.results.store import KEPT_COLUMNS


def keep(store, record, groups):
    """Store the index of a record's own test rows, with a gender for each."""
    frame = store.predictions(record, record.dataset).frame
    index = pd.DataFrame({"sample_id": frame["sample_id"], "label": frame["label"], "group": frame["unit"]})
    index = index.reindex(columns=[*KEPT_COLUMNS, "votes"])
    index["gender"] = [groups(i) for i in range(len(index))]
    store.keep_index(record.targets[record.dataset].fingerprint, index)
    return frame, index["gender"].to_numpy()


@pytest.fixture
def gap(store, add):
    """Return the gap of a method with two seeds, and per seed the truth, answer and gender of every row."""
    records = [add("gcn", "rafdb", seed=seed, targets=()) for seed in (0, 1)]
    rows = []
    for record in records:
        frame, gender = keep(store, record, lambda i: "female" if i % 3 else "male")
        answer = [record.classes[i] for i in store.predictions(record, "rafdb").logits.argmax(axis=1)]
        rows.append((frame["label"].tolist(), answer, gender))
    board = read_board(store)
    assert board.problems == ()
    (section,) = board.sections
    return section.cell("gcn", "rafdb").in_domain.gap, rows


def test_it_is_the_difference_of_two_groups_over_all_seeds(gap):
    found, rows = gap
    assert (found.attribute, set(found.groups.groups)) == ("gender", {"female", "male"})
    assert sum(group.n for group in found.groups.groups.values()) == 400  # rows are counted once
    means = {}
    for name in ("female", "male"):
        truth = [t for labels, _, gender in rows for t, g in zip(labels, gender, strict=True) if g == name]
        answer = [a for _, given, gender in rows for a, g in zip(given, gender, strict=True) if g == name]
        means[name] = recall_score(truth, answer, labels=list(found.groups.classes), average="macro")
    assert found.size == pytest.approx(abs(means["female"] - means["male"]))


def test_its_interval_holds_units_of_both_groups_and_seeds(gap):
    found, _ = gap
    assert found.value.value == pytest.approx(found.size, abs=0.02)  # seeds averaged, not pooled
    assert found.value.interval.low < found.value.value < found.value.interval.high
    assert {part.target for part in found.value.combined.parts} == {"rafdb"}
    units = [set(part.units) for part in found.value.combined.parts]
    assert len(units) == 2
    assert not units[0] & units[1]


def test_a_group_of_few_units_gives_a_gap_without_interval(store, add):
    record = add("gcn", "oulu", targets=())  # persons with eight rows each
    keep(store, record, lambda i: "male" if i < 40 else "female")
    (section,) = read_board(store).sections
    found = section.cell("gcn", "oulu").in_domain.gap
    assert found.size > 0
    assert found.value is None


def test_pages_show_it_with_the_rows_of_both_groups(store, gap, tmp_path):
    write_leaderboard(store, tmp_path)
    first = (tmp_path / "README.md").read_text(encoding="utf-8")
    size = f"{100 * gap[0].value.value:.0f} ± "
    assert f"| [rafdb](rafdb.md) | {size}" in first
    text = (tmp_path / "rafdb.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| [gcn](methods.md#gcn) | gender |")]
    groups = gap[0].groups
    for name in (groups.lowest, groups.highest):
        assert f"{name} {100 * groups.groups[name].uar:.0f} ({groups.groups[name].n})" in row
