"""Settings of a run reach Lightning's trainer and the network."""

import pytest
import torch
from torch import nn

from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.training import fit as training


class TestSettings:
    def test_predictions_of_a_further_target_are_computed_as_the_first(
        self, plan, plain, workspace, tmp_path, monkeypatch
    ):
        seen = []
        monkeypatch.setattr(
            "fer_bench.runs.execute.configure_torch", lambda run: seen.append((run.device, run.tf32))
        )
        for targets in ("none", ["rafdb"]):
            execute(plan(method=plain, overrides=(), targets=targets), Store(tmp_path), workspace)
        assert seen == [("cpu", False)] * 2

    @pytest.mark.parametrize("method", ["cafe", "gcn", "resemotenet", "ssmfar"])
    def test_compile_reaches_the_network_of_every_method(
        self, plan, workspace, tmp_path, monkeypatch, method
    ):
        compiled = []
        monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
        monkeypatch.setattr(training.Trainer, "fit", lambda *arguments, **named: None)
        small = {
            "gcn": ("method.width=0.1", "method.generator_weights=null"),
            "resemotenet": ("method.width=0.03",),
        }.get(method, ())
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
        seen, original = [], training.Trainer

        def trainer(**named):
            seen.append(named["precision"])
            return original(**named)

        monkeypatch.setattr(training, "Trainer", trainer)
        planned = plan(method=plain, overrides=(), precision=precision, targets="none", max_epochs=1)
        record = execute(planned, Store(tmp_path), workspace)
        assert (record.status, seen) == ("done", [given])
        weights = torch.load(planned.folder(Store(tmp_path)).checkpoints / "val.pt", weights_only=True)
        kind = torch.bfloat16 if precision == "bf16-true" else torch.float32
        assert {value.dtype for value in weights["state"].values() if value.is_floating_point()} == {kind}
