import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from fer_bench.methods.distilled.losses import imitation_loss, similarity_loss

STUDENT = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
TEACHER = torch.tensor([[2.0, 0.0, 0.0], [1.0, -1.0, 2.0]])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_imitation_is_the_divergence_of_softened_answers(temperature):
    p = softmax(TEACHER.numpy() / temperature, axis=1)
    rows = (p * (np.log(p) - log_softmax(STUDENT.numpy() / temperature, axis=1))).sum(axis=1)
    found = imitation_loss(STUDENT, TEACHER, temperature)
    assert found.item() == pytest.approx(temperature**2 * rows.mean(), rel=1e-5)
    assert imitation_loss(TEACHER, TEACHER, temperature).item() == pytest.approx(0, abs=1e-6)


def test_similarity_is_the_distance_of_gram_matrices_with_rows_of_unit_length():
    student, teacher = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    grams = []
    for features in (student, teacher):
        gram = features @ features.T
        grams.append(gram / np.linalg.norm(gram, axis=1, keepdims=True))
    wanted = ((grams[0] - grams[1]) ** 2).sum() / 2
    found = similarity_loss(torch.tensor(student), torch.tensor(teacher))
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_similarity_does_not_depend_on_size_scale_or_rotation():
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    turned = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    assert similarity_loss(3 * features @ turned, features).item() == pytest.approx(0, abs=1e-6)
    assert 0 < similarity_loss(torch.eye(6), torch.ones(6, 3)).item() <= 4


def test_gradients_reach_the_student_alone():
    student, teacher = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    total = imitation_loss(student, teacher.detach(), 2.0) + similarity_loss(student, teacher.detach())
    total.backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
