"""Trained models on labelled pictures of one's own: where they are stored, and what is refused."""

import shutil

import numpy as np
import onnx
import pytest

from fer_bench.errors import UsageError
from fer_bench.inference.own_data import as_outside, evaluate_own, find_own, open_own, outcomes_of
from fer_bench.results.store import Store
from fer_bench.runs.outside import open_targets
from fer_bench.workspace.sources import find_roots
from tests.inference.pictures import lay_out
from tests.inference.test_onnx_model import network, write


@pytest.fixture(scope="module")
def pictures(tiny_root, tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("pictures"), tiny_root)


@pytest.fixture
def run(trained_store, trained, tmp_path):
    """A run in a store that tests may add to."""
    shutil.copytree(trained_store.root, tmp_path / "runs")
    return tmp_path / "runs" / trained.relative_to(trained_store.root)


def ready(own, tiny_root, pictures=None, names=("rafdb",)):
    roots = find_roots(None if pictures else str(tiny_root))
    if pictures:
        roots, names = roots.with_folder(pictures), ("folder",)
    return open_targets(as_outside(own), names, roots, faces="whole" if pictures else None)


def test_models_are_told_from_those_that_were_trained_elsewhere(run, tmp_path):
    checkpoint = run / "checkpoints" / "val.pt"
    assert find_own(str(checkpoint), tmp_path) == checkpoint
    assert find_own(str(run), tmp_path) == checkpoint
    assert find_own(run.name[:6], tmp_path / "runs") == checkpoint
    export = write(tmp_path / "export.onnx", network())
    assert find_own(str(export), tmp_path) == export
    onnx.save(network(), str(tmp_path / "theirs.onnx"))
    for other in (str(tmp_path / "theirs.onnx"), "resnet18.a1_in1k", "0123", str(tmp_path), "absent.pt"):
        assert find_own(other, tmp_path / "runs") is None


def test_a_run_gets_one_more_target(run, tiny_root, tmp_path):
    own = open_own(run / "checkpoints" / "val.pt")
    (tested,) = evaluate_own(own, ready(own, tiny_root), tmp_path / "runs")
    assert tested.folder == run
    assert tested.record.score("rafdb") == tested.score
    assert set(tested.home) == {"oulu"}
    rows = tested.predictions.frame
    assert (rows["label"].notna()).all()
    assert own.training_counts.keys() == set(own.card.classes)


def test_drawn_and_photographed_faces_are_stored_apart(run, tiny_root, pictures, tmp_path):
    own = open_own(run / "checkpoints" / "val.pt")
    before = own.run.record_file.read_bytes()
    (tested,) = evaluate_own(own, ready(own, tiny_root, pictures), tmp_path / "runs")
    assert own.run.record_file.read_bytes() == before
    assert (tested.record.is_outside, tested.record.data_kind) == (True, "real")
    assert tested.record.training_data.text == f"drawn faces of oulu (run {own.record.key})"
    assert (tested.unit, set(tested.home)) == ("subject", {"oulu"})
    assert len(tested.predictions.frame) == sum(1 for _ in pictures.rglob("*.png"))  # none was trained on


def test_a_copy_answers_as_the_run_does(run, checkpoint, tiny_root, tmp_path):
    own, copy = open_own(run / "checkpoints" / "val.pt"), open_own(checkpoint)
    assert copy.run is None
    (there,) = evaluate_own(own, ready(own, tiny_root), tmp_path / "runs")
    (here,) = evaluate_own(copy, ready(copy, tiny_root), tmp_path / "rows")
    assert here.score.metrics == pytest.approx(there.score.metrics)
    assert here.predictions.logits == pytest.approx(there.predictions.logits, abs=1e-4)
    assert here.record.method == f"resemotenet-{copy.model.sha256[:12]}"
    assert copy.described.scores[0].in_domain


def test_a_copy_is_not_tested_on_what_it_was_trained_on_and_the_run_on_its_test_rows(
    run, checkpoint, tiny_root, tmp_path
):
    own, copy = open_own(run / "checkpoints" / "val.pt"), open_own(checkpoint)
    with pytest.raises(UsageError, match="was trained on these pictures"):
        evaluate_own(copy, ready(copy, tiny_root, names=("oulu",)), tmp_path / "rows")
    (tested,) = evaluate_own(own, ready(own, tiny_root, names=("oulu",)), tmp_path / "rows")
    assert tested.score == own.record.score("oulu")


def test_an_export_is_tested_without_torch_and_says_its_rows(tiny_root, tmp_path):
    own = open_own(write(tmp_path / "export.onnx", network()))
    (tested,) = evaluate_own(own, ready(own, tiny_root), tmp_path / "rows")
    assert (own.run, own.record, own.training_counts) == (None, None, None)
    assert tested.record.settings["kind"] == "export"
    pack = ready(own, tiny_root).workspace.pack("rafdb", 16)
    index = ready(own, tiny_root).workspace.source("rafdb").dataset.index["sample_id"].tolist()
    rows = [index.index(one) for one in tested.predictions.frame["sample_id"]]
    direct = own.model.answer(np.asarray(pack.pixels[rows])).logits
    assert tested.predictions.logits == pytest.approx(direct, abs=1e-4)
    again = outcomes_of(tested.record, Store(tmp_path / "rows"), ready(own, tiny_root))
    assert [one.score for one in again] == [tested.score]


def test_a_run_of_another_store_is_read_and_that_store_stays_as_it_is(run, tiny_root, tmp_path):
    store = tmp_path / "runs"
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    own = open_own(run / "checkpoints" / "val.pt")
    (tested,) = evaluate_own(own, ready(own, tiny_root), tmp_path / "mine")
    assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == before
    assert tested.folder.is_relative_to(tmp_path / "mine")
    assert set(tested.home) == {"oulu"}
