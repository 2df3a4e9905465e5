from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_bench.evaluation import coverage
from fer_bench.evaluation.estimates import estimate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("coverage")


@pytest.fixture(scope="module")
def populations(load_benchmark):
    return load_benchmark("coverage_populations")


def test_the_shipped_table_is_that_of_the_docs():
    assert coverage.FILE.read_bytes() == (ROOT / "docs" / "coverage.csv").read_bytes()


def test_the_page_is_made_from_the_table(load_benchmark, populations):
    texts = {name: one.text for name, one in populations.POPULATIONS.items()}
    page = load_benchmark("coverage_page").page(pd.read_csv(coverage.FILE), texts)
    assert page == (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert coverage.found() in " ".join(page.split())


def test_the_shipped_table_covers_what_was_asked_for():
    table = pd.read_csv(coverage.FILE)
    places = set(table[["population", "units"]].itertuples(index=False, name=None))
    assert {("persons", n) for n in (11, 40, 118)} | {("videos", 38)} <= places
    assert {(f"pictures, {kind}", n) for kind in ("even", "uneven") for n in (300, 3000)} <= places
    assert {*table["seed_sd"]} == {0.0, 0.02, 0.04}
    assert {3, 5} <= {*table["seeds"]}
    assert {0.5, 0.98} <= {*table["level"]}


@pytest.mark.parametrize(
    ("name", "units"), [("persons", 11), ("persons", 40), ("persons", 118), ("videos", 38)]
)
def test_the_shipped_table_holds_what_was_wanted_of_persons_and_videos(name, units):
    held_as_wanted(name, units)


@pytest.mark.parametrize("name", ["pictures, even", "pictures, uneven"])
@pytest.mark.parametrize("units", [300, 3000])
def test_the_shipped_table_holds_what_was_wanted_of_pictures(name, units):
    held_as_wanted(name, units)


def held_as_wanted(name, units):
    """Check the means over levels and seeds, for each scatter of seeds: a thousand samples or more."""
    table = pd.read_csv(coverage.FILE)
    table = table[
        (table["population"] == name) & (table["units"] == units) & (table["level"] <= coverage.USUAL)
    ]
    for sd, part in table[table["seeds"] > 1].groupby("seed_sd"):
        means = part.groupby("score")["held"].mean()
        samples = part[part["score"] == "uar"]["repetitions"].sum()
        assert samples >= 1000
        slack = 2 * np.sqrt(0.92 * 0.08 / samples)
        for score in ("uar", "accuracy"):
            assert 0.92 - slack <= means[score] <= 0.985, (score, sd)
        assert 0.94 <= means[coverage.TEST] <= 0.99, sd
        if coverage.FAMILY in means:
            assert means[coverage.FAMILY] >= 0.94, sd


def test_the_sentence_gives_the_range_of_each_score():
    place = {"population": "persons", "units": 40, "level": 0.75, "seeds": 3, "seed_sd": 0.02}
    place |= {"methods": 2}
    table = pd.DataFrame(
        [
            {**place, "score": "uar", "held": 0.941, "repetitions": 100},
            {**place, "score": "uar", "held": 0.9612, "repetitions": 100},
            {**place, "score": "macro_f1", "held": 0.97, "repetitions": 100},
            {**place, "score": "test", "held": 0.955, "repetitions": 100},
            {**place, "methods": 5, "score": "any pair", "held": 0.94, "repetitions": 100},
            {**place, "methods": 12, "score": "any pair", "held": 0.935, "repetitions": 100},
            {**place, "level": 0.98, "score": "uar", "held": 0.99, "repetitions": 100},
        ]
    )
    text = coverage.sentence(table)
    assert "94 to 97 % for UAR, 97 to 97 % for macro-F1" in text
    assert "Two equal methods alone were called different in 4 to 5 %, and some pair of 5 or 12 equal" in text
    assert "equal methods in 6 to 7 %" in text
    assert (
        "Where 98 % of the rows are right, intervals of UAR, accuracy and macro-F1 held it in 99 to 99 %"
        in text
    )


@pytest.mark.long
@pytest.mark.parametrize(("name", "units"), [("persons", 30), ("videos", 20), ("pictures, uneven", 400)])
def test_populations_have_the_scores_they_claim(populations, name, units):
    case = populations.Case(name, units, 0.75, 2, 0.03)
    known = populations.truths(case)
    assert known[0].scores["uar"] == pytest.approx(0.75, abs=0.002)
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"uar": [], "accuracy": [], "macro_f1": []}
    for _ in range(60):
        first = estimate(populations.sample(case, rng)[0], "target", seeds=(0, 1))
        for score, values in found.items():
            values.append(first.values[score].value)
    for score, values in found.items():
        error = np.std(values) / np.sqrt(len(values))
        assert np.mean(values) == pytest.approx(known[0].scores[score], abs=4 * error + 0.01), score


def test_seeds_scatter_as_much_as_the_case_says(populations):
    case = populations.Case("pictures, even", 4000, 0.75, 200, 0.03)
    models = populations.sample(case, np.random.default_rng(0))[0]
    found = estimate(models, "target", seeds=range(200)).by_seed["uar"]
    assert np.std(list(found.values())) == pytest.approx(0.03, abs=0.008)


def test_a_simulation_counts_what_was_held(script, populations):
    rows = script.simulate(populations.Case("persons", 11, 0.75, 3, 0.02), 8)
    assert {row["score"] for row in rows} == {
        *script.SCORES,
        "difference",
        "two-level bootstrap",
        "test",
    }
    assert all(0 <= row["held"] <= 1 and row["repetitions"] == 8 for row in rows)
    assert next(row for row in rows if row["score"] == "uar")["held"] >= 0.5


def test_an_interval_of_one_seed_s_models_holds_the_units_only(script, populations):
    rows = script.simulate(populations.Case("persons", 40, 0.75, 1, 0.0), 5)
    assert {row["score"] for row in rows} == {*script.SCORES, "difference"}
