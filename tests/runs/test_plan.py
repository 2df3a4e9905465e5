import pickle
import shutil

import pytest

from fer_bench.data.crops.choice import crops_of_key, read_crops
from fer_bench.errors import DataError, UsageError
from fer_bench.runs.plan import (
    default_profile,
    folds_to_run,
    plan_config,
    resolve_device,
    resolve_precision,
    resolve_settings,
)
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


class TestKey:
    def test_is_the_same_for_the_same_run(self, plan):
        assert plan().key == plan().key

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "gcn", "overrides": ("method.width=0.1",)},
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

    def test_ignores_targets_and_checkpoint_keeping(self, plan):
        assert plan().key == plan(targets="none").key == plan(keep_checkpoints=True).key

    def test_holds_the_crops_that_are_wished_for(self, plan, tiny_root):
        keys = {plan().key}
        for texts in (["detect"], ["oulu=detect"], ["oulu=detect+0.4"], ["rafdb=detect"]):
            wished = Workspace(find_roots(str(tiny_root)), crops=read_crops(texts, None, ("oulu", "rafdb")))
            again = plan(wished, targets="none")
            assert again.key_fields["crops"] == wished.crops.key
            assert crops_of_key(again.key_fields["crops"]) == wished.crops
            elsewhere = pickle.loads(pickle.dumps(wished))  # as launchers send it to other processes
            assert plan_config(elsewhere, again.config, {}).key == again.key
            keys.add(again.key)
        assert len(keys) == 5

    def test_ignores_where_the_data_stand(self, plan, tiny_root, tmp_path):
        shutil.copytree(tiny_root / "oulu", tmp_path / "elsewhere" / "oulu")
        moved = Workspace(find_roots(str(tmp_path / "elsewhere")))
        again = plan(moved, targets="none")
        assert again.key == plan().key


class TestResolving:
    def test_profile_then_overrides(self):
        settings, train = resolve_settings(
            "resemotenet", "quick", ["method.lr=1e-5", "train.batch_size=7"], 2
        )
        assert (settings.lr, train.batch_size, train.max_epochs) == (1e-5, 7, 2)

    @pytest.mark.parametrize(
        ("override", "word"),
        [
            ("method.lrr=1", "did you mean lr"),
            ("methd.lr=1", "did you mean method"),
            ("method.lr", "name=value"),
            ("method.lr=-1", "greater than 0"),
            ("train.augmentation.flip=2", "less than or equal to 1"),
            ("train.augmentation.flop=1", "did you mean flip"),
            ("train.max_epochs=many", "valid integer"),
        ],
    )
    def test_bad_settings_are_named(self, override, word):
        with pytest.raises(UsageError, match=word) as caught:
            resolve_settings("resemotenet", "quick", [override])
        assert override in str(caught.value)

    def test_profiles_and_devices(self):
        assert (default_profile("synthetic"), default_profile("real")) == ("quick", "paper")
        assert resolve_device("cpu") == "cpu"
        assert resolve_precision("auto", "cpu") == "32"
        assert resolve_precision("bf16-mixed", "cpu") == "bf16-mixed"

    def test_folds(self, workspace):
        card = workspace.source("oulu").dataset.card
        assert folds_to_run(card, None, "quick", None) == ("6-4fold", (1,))
        assert folds_to_run(card, None, "quick", "all") == ("6-4fold", (1, 2, 3, 4))
        assert folds_to_run(card, None, "paper", None) == ("6-10fold", tuple(range(1, 11)))
        assert folds_to_run(card, "oulu/7n-10fold", "paper", "3") == ("7n-10fold", (3,))
        with pytest.raises(UsageError, match="1 to 4"):
            folds_to_run(card, None, "quick", "5")
        with pytest.raises(UsageError, match="did you mean 6-10fold"):
            folds_to_run(card, "6-1fold", "quick", None)

    def test_absent_targets_are_listed_never_replaced(self, plan):
        planned = plan(targets="all")
        assert set(planned.config.targets) == {"ckplus", "rafdb"}
        assert set(planned.missing) == {"mmi", "affectnet7", "expw", "affwild2"}

    def test_an_absent_source_is_an_error(self, workspace):
        with pytest.raises(DataError, match="not found here"):
            workspace.source("mmi")

    def test_data_the_protocol_cannot_use_are_refused_before_anything_is_stored(self, plan):
        with pytest.raises(DataError, match="10 folds need at least 10"):
            plan(protocol="6-10fold")

    def test_a_label_fraction_that_leaves_too_few_labels_is_refused(self, plan):
        with pytest.raises(UsageError, match=r"oulu 0 labelled training row.*\n.*label_fraction=0\."):
            plan(overrides=("train.label_fraction=0.01",))
        assert plan(overrides=("train.label_fraction=0.5",))
