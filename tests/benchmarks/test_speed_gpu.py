"""The benchmark of GPUs, on a CPU: it trains what it times, and says when nothing was measured."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed import gpu
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


@pytest.mark.parametrize("name", ["erm", "ssmfar"])
@pytest.mark.parametrize("on_device", [True, False])
def test_steps_are_trained_from_a_tensor_and_from_the_pack(on_device: bool, name: str) -> None:
    """Both give a rate and probabilities of the trained network."""
    workspace = Workspace(find_roots(None), size="tiny")
    found = gpu.train(name, "fp32", workspace, steps=2, profile_name="quick", on_device=on_device)
    assert found.rate > 0
    assert torch.allclose(found.probability.sum(dim=1), torch.ones(len(found.probability)))


@pytest.mark.slow
def test_it_scores_validation_rows_and_keeps_a_profile() -> None:
    """A trained network beats chance, a sixth, on all validation rows; a profile names operations."""
    workspace = Workspace(find_roots(None), size="quick")
    options = {"profile_name": "quick", "on_device": False, "scored": True}
    found = gpu.train("erm", "fp32", workspace, steps=80, profiled=True, **options)
    assert 25 < found.uar <= 100
    assert "erm, fp32" in found.profile
    assert "convolution" in found.profile


@pytest.mark.slow
def test_two_processes_share_a_training() -> None:
    """What each of them does is added up."""
    assert gpu.shared("erm", 2, 2, "quick", "tiny") > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_without_a_gpu_the_table_says_so() -> None:
    """A table of GPUs never shows figures of a CPU."""
    report = gpu.measure(2)
    assert report.ratios == ()
    assert {cell for row in report.tables[0][2] for cell in row[2:]} == {"not measured"}
