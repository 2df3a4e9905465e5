import numpy as np
import pandas as pd
import pytest

from fer_bench.evaluation.statistics import Answers
from tests.results.conftest import record

__all__ = ["record"]
CLASSES = ("fear", "anger")


@pytest.fixture(scope="module")
def light(load_benchmark):
    return load_benchmark("light_models")


def answers(right):
    """Answers on 40 rows, of which the first ones are right."""
    truth = np.arange(40) % 2
    answer = np.where(np.arange(40) < right, truth, 1 - truth)
    names = np.array([f"r{row}" for row in range(40)], object)
    return Answers(truth, answer, names, names, 40, CLASSES, CLASSES)


def form(light, record, kind, taught, bits, right, seed, size, time):
    method = "cafe" if taught is None else "distilled" if taught else "erm"
    known = record(
        method=method,
        dataset="rafdb",
        classes=CLASSES,
        seed=seed,
        parameters=1000,
        multiply_adds=5,
        rows={"train": 90, "test": 40},
        generator={"size": "tiny"},
    )
    found = {"rafdb": answers(right), "oulu": answers(right - 4)}
    return light.Tested(light.Trained(kind, taught, known), bits, found, size, {1: time, 32: time})


@pytest.fixture
def frame(light, record):
    rows = []
    for seed in (0, 1):
        for kind, taught, right, time in (
            ("teacher", None, 36, 1.0),
            ("small", True, 32, 0.5),
            ("small", False, 24, 0.5),
        ):
            for bits in (32, 8):
                less, size = (2, 2**18) if bits == 8 else (0, 2**20)
                rows.append(form(light, record, kind, taught, bits, right - less, seed, size, time))
    return light.table(rows)


def test_a_row_averages_the_seeds_of_one_form_of_a_network(frame):
    assert len(frame) == 6
    assert set(frame["seeds"]) == {2}
    student = frame[(frame["learns from"] == "labels and teacher") & (frame["bits"] == 32)].iloc[0]
    assert student["accuracy"] == pytest.approx(0.8)
    assert student["transfer"] == pytest.approx(2 * (0.7 - 0.5))
    assert student["size"] == 2**20


def test_the_gain_is_that_over_the_same_network_from_labels_alone(frame):
    gains = frame.set_index(["network", "learns from", "bits"])["uar_gain"]
    assert gains[("small", "labels and teacher", 32)] == pytest.approx(0.2)
    assert gains[("small", "labels and teacher", 8)] == pytest.approx(0.2)
    assert gains.notna().sum() == 2


def test_the_page_says_synthetic_and_prints_what_was_found(frame, record, tmp_path, load_benchmark):
    page = load_benchmark("light_models_page")
    known = record(rows={"train": 90, "test": 40}, generator={"size": "tiny"})
    page.write_page(frame, known, tmp_path)
    text = (tmp_path / "light-models.md").read_text(encoding="utf-8")
    assert "**SYNTHETIC DATA.**" in text
    assert "size `tiny` (90 training and 40 test rows" in text
    assert "| small | labels and teacher | 32 | 1,000 | 1.00 | 0.50 | 0.50 | 80.0 [" in text
    assert "8 bits change UAR by -5.0 to -5.0 points" in text
    assert (tmp_path / "light-models.png").stat().st_size > 10_000
    assert len(pd.read_csv(tmp_path / "light-models.csv")) == 6


def test_a_loss_is_told_as_a_loss(record, frame, load_benchmark):
    page = load_benchmark("light_models_page")
    low, high = frame["uar_gain_low"], frame["uar_gain_high"]
    worse = frame.assign(uar_gain=-frame["uar_gain"], uar_gain_low=-high, uar_gain_high=-low)
    known = record(rows={"train": 90, "test": 40}, generator={"size": "tiny"})
    assert "1 gained UAR from the teacher and 0 lost" in page.page(frame, known)
    assert "0 gained UAR from the teacher and 1 lost" in page.page(worse, known)
