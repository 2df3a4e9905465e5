"""Weights that are never trained are stored once in a store; damaged or foreign ones are refused."""

import argparse
import logging

import pytest
import torch
from torch import nn

from fer_bench.errors import StoreError
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.processes import Interrupted
from fer_bench.runs.training import fit as training
from fer_bench.runs.training.checkpoints import load_weights, save_weights


@pytest.fixture
def towered(monkeypatch, plain):
    """Give the method `plain` a part that is never trained."""
    from tests.runs.plain_method import Plain

    original = Plain.__init__

    def with_tower(self, classes, settings, train):
        original(self, classes, settings, train)
        self.tower = nn.Linear(100, 100)
        self.tower.requires_grad_(False)
        nn.init.ones_(self.tower.weight)
        nn.init.zeros_(self.tower.bias)

    monkeypatch.setattr(Plain, "__init__", with_tower)
    return plain


class TestFrozenWeights:
    def test_are_stored_once_in_the_store(self, plan, towered, workspace, tmp_path):
        store = Store(tmp_path)
        plans = [plan(method=towered, overrides=(), seed=seed, max_epochs=1) for seed in (0, 1)]
        assert {execute(p, store, workspace).status for p in plans} == {"done"}
        (shared,) = store.frozen.iterdir()
        checkpoints = [p.folder(store).checkpoints / "val.pt" for p in plans]
        for checkpoint in checkpoints:
            assert checkpoint.stat().st_size < shared.stat().st_size / 2
            assert (load_weights(checkpoint).tower.weight == 1).all()

    def test_are_asked_for_where_a_checkpoint_is_without_them(self, plan, towered, workspace, tmp_path):
        planned = plan(method=towered, overrides=(), targets="none", max_epochs=1)
        store = Store(tmp_path / "store")
        execute(planned, store, workspace)
        alone = tmp_path / "elsewhere" / "val.pt"
        alone.parent.mkdir()
        alone.write_bytes((planned.folder(store).checkpoints / "val.pt").read_bytes())
        with pytest.raises(StoreError, match="shares with others of its store are absent"):
            load_weights(alone)
        store.frozen.rename(alone.parent / store.frozen.name)
        assert (load_weights(alone).tower.weight == 1).all()

    def test_stay_in_a_file_that_is_saved_for_itself(self, plan, towered, workspace, tmp_path):
        method = training.build_method(
            plan(method=towered, overrides=()).config,
            training.build_data(plan(method=towered, overrides=()).config, workspace).task,
        )
        save_weights(method, tmp_path / "whole.pt")
        assert [file.name for file in tmp_path.iterdir()] == ["whole.pt"]
        assert (load_weights(tmp_path / "whole.pt").tower.weight == 1).all()

    def test_other_weights_than_trained_are_refused(self, plan, towered, workspace, tmp_path):
        planned = plan(method=towered, overrides=(), targets="none", max_epochs=1)
        store = Store(tmp_path)
        execute(planned, store, workspace)
        (shared,) = store.frozen.iterdir()
        content = torch.load(shared, weights_only=True)
        content["state"]["tower.weight"] += 1
        torch.save(content, shared)
        again = plan(method=towered, overrides=(), targets=["rafdb"], max_epochs=1)
        assert again.key == planned.key
        record = execute(again, store, workspace)
        assert record.status == "done"
        assert "other weights than this run trained" in record.missing["rafdb"]


class TestResuming:
    def test_a_state_with_foreign_objects_is_refused_in_plain_words(
        self, plan, plain, workspace, tmp_path, monkeypatch
    ):
        from tests.runs.plain_method import Plain

        def keep_arguments(self, checkpoint):
            checkpoint["arguments"] = argparse.Namespace(lr=1)

        def stop(event):
            if event.phase == "train" and event.done == 1:
                raise Interrupted("enough")

        monkeypatch.setattr(Plain, "on_save_checkpoint", keep_arguments)
        run, store = plan(method=plain, overrides=(), targets="none"), Store(tmp_path)
        with pytest.raises(Interrupted):
            execute(run, store, workspace, stop)
        record = execute(run, store, workspace)
        assert record.status == "failed"
        assert "the state to resume from is not readable" in record.error.message
        assert "argparse.Namespace" in record.error.message
        assert "--force" in record.error.message
        assert "PyTorch 2.6" not in record.error.message

    def test_what_other_libraries_colour_is_plain_in_a_record(self, plan, workspace, tmp_path, monkeypatch):
        def broken(*args, **kwargs):
            logging.getLogger("fer_bench").warning("\x1b[31mred\x1b[0m log")
            raise ValueError("a \x1b[1mbold\x1b[0m reason")

        monkeypatch.setattr(training, "fit", broken)
        record = execute(plan(targets="none"), Store(tmp_path), workspace)
        assert "a bold reason" in record.error.message
        assert "red log" in record.error.log
        assert "\x1b" not in record.error.message + record.error.log + record.error.traceback
