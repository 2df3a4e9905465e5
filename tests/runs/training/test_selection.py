"""When epochs are written, and that weights and state agree wherever a run is killed."""

import math
import multiprocessing
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from lightning import Trainer

from fer_bench.config import TrainSettings
from fer_bench.methods.base import Method
from fer_bench.methods.weights import state_hash
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.training import selection
from fer_bench.runs.training.checkpoints import load_weights
from fer_bench.runs.training.selection import EpochSelection
from tests.runs.test_execute import lasting_files


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
    found = EpochSelection(tmp_path, validates=True, train=TrainSettings(max_epochs=9, batch_size=4))
    found._written, found._cost = 0.0, cost
    monkeypatch.setattr(selection.time, "perf_counter", lambda: float(passed))
    asked = []
    strategy = SimpleNamespace(broadcast=lambda due: asked.append(due) or due)
    trainer = SimpleNamespace(should_stop=False, current_epoch=epoch, max_epochs=9, strategy=strategy)
    assert found._is_due(trainer) is is_due
    assert asked == [is_due]  # the first process decides for all
    trainer.should_stop = True
    assert found._is_due(trainer)


@pytest.mark.parametrize("after", ["weights", "state"])
def test_weights_and_state_agree_wherever_a_writing_is_killed(plan, workspace, tmp_path, monkeypatch, after):
    """New weights wait beside the older: a state that names them takes them, another deletes them."""
    monkeypatch.setattr(selection, "WRITING", math.inf)
    monkeypatch.setattr(Method, "_logged_scores", _better_each_epoch)
    planned = plan(targets="none")
    store, other = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    execute(planned, store, workspace)
    folder = planned.folder(other).checkpoints
    process = multiprocessing.get_context("fork").Process(
        target=_die_while_writing, args=(planned, other, workspace, after)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert (folder / "val.new.pt").exists()
    state = torch.load(folder / "last.ckpt", weights_only=True)
    (mine,) = (each for name, each in state["callbacks"].items() if "EpochSelection" in name)
    chosen = mine["chosen"]["val"]["checkpoint"]
    new = state_hash(torch.load(folder / "val.new.pt", weights_only=True)["state"])
    assert (new == chosen) is (after == "state")
    before = EpochSelection(folder, validates=True, train=planned.config.train)
    before.load_state_dict(mine)
    assert not (folder / "val.new.pt").exists()
    load_weights(folder / "val.pt", expected=chosen)
    execute(planned, other, workspace)
    assert lasting_files(other, planned) == lasting_files(store, planned)


def test_weights_that_are_selected_between_two_writings_are_kept(plan, workspace, tmp_path, monkeypatch):
    """The second epoch of four is the best: its weights are those that training to there ends with."""
    scores = iter([0.5, 0.8, 0.7, 0.6, 0.5, 0.8])

    def scored(self, stage):
        found = {"val/uar": torch.tensor(next(scores))}
        self.log_dict(found)
        return found

    monkeypatch.setattr(selection, "WRITING", 0)
    monkeypatch.setattr(Method, "_logged_scores", scored)
    chosen = []
    for folder, epochs in (("four", 4), ("two", 2)):
        overrides = ("method.width=0.03", "train.batch_size=16", "method.recipe=paper")
        planned = plan(overrides=overrides, targets="none", max_epochs=epochs, keep_checkpoints=True)
        record = execute(planned, Store(tmp_path / folder), workspace)
        assert record.selection["val"].epoch == 1
        file = planned.folder(Store(tmp_path / folder)).checkpoints / "val.pt"
        load_weights(file, expected=record.selection["val"].checkpoint)
        chosen.append(record.selection["val"].checkpoint)
        assert (record.selection["last"].checkpoint == chosen[-1]) is (epochs == 2)
    assert chosen[0] == chosen[1]


def _better_each_epoch(method, stage):
    found = {"val/uar": torch.tensor(0.1 * (method.current_epoch + 1))}
    method.log_dict(found)
    return found


def _die_while_writing(planned, store, workspace, after):
    """Train until the second writing of selected weights, and die after the weights or after the state."""
    torch.set_num_threads(1)
    owner, name = (Trainer, "save_checkpoint") if after == "weights" else (EpochSelection, "_promote")
    original = getattr(owner, name)

    def die(self, *arguments):
        folder = planned.folder(store).checkpoints
        if (folder / "val.new.pt").exists() and (folder / "val.pt").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments)

    setattr(owner, name, die)
    execute(planned, store, workspace)
