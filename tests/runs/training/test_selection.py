"""When epochs are written: as often as a share of the time allows, and after some minutes at the latest."""

import math
from types import SimpleNamespace

import pytest

from fer_bench.config import TrainSettings
from fer_bench.runs.training import selection
from fer_bench.runs.training.selection import EpochSelection


@pytest.mark.parametrize(
    ("cost", "passed", "epoch", "is_due"),
    [
        (math.inf, 0, 0, True),
        (1, 99, 3, False),
        (1, 101, 3, True),
        (10, 299, 3, False),
        (10, 301, 3, True),
        (10, 0, 8, True),
    ],
    ids=["nothing written yet", "too soon", "a share", "too soon, slow disk", "five minutes", "last epoch"],
)
def test_an_epoch_is_written_when_it_is_time(monkeypatch, tmp_path, cost, passed, epoch, is_due):
    found = EpochSelection(tmp_path, validates=True, train=TrainSettings(max_epochs=9))
    found._written, found._cost = 0.0, cost
    monkeypatch.setattr(selection.time, "perf_counter", lambda: float(passed))
    asked = []
    strategy = SimpleNamespace(broadcast=lambda due: asked.append(due) or due)
    trainer = SimpleNamespace(should_stop=False, current_epoch=epoch, max_epochs=9, strategy=strategy)
    assert found._is_due(trainer) is is_due
    assert asked == [is_due]  # the first process decides for all
    trainer.should_stop = True
    assert found._is_due(trainer)
