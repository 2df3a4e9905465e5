import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep packs and drawn faces of the tests away from the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FER_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("FER_BENCH_DATA", raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A data root with tiny synthetic stand-ins of two lab sets and one wild set."""
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("tiny")
    for name in ("oulu", "ckplus", "rafdb"):
        layouts.write(name, root, size="tiny")
    return root
