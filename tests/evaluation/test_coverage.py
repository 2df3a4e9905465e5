from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_bench.evaluation import coverage
from fer_bench.evaluation.contributions import contributions
from fer_bench.evaluation.statistics import Answers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", ROOT / "benchmarks" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_shipped_table_holds_what_was_wanted():
    table = pd.read_csv(coverage.FILE)
    assert set(table["interval"]) == {coverage.CHOSEN}
    assert table["repetitions"].min() >= 1000
    enough = table[(table["units"] >= 20) & (table["smallest_class"] >= 5)]
    assert len(enough) > 20
    error = np.sqrt(0.95 * 0.05 / table["repetitions"].min())
    assert enough["coverage"].between(0.92 - error, 0.97 + error).all()


def test_the_page_and_the_board_quote_the_shipped_table():
    whole = pd.read_csv(ROOT / "docs" / "coverage.csv")
    own = whole[whole["interval"] == coverage.CHOSEN].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, pd.read_csv(coverage.FILE))
    assert coverage.found() in (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")


def test_the_sentence_tells_enough_units_from_few_and_rare_classes():
    rows = [("uar", 10, 10, 0.9), ("uar", 20, 20, 0.93), ("uar", 50, 50, 0.961), ("uar", 50, 2, 0.8)]
    rows.append(("accuracy", 50, 50, 0.1))
    table = pd.DataFrame(rows, columns=["score", "units", "smallest_class", "coverage"])
    text = coverage.sentence(table.assign(repetitions=1000))
    assert "93 to 97 % of samples with at least 20 units" in text
    assert "80 to 80 % where a class has fewer" in text
    assert "90 to 90 % with 10 to 19 units" in text


def test_the_simulation_uses_the_packages_own_terms(script):
    hits, rows = script.SCENARIOS["persons, gaps"].draw(np.random.default_rng(0), 12)
    truth, answer, units = [], [], []
    k = rows.shape[1]
    for unit, label in np.ndindex(*rows.shape):
        right, count = int(hits[unit, label]), int(rows[unit, label])
        truth += [label] * count
        answer += [label] * right + [(label + 1) % k] * (count - right)
        units += [f"{unit:02d}"] * count
    names = np.array(units, object)
    classes = tuple("abcdefgh"[:k])
    ids = np.arange(len(units)).astype(str).astype(object)
    given = Answers(
        np.array(truth), np.array(answer), names, ids, np.unique(names), len(ids), classes, classes
    )
    ours, theirs = script.terms(hits, rows), contributions([given], np.ones(1))
    assert ours.parts == pytest.approx(theirs.parts)
    assert ours.expected == pytest.approx(theirs.expected)
    assert (ours.holds == theirs.holds).all()


def test_a_short_simulation_finds_sensible_coverage(script):
    found = {(r["interval"], r["score"]): r for r in script.simulate("persons", 20, 60)}
    assert found[coverage.CHOSEN, "uar"]["coverage"] > 0.85
    assert found[coverage.CHOSEN, "uar"]["width"] > found["percentile", "uar"]["width"]
