"""Weights that are never trained stand in a store once; settings of the trainer reach it."""

import pytest
import torch
from torch import nn

from fer_bench.errors import StoreError
from fer_bench.results.store import Store
from fer_bench.runs import evaluate
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers.worker import run_dir
from fer_bench.runs.training import fit as train
from fer_bench.runs.training.fit import load_weights, save_weights


@pytest.fixture
def towered(monkeypatch, plain):
    """Give the method `plain` a part that is never trained."""
    from tests.runs.plain_method import Plain

    original = Plain.__init__

    def with_tower(self, *arguments):
        original(self, *arguments)
        self.tower = nn.Linear(100, 100)
        self.tower.requires_grad_(False)
        nn.init.ones_(self.tower.weight)
        nn.init.zeros_(self.tower.bias)

    monkeypatch.setattr(Plain, "__init__", with_tower)
    return plain


class TestFrozenWeights:
    def test_stand_once_in_the_store(self, plan, towered, workspace, tmp_path):
        store = Store(tmp_path)
        plans = [plan(method=towered, overrides=(), seed=seed, max_epochs=1) for seed in (0, 1)]
        assert {execute(p, store, workspace).status for p in plans} == {"done"}
        (shared,) = store.frozen.iterdir()
        checkpoints = [run_dir(p, store).checkpoints / "val.pt" for p in plans]
        for checkpoint in checkpoints:
            assert checkpoint.stat().st_size < shared.stat().st_size / 2
            assert (load_weights(checkpoint).tower.weight == 1).all()

    def test_are_asked_for_where_a_checkpoint_stands_without_them(self, plan, towered, workspace, tmp_path):
        planned = plan(method=towered, overrides=(), targets="none", max_epochs=1)
        store = Store(tmp_path / "store")
        execute(planned, store, workspace)
        alone = tmp_path / "elsewhere" / "val.pt"
        alone.parent.mkdir()
        alone.write_bytes((run_dir(planned, store).checkpoints / "val.pt").read_bytes())
        with pytest.raises(StoreError, match="shares with others of its store are absent"):
            load_weights(alone)
        store.frozen.rename(alone.parent / store.frozen.name)
        assert (load_weights(alone).tower.weight == 1).all()

    def test_stay_in_a_file_that_is_saved_for_itself(self, plan, towered, workspace, tmp_path):
        method = train.build_method(
            plan(method=towered, overrides=()).config,
            train.build_data(plan(method=towered, overrides=()).config, workspace).task,
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


class TestSettings:
    @pytest.mark.parametrize("tf32", [False, True])
    def test_tf32_is_what_was_asked_for(self, tf32):
        settings = torch.backends.cuda.matmul, torch.backends.cudnn
        before = [setting.allow_tf32 for setting in settings]
        try:
            for setting in settings:
                setting.allow_tf32 = not tf32
            evaluate.choose_float32("cpu", tf32)
            assert [setting.allow_tf32 for setting in settings] == [not tf32] * 2
            evaluate.choose_float32("cuda", tf32)
            assert [setting.allow_tf32 for setting in settings] == [tf32] * 2
        finally:
            for setting, value in zip(settings, before, strict=True):
                setting.allow_tf32 = value

    def test_predictions_of_a_further_target_are_computed_as_the_first(
        self, plan, plain, workspace, tmp_path, monkeypatch
    ):
        seen = []
        monkeypatch.setattr(evaluate, "choose_float32", lambda *arguments: seen.append(arguments))
        for targets in ("none", ["rafdb"]):
            execute(plan(method=plain, overrides=(), targets=targets), Store(tmp_path), workspace)
        assert seen == [("cpu", False)] * 2

    @pytest.mark.parametrize("method", ["cafe", "gcn", "resemotenet", "ssmfar"])
    def test_compile_reaches_the_network_of_every_method(
        self, plan, workspace, tmp_path, monkeypatch, method
    ):
        compiled = []
        monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
        monkeypatch.setattr(train.Trainer, "fit", lambda *arguments, **named: None)
        small = {"gcn": ("method.width=0.1",), "resemotenet": ("method.width=0.03",)}.get(method, ())
        for wanted in (False, True):
            planned = plan(method=method, overrides=small, compile=wanted, targets="none")
            record = execute(planned, Store(tmp_path), workspace)
            assert record.settings["compile"] is wanted
        assert (len(compiled) > 1) if method == "gcn" else (len(compiled) == 1)  # gcn trains part by part

    @pytest.mark.parametrize(
        ("precision", "given"),
        [("32", "32-true"), ("bf16-mixed", "bf16-mixed"), ("bf16-true", "bf16-true")],
    )
    def test_precision_reaches_the_trainer(
        self, plan, plain, workspace, tmp_path, monkeypatch, precision, given
    ):
        seen, original = [], train.Trainer

        def trainer(**named):
            seen.append(named["precision"])
            return original(**named)

        monkeypatch.setattr(train, "Trainer", trainer)
        planned = plan(method=plain, overrides=(), precision=precision, targets="none", max_epochs=1)
        record = execute(planned, Store(tmp_path), workspace)
        assert (record.status, seen) == ("done", [given])
        weights = torch.load(run_dir(planned, Store(tmp_path)).checkpoints / "val.pt", weights_only=True)
        kind = torch.bfloat16 if precision == "bf16-true" else torch.float32
        assert {value.dtype for value in weights["state"].values() if value.is_floating_point()} == {kind}
