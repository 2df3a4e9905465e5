import os

import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.errors import DataError, UsageError
from fer_bench.evaluation.rescore import rescore
from fer_bench.files import cache_root
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.methods.epoch_scores import uar_of_confusion
from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.unions import open_union
from fer_bench.workspace.workspace import Workspace
from tests.plans import plan_one
from tests.runs.test_execute import attempt, lasting_files

UNION = "ckplus+oulu"


@pytest.fixture(scope="module")
def plan_union(plan):
    def make(**changes):
        values = {"dataset": UNION, "protocol": "7-union-quick", "targets": "all", "max_epochs": 2}
        return plan(**{**values, **changes})

    return make


@pytest.fixture(scope="module")
def finished(plan_union, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("runs"))
    planned = plan_union()
    return store, planned, execute(planned, store, workspace)


class TestPlan:
    def test_members_in_any_order_are_one_source(self, plan_union):
        assert plan_union(dataset="oulu+ckplus").key == plan_union().key
        assert plan_union(dataset="oulu+ckplus").config.dataset == UNION

    def test_targets_are_the_others(self, plan_union):
        planned = plan_union()
        assert planned.config.targets == ("rafdb",)
        assert set(planned.missing) == {"mmi", "affectnet7", "expw", "affwild2"}

    def test_pictures_of_a_member_are_no_target(self, workspace, monkeypatch):
        monkeypatch.setattr("fer_bench.workspace.unions.share_pixels", lambda one, other: other == "rafdb")
        assert workspace.targets(["rafdb", "oulu"], "ckplus+oulu") == (
            [],
            {"rafdb": "holds pictures of ckplus, which the union was trained on"},
        )

    def test_key_holds_what_decides_each_member(self, plan_union, plan, workspace):
        fields = plan_union().key_fields["union"]
        assert set(fields["members"]) == {"ckplus", "oulu"}
        oulu = fields["members"]["oulu"]
        assert oulu["fingerprint"] == workspace.pack("oulu", 64).fingerprint
        assert oulu["pixels"] == workspace.pack("oulu", 64).pixel_hash
        assert oulu["card"] == workspace.source("oulu").dataset.card.deciding_fields()
        assert oulu["protocol"]["name"] == "6-4fold"
        assert "union" not in plan().key_fields

    @pytest.mark.parametrize("change", [{"protocol": "6-union-quick"}, {"fold": 2}, {"seed": 1}])
    def test_key_changes_with_protocol_fold_and_seed(self, plan_union, change):
        assert plan_union().key != plan_union(**change).key

    def test_key_changes_with_a_members_rows(self, plan_union, tiny_root):
        workspace = Workspace(find_roots(str(tiny_root)))
        leave = workspace.source("oulu").dataset.index["sample_id"].iloc[-1]
        fewer = Workspace(find_roots(str(tiny_root)), leave_out={"oulu": [leave]})
        config = plan_union().config
        again = plan_one(
            fewer,
            method=config.method,
            dataset=UNION,
            protocol=config.protocol,
            fold=1,
            seed=0,
            profile="quick",
            overrides=("method.width=0.03", "train.batch_size=16"),
            max_epochs=2,
            targets="none",
        )
        assert again.key != plan_union().key

    def test_drawings_are_not_mixed(self, workspace):
        from dataclasses import replace

        one, other = workspace.source("oulu"), workspace.source("ckplus")
        with pytest.raises(DataError, match="never mixed"):
            open_union([one, replace(other, kind="real", generator=None)])
        with pytest.raises(DataError, match="never mixed"):
            open_union([one, replace(other, generator={**other.generator, "seed": 9})])


