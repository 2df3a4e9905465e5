from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from scipy.stats import norm
from typer.testing import CliRunner

from fer_bench.cli.scores import register
from fer_bench.errors import FerBenchError
from fer_bench.leaderboard.compare import compare_named
from tests.leaderboard.conftest import SEEDED

NAMED = ("ckplus", "mmi", "oulu", "rafdb", "affectnet7", "expw", "affwild2")
app = typer.Typer()
register(app)


def compare(store, first, second):
    return compare_named(store, first, second, NAMED)


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_methods_are_compared_per_source_and_over_sources(store, seeded):
    lines = compare(store, "resemotenet", "gcn")
    assert [(x.source, x.target) for x in lines if x.score == "UAR"] == [(n, n) for n in SEEDED]
    general = [x for x in lines if x.target == "generalisation"]
    assert [x.source for x in general] == [*SEEDED, "overall"]
    assert {(x.seeds, x.note) for x in lines} == {(3, "")}
    for line in lines:
        assert line.difference == pytest.approx(line.first - line.second)
        assert line.difference > 0
        assert line.interval.low < line.difference < line.interval.high
        assert line.p < 0.05
    turned = compare(store, "gcn", "resemotenet")
    assert [x.p for x in turned] == [x.p for x in lines]
    assert [x.difference for x in turned] == [-x.difference for x in lines]


def test_methods_with_few_common_seeds_are_provisional(store, add):
    for seed in (0, 1, 2):
        add("gcn", "rafdb", skill=1.0, seed=seed, targets=())
    for seed in (2, 3, 4):
        add("cafe", "rafdb", skill=3.0, seed=seed, targets=())
    (line,) = compare(store, "cafe", "gcn")
    assert (line.p, line.seeds, line.note) == (None, 1, "provisional: 1 common seed, not tested")
    assert 0 < line.interval.low < line.difference < line.interval.high
    by_seed = [
        [r.score("rafdb").uar for r in store.records() if (r.method, r.seed) == (name, 2)]
        for name in ("cafe", "gcn")
    ]
    assert ([line.first], [line.second]) == (pytest.approx(by_seed[0]), pytest.approx(by_seed[1]))
    text = call("compare", "cafe", "gcn", "--runs-dir", store.root).stdout
    assert "provisional: 1 common seed, not tested" in text
    add("cafe", "rafdb", skill=3.0, seed=0, targets=())
    assert compare(store, "cafe", "gcn")[0].note == "provisional: 2 common seeds, not tested"
    add("cafe", "rafdb", skill=3.0, seed=1, targets=())
    (line,) = compare(store, "cafe", "gcn")
    assert (line.p < 0.01, line.seeds, line.note) == (True, 3, "")
    assert line.first == pytest.approx(
        np.mean([r.score("rafdb").uar for r in store.records() if r.method == "cafe" and r.seed < 3])
    )


def test_methods_without_a_common_seed_are_shown_only(store, add):
    add("gcn", "rafdb", seed=0, targets=())
    add("cafe", "rafdb", seed=1, targets=())
    (line,) = compare(store, "cafe", "gcn")
    assert (line.p, line.interval, line.note) == (None, None, "no common seed")


def test_runs_are_compared_row_by_row(store, add):
    one = add("gcn", "rafdb", skill=1.0, targets=("expw",))
    other = add("cafe", "rafdb", skill=1.3, targets=("expw", "affectnet7"))
    lines = compare(store, one.key, other.key[:9])
    assert [(x.target, x.score) for x in lines] == [("rafdb", "UAR"), ("expw", "transfer")]
    frames = [store.predictions(r, "rafdb") for r in (one, other)]
    truth = frames[0].frame["label"].to_numpy(object)
    right = [
        np.array(r.classes)[p.logits.argmax(1)] == truth for r, p in zip((one, other), frames, strict=True)
    ]
    weight = np.array([1 / (7 * (truth == name).sum()) for name in truth])
    apart = (right[0] * 1.0 - right[1]) * weight
    assert lines[0].difference == pytest.approx(apart.sum())
    centred = sum(apart[truth == name].var() * (truth == name).sum() for name in set(truth))
    assert lines[0].p == pytest.approx(2 * norm.sf(abs(apart.sum()) / np.sqrt(centred)), abs=0.02)
    assert lines[0].seeds == 1
    by_file = compare(store, str(store.run_dir("gcn", "rafdb", one.key).record_file), other.key)
    assert by_file == compare(store, str(store.run_dir("gcn", "rafdb", one.key).path), other.key) == lines


