import json
import shutil

import pytest
import torch
from torch import nn

from fer_bench.errors import UsageError
from fer_bench.inference.efficiency import LEAST_ROUNDS, ROUNDS, alternate, measure, parameters_read, rows_of
from fer_bench.methods.size import count_parameters
from fer_bench.results.efficiency import BATCHES
from fer_bench.results.store import Store
from tests.inference.models import saved


class Partly(nn.Module):
    """Reads a frozen layer and one that is trained; another helps training only."""

    def __init__(self):
        super().__init__()
        self.frozen, self.read, self.unread = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 100)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.read(self.frozen(x))


def test_parameters_are_those_that_the_answer_depends_on():
    assert parameters_read(Partly(), torch.zeros(1, 3)) == (3 * 4 + 4) + (4 * 2 + 2)


def test_what_predicts_is_counted_and_what_only_trains_is_not(tmp_path):
    images = torch.zeros(1, 3, 64, 64)
    gcn = saved(tmp_path, method="gcn", variant="S1R1").method
    unread = count_parameters(gcn.network.decoder2)
    assert unread > 0
    assert parameters_read(gcn, images) == count_parameters(gcn) - unread
    cafe = saved(tmp_path, method="cafe").method
    frozen = sum(p.numel() for p in cafe.network.parameters() if not p.requires_grad)
    side = cafe.input_spec(cafe.settings).size
    assert parameters_read(cafe, torch.zeros(1, 3, side, side)) > frozen > 0


def test_calls_take_turns_and_each_is_first_as_often(monkeypatch):
    log, ticks = [], iter(range(10_000))
    calls = [lambda name=name: log.append(name) for name in "abc"]
    times = alternate(calls, lambda: next(ticks))
    assert log[:6] == [*"aabbcc"]  # the two that are not counted
    rounds = [log[6:][at : at + 3] for at in range(0, 3 * ROUNDS, 3)]
    assert all(sorted(one) == [*"abc"] for one in rounds)
    assert [sum(one[0] == name for one in rounds) for name in "abc"] == [ROUNDS // 3] * 3
    assert times == [[1] * ROUNDS] * 3


def test_slow_models_get_fewer_rounds(monkeypatch):
    monkeypatch.setattr("fer_bench.inference.efficiency.SECONDS", 0.0)
    assert [len(one) for one in alternate([lambda: None], lambda: 0.0)] == [LEAST_ROUNDS]


def test_a_store_is_measured(trained_store):
    (row,) = rows_of(trained_store)
    before = torch.get_num_threads()
    found = measure(trained_store, [row])
    assert torch.get_num_threads() == before
    (model,) = found.models
    (record,) = trained_store.records()
    assert (row.label, model.key, model.checkpoint) == ("resemotenet", record.key, record.checkpoint)
    assert model.parameters == record.parameters
    assert set(model.seconds) == set(BATCHES)
    assert 0 < model.seconds[1] < model.seconds[32]
    assert (found.device, found.threads, found.failed) == ("cpu", 1, {})
    assert found.processor == record.environment["cpu"]


def test_another_run_stands_in_for_one_that_cannot_be_read_and_a_row_without_any_is_said(
    trained_store, tmp_path
):
    store = Store(shutil.copytree(trained_store.root, tmp_path / "runs"))
    (run,) = store.run_dirs()
    record = json.loads(run.record_file.read_text())
    twin = run.path.with_name("0" * 16)
    shutil.copytree(run.path, twin)
    (twin / "record.json").write_text(json.dumps({**record, "key": "0" * 16, "seed": 7}))
    (twin / "checkpoints" / "val.pt").write_bytes(b"not a checkpoint")
    (row,) = rows_of(store)
    assert len(row.records) == 2
    found = measure(store, [row])
    assert ([model.key for model in found.models], found.failed) == ([record["key"]], {})
    (run.path / "checkpoints" / "val.pt").unlink()
    found = measure(store, [row])
    assert found.models == ()
    (why,) = found.failed.values()
    assert why.startswith("resemotenet: ")


def test_a_store_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no finished run"):
        rows_of(Store(tmp_path))
