"""The size `full`: counts of the real ones, planned at once and without much memory, and readable."""

import tracemalloc
from collections import Counter

import pytest

from fer_bench.datasets import get
from fer_bench.emotions import Emotion
from fer_bench.synthetic import layouts
from fer_bench.synthetic.layouts import affectnet7, affwild2, ckplus, expw, fer2013, rafdb
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.truth import TRUTH, join_truth, read_truth, write_truth

NAMES = layouts.names()
DEALT = {
    "ckplus": {"none": ckplus._COUNTS["full"]},
    "rafdb": dict(zip(("train", "test"), rafdb._COUNTS["full"], strict=True)),
    "affectnet7": dict(zip(("train", "val"), affectnet7._COUNTS["full"], strict=True)),
    "expw": {"none": expw._COUNTS["full"]},
    "fer2013": dict(zip(("train", "val", "test"), fer2013._COUNTS["full"], strict=True)),
}
PICTURES = {  # at least and at most
    "mmi": (10_000, 30_000),
    "oulu": (40_000, 90_000),
    "rafdb": (15_339, 15_339),
    "affectnet7": (291_650, 291_650),
    "expw": (91_793, 110_000),
    "affwild2": (160_000, 180_000),
    "fer2013": (35_887, 35_887),
    "ferplus": (35_887, 35_887),
}


def planned(name, root):
    return layouts._WRITERS[name](root, Population(name), "full")


@pytest.mark.parametrize("name", DEALT)
def test_full_counts_are_those_of_the_card(name):
    card = get(name).card
    sources = [e for e in card.counts if e.code is not None and e.layout != "csv lists"]
    assert sources
    for expected in sources:
        emotion = card.emotion_of(expected.code)
        assert DEALT[name][expected.split][Emotion(emotion)] == expected.n, (name, expected)


@pytest.mark.parametrize("name", NAMES)
def test_planning_full_takes_little_and_writes_nothing(name, tmp_path):
    tracemalloc.start()
    plan = planned(name, tmp_path / name)
    pictures = sum(job.pictures for job in plan.jobs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
    low, high = PICTURES.get(name, (0, 10**9))
    assert low <= pictures <= high
    assert not list(tmp_path.iterdir())


def test_full_lab_sets_have_their_sequences(tmp_path):
    assert len(planned("ckplus", tmp_path).jobs) == 593
    assert len(planned("oulu", tmp_path).jobs) == 6 * 479  # one sequence is missing
    assert len(planned("affwild2", tmp_path).jobs) == 307


def test_full_affwild2_deals_expressions_as_the_real_one():
    dealt = Counter(affwild2._dealt(affwild2._SHARES["train"], 10_000))
    total = sum(affwild2._SHARES["train"])
    for emotion, count in zip(affwild2._ORDER, affwild2._SHARES["train"], strict=True):
        assert abs(dealt[emotion] - 10_000 * count / total) <= 1
    assert set(Counter(affwild2._dealt([1] * 8, 16)).values()) == {2}


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("ckplus", (0, 1, -1)),
        ("mmi", (0, -1)),
        ("oulu", (0, 6, 30)),
        ("rafdb", (0, -1)),
        ("affectnet7", (0, -1)),
        ("expw", (0, -1)),
        ("affwild2", (0, -1)),
        ("fer2013", (0, -1)),
        ("ferplus", (0, -1)),
    ],
)
def test_the_reader_accepts_what_the_first_and_last_jobs_of_full_write(name, numbers, tmp_path):
    root = tmp_path / name
    plan = planned(name, root)
    done = {number % len(plan.jobs): plan.jobs[number].run() for number in numbers}
    plan.finish([done[i].lines if i in done else [] for i in range(len(plan.jobs))])
    write_truth(root / TRUTH, (row for i in sorted(done) for row in done[i].truth))
    index = get(name)(tmp_path).index
    assert len(index) >= len(numbers)
    if name not in ("fer2013", "ferplus"):  # whose rows are counted in the csv, of which most are not written
        joined = join_truth(index, read_truth(root))
        labelled = joined[joined["native_label"].notna()]
        assert labelled["label"].tolist() == labelled["true_label"].tolist()
