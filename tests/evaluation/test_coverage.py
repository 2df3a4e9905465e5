from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_bench.evaluation import coverage
from fer_bench.evaluation.contributions import contributions
from fer_bench.evaluation.statistics import Answers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("coverage")


@pytest.fixture(scope="module")
def page(load_benchmark):
    return load_benchmark("coverage_page")


def test_the_shipped_table_holds_what_was_wanted():
    table = pd.read_csv(coverage.FILE)
    assert set(table["interval"]) == {coverage.CHOSEN}
    assert table["repetitions"].min() >= 1000
    error = np.sqrt(0.95 * 0.05 / table["repetitions"].min())
    enough = table[table["units"] >= coverage.ENOUGH_UNITS]
    uar = enough[enough["score"] == "uar"]
    assert len(uar) > 30
    assert uar["coverage"].between(0.92 - error, 0.97 + error).all()
    others = enough[enough["score"].isin(("accuracy", "mean", "difference"))]
    assert set(others["score"]) == {"accuracy", "mean", "difference"}
    assert others["coverage"].between(0.90, 0.99).all()
    assert (enough["coverage"] > 0.89).all()  # macro-F1 of long-tailed videos has the lowest


def test_the_page_and_the_board_quote_the_shipped_table():
    whole = pd.read_csv(ROOT / "docs" / "coverage.csv")
    own = whole[whole["interval"] == coverage.CHOSEN].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, pd.read_csv(coverage.FILE))
    assert coverage.found() in (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")


def test_the_page_is_that_of_the_stored_table_and_names_every_miss(script, page):
    whole = pd.read_csv(ROOT / "docs" / "coverage.csv")
    text = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert text == page.page(whole, script.POPULATIONS)
    own = whole[(whole["interval"] == coverage.CHOSEN) & (whole["units"] >= coverage.ENOUGH_UNITS)]
    said = dict(re.findall(r"^- \*\*(.+?)\*\*, (\d+) of \d+ settings", text, re.MULTILINE))
    for score, title in page.TITLES.items():
        missed = own[(own["score"] == score) & ~own["coverage"].between(0.92, 0.97)]
        assert int(said[title]) == len(missed)
        (line,) = [line for line in text.splitlines() if line.startswith(f"- **{title}**")]
        for row in missed.itertuples():
            assert f"{100 * row.coverage:.1f} at {row.units}" in line
            assert row.scenario in line


def test_the_sentence_tells_enough_units_from_few_and_rare_classes():
    rows = [("uar", 10, 10, 0.9), ("uar", 20, 20, 0.93), ("uar", 50, 50, 0.961), ("uar", 50, 2, 0.8)]
    rows += [("accuracy", 50, 50, 0.91), ("accuracy", 10, 10, 0.1), ("mean", 20, 20, 0.97)]
    table = pd.DataFrame(rows, columns=["score", "units", "smallest_class", "coverage"])
    text = coverage.sentence(table.assign(repetitions=1000))
    assert "93 to 97 % of samples with at least 20 units" in text
    assert "80 to 80 % where a class has fewer" in text
    assert "90 to 90 % with 10 to 19 units" in text
    assert "From 20 units on it was 91 to 91 % for accuracy, 97 to 97 % for means over targets." in text


def test_the_simulation_uses_the_packages_own_terms(script):
    rng = np.random.default_rng(0)
    hits, rows = script.SCENARIOS["persons, gaps"].draw(rng, 12)
    counts = script.confusions(rng, hits[0], rows)
    assert counts.sum(2) == pytest.approx(rows)
    k = rows.shape[1]
    triples = [
        (unit, label, answer)
        for unit, label, answer in np.ndindex(*counts.shape)
        for _ in range(int(counts[unit, label, answer]))
    ]
    unit, truth, answer = map(np.array, zip(*triples, strict=True))
    names = np.array([f"{u:02d}" for u in unit], object)
    classes = tuple("abcdefgh"[:k])
    ids = np.arange(len(unit)).astype(str).astype(object)
    given = Answers(truth, answer, names, ids, np.unique(names), len(ids), classes, classes)
    for by_class in (True, False):
        ours = script.terms(counts, by_class=by_class)
        theirs = contributions([given], np.ones(1), by_class=by_class)
        assert ours.parts == pytest.approx(theirs.parts)
        assert ours.expected == pytest.approx(theirs.expected)
        assert (ours.holds == theirs.holds).all()


def test_a_short_simulation_finds_sensible_coverage(script, monkeypatch):
    monkeypatch.setattr(script, "LARGE", 2000)
    rows = script.simulate(20, 50, ("persons, hard", "persons", "persons, gaps"))
    found = {(r["interval"], r["score"], r["scenario"]): r for r in rows}
    for score in ("uar", "accuracy", "macro_f1", "difference"):
        assert found[coverage.CHOSEN, score, "persons"]["coverage"] > 0.8
    assert found[coverage.CHOSEN, "mean", "three lab targets"]["repetitions"] == 50
    assert found[coverage.CHOSEN, "uar", "persons"]["width"] > found["percentile", "uar", "persons"]["width"]
