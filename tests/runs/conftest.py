import pytest
import torch

from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.plans import plan_one
from tests.results.conftest import record

__all__ = ["record"]

SMALL = ("method.width=0.03", "train.batch_size=16")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def workspace(tiny_root):
    return Workspace(find_roots(str(tiny_root)))


@pytest.fixture(scope="session")
def plan(workspace):
    """Plan a small run on the tiny data or another workspace; keyword arguments see `plan_one`."""

    def make(at=workspace, **changes):
        values = {
            "method": "resemotenet",
            "dataset": "oulu",
            "protocol": "6-4fold",
            "fold": 1,
            "seed": 0,
            "profile": "quick",
            "overrides": SMALL,
            "max_epochs": 3,
            "targets": ["rafdb"],
        }
        return plan_one(at, **{**values, **changes})

    return make


@pytest.fixture
def plain(monkeypatch):
    """Register the method `plain` of these tests."""
    from fer_bench import methods

    monkeypatch.setitem(methods.REGISTRY.targets, "plain", "tests.runs.plain_method:Plain")
    return "plain"


@pytest.fixture
def plain_plan(plan, plain):
    def make(**changes):
        return plan(**{"method": plain, "overrides": (), "keep_checkpoints": True, **changes})

    return make
