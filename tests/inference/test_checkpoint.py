"""A checkpoint predicts wherever it is copied to; damaged and foreign ones are refused."""

import json
import pickle

import numpy as np
import pytest
import torch

from fer_bench.data.crops.framing import measure_framing
from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import StoreError, UsageError
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.results.record import read_record
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.facts import find_facts
from fer_bench.runs.training.checkpoints import load_weights


@pytest.fixture
def content(checkpoint):
    return torch.load(checkpoint, weights_only=True)


@pytest.fixture
def facts(content):
    return json.loads(content["facts"])


class TestFacts:
    def test_travel_with_a_copy(self, checkpoint, trained):
        record = read_record(trained / "record.json")
        card = CheckpointModel(checkpoint).card
        assert (card.method, card.trained_on, card.key) == ("resemotenet", "oulu", record.key)
        assert card.classes == record.classes
        assert card.data_kind == "synthetic"
        assert card.recipe == CropRecipe.model_validate(record.key_fields["crop"])
        assert card.weights == record.checkpoint
        assert not card.has_va
        assert not card.has_au

    def test_leave_the_weights_and_their_hash_as_they_are(self, trained):
        record = read_record(trained / "record.json")
        assert load_weights(trained / "checkpoints" / "val.pt", expected=record.checkpoint)

    def test_say_how_faces_lie_in_the_crops_of_the_dataset(self, trained, workspace):
        """The tiny Oulu-CASIA is shipped as crops."""
        card = CheckpointModel(trained / "checkpoints" / "val.pt").card
        assert card.framing == measure_framing(workspace.pack("oulu", 64).pixels)
        assert card.framing is not None

    def test_name_no_file_of_the_machine(self, facts):
        assert not {"timing", "excluded", "missing"} & facts["record"].keys()

    def test_of_an_older_checkpoint_come_from_the_record_beside_it(self, trained, content, tmp_path):
        del content["facts"]
        run = RunDir(tmp_path / "run")
        run.checkpoints.mkdir(parents=True)
        torch.save(content, run.checkpoints / "best.pt")
        run.record_file.write_bytes((trained / "record.json").read_bytes())
        older = CheckpointModel(run.checkpoints / "best.pt").card
        newer = CheckpointModel(trained / "checkpoints" / "val.pt").card
        assert older.framing is None  # nobody looked at the crops
        assert older == newer.model_copy(update={"framing": None})

    def test_of_other_weights_are_refused(self, trained, content, tmp_path):
        run = RunDir(tmp_path / "run")
        run.checkpoints.mkdir(parents=True)
        run.record_file.write_bytes((trained / "record.json").read_bytes())
        name = next(iter(content["state"]))
        content["state"][name] = content["state"][name] + 1
        torch.save(content, run.checkpoints / "val.pt")
        with pytest.raises(StoreError, match="facts are about other weights"):
            CheckpointModel(run.checkpoints / "val.pt")
        del content["facts"]
        torch.save(content, run.checkpoints / "val.pt")
        with pytest.raises(StoreError, match="record beside the checkpoint is of other weights"):
            CheckpointModel(run.checkpoints / "val.pt")

    def test_are_asked_for_where_nothing_says_them(self, checkpoint, content):
        del content["facts"]
        torch.save(content, checkpoint)
        with pytest.raises(StoreError, match="does not say how its faces were cropped") as refused:
            CheckpointModel(checkpoint)
        assert "--crop similarity" in refused.value.hint
        card = CheckpointModel(checkpoint, recipe=CropRecipe(kind="similarity", size=16)).card
        assert (card.recipe.kind, card.recipe.size) == ("similarity", 64)
        assert card.data_kind == "unknown"
        assert len(card.classes) == 6

    def test_are_stored_by_a_run_that_is_tested_on_more(self, plan, workspace, tmp_path):
        from fer_bench.runs.execute import execute

        store = Store(tmp_path)
        for targets in ("none", ["rafdb"]):
            planned = plan(targets=targets, max_epochs=1)
            record = execute(planned, store, workspace)
            facts = find_facts(planned.folder(store).checkpoints / "val.pt", record.checkpoint)
            assert facts.record.scores == record.scores


class TestRefused:
    def test_a_strangers_pickle_is_not_executed(self, tmp_path):
        class Stranger:
            def __reduce__(self):
                return (open, (str(tmp_path / "executed"), "w"))

        torch.save({"format": 1, "method": "gcn", "state": Stranger()}, tmp_path / "a.pt")
        (tmp_path / "b.pt").write_bytes(pickle.dumps(Stranger()))
        for name in ("a.pt", "b.pt"):
            with pytest.raises(StoreError, match="not a readable checkpoint"):
                CheckpointModel(tmp_path / name)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 2}, "written by another version"),
            ({"method": "gcm"}, "gcn"),
            ({"method": "erm"}, "settings of erm|not the weights of erm"),
        ],
    )
    def test_another_version_or_method(self, checkpoint, content, change, message):
        torch.save({**content, **change}, checkpoint)
        with pytest.raises((StoreError, UsageError), match=message):
            CheckpointModel(checkpoint)

    def test_a_newer_record(self, checkpoint, content, facts):
        facts["record"]["schema_version"] = 99
        torch.save({**content, "facts": json.dumps(facts)}, checkpoint)
        with pytest.raises(StoreError, match="written by a newer version"):
            CheckpointModel(checkpoint)

    @pytest.mark.parametrize("damage", ["{", 3, '{"weights": "0"}'])
    def test_damaged_facts(self, checkpoint, content, damage):
        torch.save({**content, "facts": damage}, checkpoint)
        with pytest.raises(StoreError, match="facts are damaged"):
            CheckpointModel(checkpoint)

    def test_a_recipe_of_another_version(self, checkpoint, content, facts):
        facts["record"]["key_fields"]["crop"]["kind"] = "mesh"
        torch.save({**content, "facts": json.dumps(facts)}, checkpoint)
        with pytest.raises(StoreError, match="crop recipe is of another version"):
            CheckpointModel(checkpoint)
        assert CheckpointModel(checkpoint, recipe=CropRecipe(kind="box", size=64)).card.recipe.kind == "box"

    def test_a_gpu_that_is_not_there(self, checkpoint, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(UsageError, match="no CUDA device"):
            CheckpointModel(checkpoint, "cuda")
        assert CheckpointModel(checkpoint).device == "cpu"


def test_answers_are_those_of_the_run(trained, workspace):
    """The stored test predictions of the run, computed again from its crops."""
    import pandas as pd

    stored = pd.read_parquet(trained / "predictions" / "oulu@val.parquet").set_index("sample_id")
    model = CheckpointModel(trained / "checkpoints" / "val.pt")
    pack = workspace.pack("oulu", model.card.recipe.size)
    index = workspace.source("oulu").dataset.index
    rows = np.flatnonzero(index["sample_id"].isin(stored.index))
    answers = model.answer(np.asarray(pack.pixels[rows]))
    wanted = stored.loc[index["sample_id"].iloc[rows], [f"logit_{name}" for name in model.card.classes]]
    np.testing.assert_allclose(answers.logits, wanted.to_numpy(), atol=1e-4)
    shares = model.card.probabilities(answers.logits)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.argmax(axis=1) == answers.logits.argmax(axis=1)).all()
