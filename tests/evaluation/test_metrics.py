from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fer_bench.evaluation import metrics

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear")
rows = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(rows)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_agrees_with_scikit_learn_also_with_absent_classes(pairs):
    labels, predicted = map(list, zip(*pairs, strict=True))
    present = sorted(set(labels))
    matrix = metrics.confusion(labels, predicted, CLASSES)
    assert (matrix == reference.confusion_matrix(labels, predicted, labels=list(CLASSES))).all()
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=list(CLASSES), zero_division=0
    )
    has_rows = support > 0
    assert metrics.accuracy(matrix) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.uar(matrix) == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert metrics.macro_f1(matrix) == pytest.approx(
        reference.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    assert metrics.recalls(matrix)[has_rows] == pytest.approx(recall[has_rows])
    assert metrics.f1s(matrix)[has_rows] == pytest.approx(f1[has_rows])
    assert np.nan_to_num(metrics.precisions(matrix)) == pytest.approx(precision)
    if len(present) > 1:
        adjusted = reference.balanced_accuracy_score(labels, predicted, adjusted=True)
        assert metrics.transfer(matrix) == pytest.approx(adjusted)


def test_any_leading_axes_give_what_single_matrices_give():
    stack = np.random.default_rng(0).integers(0, 5, (3, 4, 6, 6))
    stack[0, 0, 2] = 0
    for metric in metrics.METRICS.values():
        whole = metric(stack)
        assert whole.shape == (3, 4)
        assert whole[1, 2] == metric(stack[1, 2])
        assert whole[0, 0] == metric(stack[0, 0])


def test_undefined_scores_are_nan_and_a_class_never_answered_has_f1_zero():
    empty = np.zeros((3, 3))
    assert all(np.isnan(metric(empty)) for metric in metrics.METRICS.values())
    one_class = np.diag([5, 0, 0])
    assert metrics.uar(one_class) == 1
    assert np.isnan(metrics.transfer(one_class))
    never = np.array([[0, 4], [0, 4]])
    assert metrics.f1s(never)[0] == 0
    assert np.isnan(metrics.precisions(never)[0])


def test_guessing_is_zero_perfect_is_one_and_all_wrong_is_negative():
    assert metrics.transfer(np.full((4, 4), 3)) == pytest.approx(0)
    assert metrics.transfer(np.diag([1, 2, 3])) == 1
    assert metrics.transfer(np.array([[0, 5], [5, 0]])) == -1


def test_a_name_outside_the_classes_is_refused():
    with pytest.raises(ValueError, match="among the classes"):
        metrics.confusion(["fear"], ["anger"], CLASSES)
