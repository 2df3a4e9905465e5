from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fer_bench.evaluation import confusion
from fer_bench.evaluation.metrics import BUILT_IN

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear")
rows = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(rows)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_agrees_with_scikit_learn_also_with_absent_classes(pairs):
    labels, predicted = map(list, zip(*pairs, strict=True))
    present = sorted(set(labels))
    truth, answer = (confusion.class_codes(names, CLASSES) for names in (labels, predicted))
    matrix = confusion.count_pairs(truth, answer, len(CLASSES))
    assert (matrix == reference.confusion_matrix(labels, predicted, labels=list(CLASSES))).all()
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=list(CLASSES), zero_division=0
    )
    has_rows = support > 0
    assert confusion.accuracy(matrix) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert confusion.uar(matrix) == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert confusion.macro_f1(matrix) == pytest.approx(
        reference.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    assert confusion.recalls(matrix)[has_rows] == pytest.approx(recall[has_rows])
    defined = np.isfinite(confusion.f1s(matrix))
    assert defined.tolist() == [name in {*labels, *predicted} for name in CLASSES]
    assert confusion.f1s(matrix)[defined] == pytest.approx(f1[defined])
    assert np.nan_to_num(confusion.precisions(matrix)) == pytest.approx(precision)
    if len(present) > 1:
        adjusted = reference.balanced_accuracy_score(labels, predicted, adjusted=True)
        assert confusion.transfer(matrix) == pytest.approx(adjusted)


@settings(deadline=None, max_examples=60)
@given(rows)
def test_macro_f1_agrees_with_torchmetrics_also_with_absent_classes(pairs):
    from torchmetrics.functional.classification import multiclass_f1_score

    truth, answer = (confusion.class_codes(names, CLASSES) for names in zip(*pairs, strict=True))
    matrix = confusion.count_pairs(truth, answer, len(CLASSES))
    theirs = multiclass_f1_score(torch.tensor(answer), torch.tensor(truth), len(CLASSES), average="macro")
    assert confusion.macro_f1(matrix) == pytest.approx(float(theirs), abs=1e-6)


def test_a_class_that_is_answered_and_absent_counts_as_zero_in_macro_f1_alone():
    matrix = np.array([[1, 0, 1], [0, 2, 0], [0, 0, 0]])
    assert confusion.f1s(matrix) == pytest.approx([2 / 3, 1, 0])
    assert confusion.macro_f1(matrix) == pytest.approx(5 / 9)
    assert confusion.macro_f1(matrix[:2, :2]) == pytest.approx(1)
    assert confusion.uar(matrix) == pytest.approx(3 / 4)


def test_any_leading_axes_give_what_single_matrices_give():
    stack = np.random.default_rng(0).integers(0, 5, (3, 4, 6, 6))
    stack[0, 0, 2] = 0
    for metric in BUILT_IN:
        whole = metric.function(stack)
        assert whole.shape == (3, 4)
        assert whole[1, 2] == metric.function(stack[1, 2])
        assert whole[0, 0] == metric.function(stack[0, 0])


def test_undefined_scores_are_nan_and_a_class_never_answered_has_f1_zero():
    empty = np.zeros((3, 3))
    assert all(np.isnan(metric.function(empty)) for metric in BUILT_IN)
    one_class = np.diag([5, 0, 0])
    assert confusion.uar(one_class) == 1
    assert np.isnan(confusion.transfer(one_class))
    never = np.array([[0, 4], [0, 4]])
    assert confusion.f1s(never)[0] == 0
    assert np.isnan(confusion.precisions(never)[0])


def test_guessing_is_zero_perfect_is_one_and_all_wrong_is_negative():
    assert confusion.transfer(np.full((4, 4), 3)) == pytest.approx(0)
    assert confusion.transfer(np.diag([1, 2, 3])) == 1
    assert confusion.transfer(np.array([[0, 5], [5, 0]])) == -1


def test_missing_and_foreign_names_have_no_position():
    assert confusion.class_codes(["anger", None, "fear"], CLASSES).tolist() == [-1, -1, 4]


@pytest.mark.parametrize(
    ("uar", "k", "expected"), [(0.25, 4, 0.0), (1.0, 6, 1.0), (0.0, 2, -1.0), (1.0, 1, np.nan)]
)
def test_transfer_is_uar_corrected_for_chance(uar, k, expected):
    matrix = np.full((k, k), (1 - uar) / max(k - 1, 1)) + np.eye(k) * (uar - (1 - uar) / max(k - 1, 1))
    assert confusion.uar(matrix) == pytest.approx(uar)
    assert confusion.transfer(matrix) == pytest.approx(expected, nan_ok=True)