class TestRun:
    def test_scores_every_member_and_the_others(self, finished):
        store, planned, record = finished
        assert record.status == "done"
        assert (record.dataset, record.folds) == (UNION, 4)
        assert {(s.target, s.selection) for s in record.scores} == {
            ("ckplus", "val"),
            ("ckplus", "last"),
            ("oulu", "val"),
            ("oulu", "last"),
            ("rafdb", "val"),
        }
        assert set(record.score("oulu").label_set) == set(record.classes)
        assert len(record.classes) == 7
        assert planned.folder(store).path.parts[-2] == UNION
        assert set(record.targets) == {"ckplus", "oulu", "rafdb"}
        assert record.targets["oulu"].protocol == "6-4fold"

    def test_member_predictions_are_its_own_test_rows(self, finished, workspace):
        store, _, record = finished
        dataset = workspace.source("oulu").dataset
        frame = store.predictions(record, "oulu").frame
        index = dataset.index.set_index("sample_id").loc[frame["sample_id"]]
        assert frame["unit"].tolist() == index["subject"].tolist()
        members = sum(len(store.predictions(record, name).frame) for name in ("ckplus", "oulu"))
        assert members == record.rows["test"]

    def test_validation_rows_have_unambiguous_ids_and_give_the_selected_uar(self, finished):
        store, planned, record = finished
        frame = read_predictions(planned.folder(store).predictions_file("val", "val")).frame
        owner = frame["sample_id"].str.split("/").str[0]
        assert set(owner) == {"ckplus", "oulu"}
        assert len(frame) == record.rows["val"]
        assert frame["unit"].str.split("/").str[0].tolist() == owner.tolist()
        uars = []
        for name in ("ckplus", "oulu"):
            mine = frame[owner == name]
            truth = mine["label"].map(record.classes.index).to_numpy()
            answer = mine[[f"logit_{c}" for c in record.classes]].to_numpy().argmax(axis=1)
            counts = np.zeros((7, 7))
            np.add.at(counts, (truth, answer), 1)
            uars.append(float(uar_of_confusion(torch.from_numpy(counts))))
        assert record.selection["val"].val_uar == pytest.approx(np.mean(uars))
        history = pd.read_csv(planned.folder(store).path / "metrics.csv")
        assert record.selection["val"].val_uar == pytest.approx(history["val/uar"].max())

    def test_is_complete_and_a_lost_member_is_predicted_again(self, finished, workspace):
        store, planned, record = finished
        assert is_complete(planned, store, workspace)
        path = planned.folder(store).predictions_file("oulu", "val")
        whole = path.read_bytes()
        path.unlink()
        assert not is_complete(planned, store, workspace)
        events = []
        assert execute(planned, store, workspace, events.append).scores == record.scores
        assert "train" not in {event.phase for event in events}
        assert path.read_bytes() == whole

    def test_resumes_bit_equal(self, finished, workspace, tmp_path):
        import signal

        store, planned, _ = finished
        other = Store(tmp_path)
        assert attempt(planned, other, workspace, 1, signal.SIGKILL) == -signal.SIGKILL
        execute(planned, other, workspace)
        assert lasting_files(other, planned) == lasting_files(store, planned)

    @pytest.mark.parametrize(
        ("method", "overrides"),
        [
            ("gcn", ("method.width=0.1", "method.generator_weights=null", "train.batch_size=16")),
            ("ssmfar", ("train.batch_size=16", "train.label_fraction=0.5")),
        ],
    )
    def test_other_methods_train_on_unions(self, plan_union, workspace, tmp_path, method, overrides):
        planned = plan_union(
            dataset="ckplus+rafdb", method=method, overrides=overrides, max_epochs=1, targets="none"
        )
        record = execute(planned, Store(tmp_path), workspace)
        assert (record.status, record.error) == ("done", None)

    def test_packs_are_the_members(self, finished):
        assert not [p for p in os.listdir(cache_root() / "packs") if "+" in p]

    def test_scores_again_and_stands_on_the_board(self, finished, tmp_path):
        store, _, record = finished
        rescore(store)
        assert store.records()[0].scores == record.scores
        write_leaderboard(store, tmp_path)
        text = (tmp_path / "README.md").read_text()
        assert f"[{UNION}]({UNION}.md)" in text


class TestSweep:
    def write(self, tmp_path, text):
        path = tmp_path / "s.yaml"
        path.write_text(text)
        return path

    def test_unions_are_sources(self, tmp_path, workspace):
        text = (
            "methods: [gcn]\ndatasets: [oulu+ckplus, rafdb, mmi+oulu]\n"
            "protocols: {oulu+ckplus: 6-union-quick}\nfolds: all\n"
        )
        runs, missing = plan_sweep(read_sweep(self.write(tmp_path, text)), workspace)
        assert [(r.config.dataset, r.config.protocol, r.config.fold) for r in runs] == [
            *((UNION, "6-union-quick", fold) for fold in (1, 2, 3, 4)),
            ("rafdb", "7-official", 1),
        ]
        assert set(missing) == {"mmi+oulu"}

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("datasets: [oulu+ckpls]", "did you mean ckplus"),
            ("datasets: [fer2013+ferplus]", "same pictures"),
            ("protocols: {olu: 6-4fold}", "did you mean oulu"),
        ],
    )
    def test_errors_name_the_file(self, tmp_path, text, word):
        with pytest.raises(UsageError, match=word) as caught:
            read_sweep(self.write(tmp_path, text))
        assert "s.yaml" in str(caught.value)