def test_a_run_does_not_differ_from_itself(store, add):
    record = add("gcn", "rafdb", skill=1.0, targets=("expw",), rows=60)
    for line in compare(store, record.key, record.key[:9]):
        assert (line.interval.low, line.interval.high) == (line.difference, line.difference) == (0, 0)
        assert line.p == 1


def test_other_folds_are_shown_and_not_tested(store, add):
    one, other = add(fold=1, targets=()), add(fold=2, targets=())
    (line,) = compare(store, one.key, other.key)
    assert (line.p, line.interval) == (None, None)
    assert "other rows" in line.note
    result = call("compare", one.key, other.key, "--runs-dir", store.root)
    assert "Nothing could be tested" in result.stdout


def test_runs_with_other_classes_are_compared_on_the_shared_ones(store, add):
    one, other = add("gcn", "oulu", targets=("expw",)), add("gcn", "rafdb", targets=("expw",))
    (line,) = [x for x in compare(store, one.key, other.key) if x.target == "expw"]
    assert line.source == "oulu | rafdb"
    assert line.p is not None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("gcn", "nothing", "no such method and no run"),
        ("gcn", "gcn", "cannot be compared with itself"),
        ("gcn", "lone", "not tested on a common dataset"),
    ],
)
def test_what_cannot_be_compared_is_refused(store, add, first, second, message):
    record = add("gcn", "rafdb", targets=())
    add("lone", "oulu", targets=())
    with pytest.raises(FerBenchError, match=message):
        compare(store, first, second)
    with pytest.raises(FerBenchError, match="two methods or two runs"):
        compare(store, "gcn", record.key)


def test_real_and_synthetic_runs_are_never_compared(store, add):
    one, other = add(targets=()), add(targets=(), data_kind="real")
    with pytest.raises(FerBenchError, match="never compared"):
        compare(store, one.key, other.key)


def test_the_commands_print_text_and_json(store, seeded):
    text = call("compare", "gcn", "resemotenet", "--runs-dir", store.root).stdout
    assert "synthetic, quick: gcn minus resemotenet" in text
    assert "resemotenet in 7" in text
    document = json.loads(call("compare", "gcn", "resemotenet", "--runs-dir", store.root, "--json").stdout)
    assert len(document["lines"]) == 7
    assert json.loads(call("score", "--runs-dir", store.root, "--json", "--jobs", 1).stdout)["scored"] == 18
    assert "unchanged: 18" in call("score", "--runs-dir", store.root).stdout
    file = next(store.root.rglob("rafdb@val.parquet"))
    file.write_bytes(b"no")
    failed = call("score", "--runs-dir", store.root, "--json")
    assert failed.exit_code == 1
    assert "not a readable parquet" in json.loads(failed.stdout)["problems"][0]
    with pytest.raises(FerBenchError, match="run store does not exist"):
        call("score", "--runs-dir", store.root / "absent")


def test_a_third_method_changes_nothing(store, add):
    for method, skill in (("gcn", 1.2), ("cafe", 1.3)):
        for dataset in ("rafdb", "oulu"):
            for seed in (0, 1, 2):
                add(method, dataset, skill=skill, seed=seed, targets=("expw", "rafdb", "oulu"))
    alone = compare(store, "gcn", "cafe")
    add("resemotenet", "rafdb", skill=2.0, targets=("expw",))
    add("resemotenet", "oulu", skill=2.0, fold=2, seed=5)
    assert compare(store, "gcn", "cafe") == alone
    assert [x.p is not None for x in alone] == [True, True]
