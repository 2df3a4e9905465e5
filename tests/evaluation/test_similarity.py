import numpy as np
import pytest
from scipy.stats import spearmanr

from fer_bench.evaluation.similarity import LEAST_ROWS, Faces, explained, likeness


def faces(seed, shift=0.0, n=200, labels=("fear", "anger")):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, 8)) + shift
    named = np.array([labels[i % len(labels)] for i in range(n)], object)
    return Faces(features, named, np.array([f"p{i // 4}" for i in range(n)], object))


def test_the_same_population_cannot_be_told_apart():
    found = likeness(faces(0), faces(1))
    assert abs(found.told_apart - 0.5) < 0.12
    assert found.distance < 0.15


def test_a_shift_is_told_and_measured_in_standard_deviations_within_an_expression():
    found = likeness(faces(0), faces(1, shift=2.0))
    assert found.told_apart > 0.95
    # A shift of 2 in each of 8 dimensions, of which each has a standard deviation of 1.
    assert found.distance == pytest.approx(2.0, abs=0.1)
    assert found.expressions == ("anger", "fear")


def test_people_are_not_on_both_sides():
    """Faces of a person are alike: a classifier that saw them would tell apart datasets that are the same."""
    generator = np.random.default_rng(0)
    people = generator.normal(scale=5, size=(40, 8))
    features = people.repeat(10, axis=0) + generator.normal(size=(400, 8))
    units = np.array([f"p{i // 10}" for i in range(400)], object)
    labels = np.array(["fear", "anger"] * 200, object)
    one = Faces(features[:200], labels[:200], units[:200])
    other = Faces(features[200:], labels[200:], units[200:])
    assert likeness(one, other).told_apart < 0.75


def test_rare_and_never_transferred_expressions_have_no_distance():
    few = faces(1, n=2 * (LEAST_ROWS - 1))
    assert np.isnan(likeness(faces(0), few).distance)
    assert likeness(
        faces(0, labels=("contempt", "fear")), faces(1, labels=("contempt", "fear"))
    ).expressions == ("fear",)


def test_the_correlation_is_spearmans_and_its_p_value_counts_namings():
    names = ["a", "b", "c", "d", "e"]
    place = dict(zip(names, range(5), strict=True))
    measure = {frozenset((a, b)): abs(place[a] - place[b]) for a in names for b in names if a != b}
    transfer = {(a, b): -abs(place[a] - place[b]) + 0.01 * place[a] for a in names for b in names if a != b}
    found = explained(names, measure, transfer)
    pairs = list(transfer)
    expected = spearmanr([measure[frozenset(p)] for p in pairs], [transfer[p] for p in pairs]).statistic
    assert found.rho == pytest.approx(expected)
    assert found.pairs == 20
    # Of 120 namings the identity and the reversal give the same distances.
    assert found.p == pytest.approx(2 / 120, abs=0.01)


def test_few_datasets_explain_nothing():
    assert explained(["a", "b", "c"], {}, {("a", "b"): 0.1}) is None
