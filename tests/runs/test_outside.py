"""Models that were trained elsewhere on the tiny data: predictions, scores, records and what is refused."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

import fer_bench
from fer_bench.data.protocols import evaluation_rows
from fer_bench.errors import DataError, UsageError
from fer_bench.evaluation.exposure import seen_before
from fer_bench.evaluation.rescore import score_run
from fer_bench.models.onnx_file import OnnxNetwork
from fer_bench.results.record import OUTSIDE
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.outside import evaluate_model, find_targets, prepare
from fer_bench.runs.training.checkpoints import load_weights
from tests.models.networks import write_card, write_network


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def evaluate(workspace, store):
    def run(file, names=("rafdb",), **more):
        return evaluate_model(prepare(str(file), names, workspace.roots), store, **more)

    return run


@pytest.fixture
def network(tmp_path):
    file = tmp_path / "mine.onnx"
    write_network(file)
    write_card(file, exposure="{rafdb: in training, ckplus: unseen}")
    return file


def export(module, size, file, **more):
    module = module.eval()
    example = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        module, (example,), str(file), input_names=["x"], dynamo=True, dynamic_shapes=({0: batch},), **more
    )


def test_a_trained_method_in_onnx_predicts_as_its_own_run(plan, workspace, store, evaluate, tmp_path):
    planned = plan(max_epochs=2)
    own = execute(planned, store, workspace)
    assert own.status == "done", own.error
    folder = planned.folder(store)
    method = load_weights(folder.checkpoints / "val.pt")
    spec = method.input_spec(method.settings)
    file = tmp_path / "exported.onnx"
    export(method.network, spec.size, file)
    values = f"{{size: {spec.size}, mean: {list(spec.mean)}, std: {list(spec.std)}}}"
    if spec.grey:
        values = values.replace("mean", "colour: gray, channels: 3, mean")
    write_card(file, classes=f"[{', '.join(own.classes)}]", input=values)
    record = evaluate(file)
    mine, theirs = store.predictions(own, "rafdb"), store.predictions(record, "rafdb", "last")
    assert theirs.frame["sample_id"].tolist() == mine.frame["sample_id"].tolist()
    np.testing.assert_allclose(theirs.logits, mine.logits, rtol=1e-3, atol=1e-3)
    assert (theirs.logits.argmax(axis=1) == mine.logits.argmax(axis=1)).all()
    assert record.score("rafdb", "last").metrics["uar"] == own.score("rafdb").metrics["uar"]
    assert record.score("rafdb", "last").rows == own.score("rafdb").rows


@pytest.mark.long
def test_a_public_network_in_onnx_gets_a_row(evaluate, tmp_path, store):
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=7)
    file = tmp_path / "mobile.onnx"
    export(network, 64, file)
    write_card(file, input="{size: 64, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}")
    record = evaluate(file)
    assert (record.status, record.method, record.dataset) == ("done", "mobile", OUTSIDE)
    score = record.score("rafdb", "last")
    assert (score.k, 0 <= score.uar <= 1) == (7, True)
    assert store.scan()[0] == [record]


def test_the_record_says_what_the_model_is_and_saw(network, evaluate, store, workspace):
    record = evaluate(network, ["rafdb", "ckplus"])
    assert record.is_outside
    assert record.training_data.exposure == {"ckplus": "unseen", "rafdb": "in training"}
    assert seen_before(record, "rafdb") is None  # drawn faces are in nobody's training data
    real = record.model_copy(update={"data_kind": "real"})
    assert [name for name in ("rafdb", "ckplus", "mmi") if seen_before(real, name)] == ["rafdb"]
    assert record.settings["card"]["name"] == "mine"
    assert record.checkpoint == record.key_fields["outside"]["weights"]
    assert {score.target for score in record.scores} == {"ckplus", "rafdb"}
    dataset = workspace.source("ckplus").dataset
    _, rows = evaluation_rows(dataset.index, dataset.card, None, quick=True)
    assert len(store.predictions(record, "ckplus", "last").frame) == len(rows)


def test_a_further_dataset_joins_the_row_and_nothing_is_computed_twice(network, evaluate, store, monkeypatch):
    first = evaluate(network)
    calls, real = [], OnnxNetwork.__call__
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda self, x: calls.append(len(x)) or real(self, x))
    again = evaluate(network)
    assert (again, calls) == (first, [])
    both = evaluate(network, ["ckplus"])
    assert both.key == first.key
    assert [score.target for score in both.scores] == ["ckplus", "rafdb"]
    assert both.training_data.exposure.keys() == {"ckplus", "rafdb"}
    assert len(store.scan()[0]) == 1
    file = store.run_dir("mine", OUTSIDE, first.key).predictions_file("rafdb", "last")
    file.write_bytes(b"damaged")
    calls.clear()
    evaluate(network)
    assert calls


def test_scores_come_again_from_the_stored_predictions(network, evaluate, store):
    record = evaluate(network)
    outcome = score_run(store, f"mine/{OUTSIDE}/{record.key}")
    assert (outcome.state, outcome.changed, outcome.problem) == ("scored", False, "")


def test_all_leaves_out_what_is_absent_and_says_why(network, evaluate):
    record = evaluate(network, ["all"])
    assert {score.target for score in record.scores} >= {"ckplus", "oulu", "rafdb"}
    assert set(record.missing) == {"mmi", "affectnet7", "expw", "affwild2"}


def test_a_model_that_knows_no_class_of_a_dataset_is_refused(network, evaluate, store):
    write_card(network, classes="[contempt, other, drop, drop, drop, drop, drop]")
    with pytest.raises(DataError, match="no row of rafdb has a class"):
        evaluate(network)
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("network_changes", "card_changes", "words"),
    [
        ({"softmax": True}, {}, "the card says logits"),
        ({}, {"outputs": "probabilities"}, "the card says probabilities"),
        ({"scale": np.nan}, {}, "not finite"),
        ({"classes": 8}, {}, "has 8 outputs"),
        ({"opset": 99}, {}, "opset 99"),
        ({}, {"classes": "[happy, sad, glad, angry, fear, disgust, surprise]"}, "'glad' is not an emotion"),
    ],
)
def test_nothing_is_written_where_model_and_card_do_not_fit(
    tmp_path, evaluate, store, network_changes, card_changes, words
):
    file = tmp_path / "mine.onnx"
    write_network(file, **network_changes)
    write_card(file, **card_changes)
    with pytest.raises(DataError, match=words):
        evaluate(file, ["ckplus", "rafdb"])
    assert not store.root.exists()


def test_an_interruption_keeps_what_is_tested(network, evaluate, store):
    def stop(label, done, total):
        if label == "testing on rafdb":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(network, ["ckplus", "rafdb"], announce=stop)
    ((record,), problems) = store.scan()
    assert ([score.target for score in record.scores], problems) == (["ckplus"], [])


def test_the_name_of_a_method_and_a_union_are_refused(network, evaluate, workspace):
    write_card(network, name="gcn")
    with pytest.raises(UsageError, match="name of a method"):
        evaluate(network)
    with pytest.raises(UsageError, match="a union is trained on"):
        find_targets(["ckplus+oulu"], workspace)
    with pytest.raises(UsageError, match="did you mean rafdb"):
        find_targets(["rafbd"], workspace)
    with pytest.raises(DataError):
        find_targets(["mmi"], workspace)


def test_another_class_order_than_the_card_says_is_a_warning(plan, workspace, store, evaluate, tmp_path):
    """The classes of a network that reads the labels off the picture are named in another order."""
    dataset = workspace.source("rafdb").dataset
    pack = workspace.pack("rafdb", 32)
    labels = dataset.index["label"].to_numpy(object)
    classes = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"]
    brightness = {tuple(pack.pixels[row].ravel()): classes.index(labels[row]) for row in range(len(labels))}

    class Oracle:
        def __init__(self, card):
            self.card, self.name, self.kind, self.sha256 = card, "oracle", "entry point", "ab" * 32

        def answer(self, crops):
            return np.eye(7)[[brightness[tuple(crop.ravel())] for crop in crops]] * 9

        def logits(self, answers):
            return answers.astype(np.float32)

    file = tmp_path / "oracle.onnx"
    write_network(file)
    for order, warned in ((classes, False), ([*classes[:2], "anger", *classes[3:6], "sadness"], True)):
        write_card(file, classes=f"[{', '.join(order)}]")
        ready = prepare(str(file), ["rafdb"], workspace.roots)
        record = evaluate_model(replace(ready, model=Oracle(ready.model.card)), store)
        found = [text for text in record.warnings if "another order" in text]
        assert bool(found) == warned
        if warned:
            assert found[0].startswith("rafdb: the outputs may be in another order than the card says")
            assert "anger answers sadness" in found[0]
            assert "sadness answers anger" in found[0]


def test_the_python_api_does_the_same(network, evaluate, tiny_root, tmp_path):
    by_name = fer_bench.evaluate(network, "rafdb", root=tiny_root, runs_dir=tmp_path / "api")
    record = evaluate(network)
    assert (by_name.key, by_name.scores) == (record.key, record.scores)
    several = fer_bench.evaluate(network, ["rafdb", "ckplus"], root=tiny_root, runs_dir=tmp_path / "api")
    assert [score.target for score in several.scores] == ["ckplus", "rafdb"]


def test_an_onnx_file_needs_no_torch(network, tiny_root, tmp_path):
    runs = tmp_path / "r"
    program = (
        "import sys, fer_bench\n"
        f"fer_bench.evaluate({str(network)!r}, 'rafdb', root={str(tiny_root)!r}, runs_dir={str(runs)!r})\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
