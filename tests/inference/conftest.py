import shutil

import numpy as np
import pytest

from fer_bench.results.store import Store
from tests.runs.conftest import plain, plan, workspace

__all__ = ["plain", "plan", "workspace"]


@pytest.fixture(scope="session")
def trained_store(plan, workspace, tmp_path_factory):
    """A store with one finished run of one epoch on tiny drawn faces."""
    from fer_bench.runs.execute import execute

    store = Store(tmp_path_factory.mktemp("trained"))
    planned = plan(targets="none", max_epochs=1)
    assert execute(planned, store, workspace).status == "done"
    return store


@pytest.fixture(scope="session")
def trained(trained_store):
    """The folder of that run; tests must not change it."""
    (run,) = trained_store.run_dirs()
    return run.path


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A copy of its checkpoint outside the store."""
    return shutil.copy(trained / "checkpoints" / "val.pt", tmp_path / "copied.pt")


@pytest.fixture(scope="session")
def crops():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
