import pickle
import shutil

import pytest

from fer_bench.data.crops.choice import crops_of_key, read_crops
from fer_bench.errors import DataError, UsageError
from fer_bench.runs.plan import plan_run, plan_sweep
from fer_bench.runs.records import first_record
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


class TestKey:
    def test_is_the_same_for_the_same_run(self, plan):
        assert plan().key == plan().key

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "gcn", "overrides": ("method.width=0.1", "method.generator_weights=null")},
            {"dataset": "ckplus", "protocol": "7-4fold"},
            {"protocol": "7n-4fold"},
            {"fold": 2},
            {"seed": 1},
            {"max_epochs": 4},
            {"overrides": ("method.width=0.03", "train.batch_size=16", "method.lr=0.5")},
            {"precision": "bf16-mixed"},
            {"profile": "paper"},
        ],
    )
    def test_changes_with_what_can_change_the_weights(self, plan, change):
        assert plan().key != plan(**change).key

    def test_names_portable_arithmetic_only_where_it_is_taken(self, plan):
        assert plan(portable=True).key_fields["portable"] is True
        assert "portable" not in plan(portable=False).key_fields

    def test_ignores_targets_and_checkpoint_keeping(self, plan):
        assert plan().key == plan(targets="none").key == plan(keep_checkpoints=True).key

    @pytest.mark.long
    def test_holds_the_crops_that_are_wished_for(self, plan, tiny_root):
        keys = {plan().key}
        for texts in (["detect"], ["oulu=detect"], ["oulu=detect+0.4"], ["rafdb=detect"]):
            wished = Workspace(find_roots(str(tiny_root)), crops=read_crops(texts, None, ("oulu", "rafdb")))
            again = plan(wished, targets="none")
            assert again.key_fields["crops"] == wished.crops.key
            assert crops_of_key(again.key_fields["crops"]) == wished.crops
            elsewhere = pickle.loads(pickle.dumps(wished))  # as launchers send it to other processes
            assert plan_run(again.config, {}, elsewhere).key == again.key
            keys.add(again.key)
        assert len(keys) == 5

    def test_ignores_where_the_data_stand(self, plan, tiny_root, tmp_path):
        shutil.copytree(tiny_root / "oulu", tmp_path / "elsewhere" / "oulu")
        moved = Workspace(find_roots(str(tmp_path / "elsewhere")))
        again = plan(moved, targets="none")
        assert again.key == plan().key


class TestSweep:
    def test_absent_targets_are_listed_never_replaced(self, plan):
        planned = plan(targets="all")
        assert set(planned.config.targets) == {"ckplus", "rafdb"}
        assert set(planned.missing) == {"mmi", "affectnet7", "expw", "affwild2"}

    def test_an_absent_source_is_an_error(self, workspace):
        with pytest.raises(DataError, match="not found here"):
            workspace.source("mmi")

    @pytest.mark.parametrize("wrong", ["method.widht=0.1", "train.max_epochs=0"])
    def test_a_wrong_setting_is_refused_before_data_are_looked_for(self, plan, wrong):
        with pytest.raises(UsageError, match=wrong.partition("=")[0].partition(".")[2]):
            plan(dataset="mmi", overrides=(wrong,))  # MMI is not found here

    def test_data_the_protocol_cannot_use_are_refused_before_anything_is_stored(self, plan):
        with pytest.raises(DataError, match="10 folds need at least 10"):
            plan(protocol="6-10fold")

    def test_a_label_fraction_that_leaves_too_few_labels_is_refused(self, plan):
        with pytest.raises(UsageError, match=r"oulu 0 labelled training row.*\n.*label_fraction=0\."):
            plan(overrides=("train.label_fraction=0.01",))
        assert plan(overrides=("train.label_fraction=0.5",))


def test_what_varies_is_in_every_name(workspace):
    grid = "resemotenet[lr=1e-3,3e-3,train.augmentation.flip=0.5,0]"  # the profile's come first
    content = {"methods": [grid, "gcn"], "datasets": ["oulu"], "targets": "none", "profile": "quick"}
    runs, _ = plan_sweep(check_sweep({**content, "set": ["train.batch_size=16"]}), workspace)
    names = [run.name for run in runs]
    assert len(set(names)) == 5
    where = "on oulu (6-4fold, fold 1, seed 0)"
    assert names[:2] == [
        f"resemotenet[lr=0.001,train.augmentation.flip=0.5,train.batch_size=16] {where}",
        f"resemotenet[lr=0.001,train.augmentation.flip=0.0,train.batch_size=16] {where}",
    ]
    assert names[4] == f"gcn {where}"  # 16 is gcn's own batch size
    # Records are the same whatever sweep a run is part of, so they name what differs from the profile.
    assert (
        first_record(runs[0], {}).name == "resemotenet[train.batch_size=16]/oulu/6-4fold fold 1 of 4 seed 0"
    )
    assert first_record(runs[3], {}).varied == {
        "lr": "0.003",
        "train.augmentation.flip": "0.0",
        "train.batch_size": "16",
    }


def test_chosen_crops_are_in_the_name(plan, tiny_root):
    crops = read_crops(["oulu=detect+0.4"], None, ("oulu", "rafdb"))
    run = plan(Workspace(find_roots(str(tiny_root)), crops=crops), overrides=(), max_epochs=None)
    assert run.name.startswith("resemotenet[crop.oulu=detect+0.4] on oulu")
