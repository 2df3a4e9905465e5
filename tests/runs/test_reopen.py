import pytest

from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.reopen import reopen
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.plans import plan_one


@pytest.fixture(scope="module")
def record(tiny_root, tmp_path_factory):
    workspace = Workspace(find_roots(str(tiny_root)), leave_out={"rafdb": ["test_0001"]})
    planned = plan_one(workspace, method="erm", dataset="rafdb", max_epochs=1, targets="none")
    return execute(planned, Store(tmp_path_factory.mktemp("store")), workspace)


def test_the_data_are_what_they_were(record, tiny_root):
    opened = reopen(record, find_roots(str(tiny_root)))
    assert opened.pack("rafdb", 48).fingerprint == record.targets["rafdb"].fingerprint
    assert record.excluded == {"rafdb": ("test_0001",)}
    other = reopen(record, find_roots(str(tiny_root)), leave_out={})
    assert other.pack("rafdb", 48).fingerprint != record.targets["rafdb"].fingerprint


def test_real_data_are_not_taken_for_drawn_ones(record, tiny_root):
    changed = record.model_copy(update={"data_kind": "real"})
    with pytest.raises(UsageError, match="the run is on real data and these are synthetic"):
        reopen(changed, find_roots(str(tiny_root)))
