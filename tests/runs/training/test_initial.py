"""Every method starts from a checkpoint; classes are matched by name, and nothing is mixed up in silence."""

import pytest
import torch

from fer_bench import methods
from fer_bench.data.batch import Task
from fer_bench.errors import StoreError, UsageError
from fer_bench.methods.weights import state_hash
from fer_bench.runs.training.checkpoints import save_weights
from fer_bench.runs.training.initial import start_from

BEFORE = ("neutral", "happiness", "sadness", "fear")
AFTER = ("fear", "anger", "happiness")
SETTINGS = {
    "erm": {"backbone": "small", "mode": "scratch", "size": 48},
    "gcn": {"width": 0.25, "hidden": 32},
    "cafe": {"tower": "clip-tiny", "backbone": "narrow", "size": 64},
    "resemotenet": {"width": 0.03},
    "ssmfar": {},
}


def builder(name, **changes):
    kind = methods.get(name)
    settings, train = kind.profile("quick")
    settings = settings.model_copy(update={**SETTINGS[name], **changes})

    def build(task):
        torch.manual_seed(3)
        return kind(task, settings, train)

    return build


def trained(build, classes=BEFORE, **task):
    """Return a method that differs from what `build` makes anew, also in its running statistics."""
    method = build(Task(classes, tuple(range(3, 3 + len(classes))), **task))
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    for name, buffer in method.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.1
    return method.eval()


def logits(method):
    size = method.input_spec(method.settings).size
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        return method.eval()(image).logits


@pytest.mark.parametrize("name", SETTINGS)
def test_classes_that_both_know_keep_their_answers_whatever_their_place(name, tmp_path):
    build = builder(name)
    old = trained(build)
    save_weights(old, file := tmp_path / "old.pt")
    new = build(Task(AFTER, (5, 5, 5)))
    notes = start_from(new, file, state_hash(old.state_dict()), build)
    assert torch.allclose(logits(new)[:, 0], logits(old)[:, 3], atol=1e-5)  # fear
    assert torch.allclose(logits(new)[:, 2], logits(old)[:, 1], atol=1e-5)  # happiness
    assert "its rows for fear, happiness are the checkpoint's" in notes[0]
    assert notes[1:3] == [
        "new in the head: anger",
        "the checkpoint's neutral, sadness cannot be answered any more",
    ]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_classes_are_the_same_network(name, tmp_path):
    build = builder(name)
    old = trained(build)
    save_weights(old, file := tmp_path / "old.pt")
    new = build(Task(BEFORE, (1, 2, 3, 4)))
    assert not any("head" in note for note in start_from(new, file, state_hash(old.state_dict()), build))
    assert torch.equal(logits(new), logits(old))


def test_without_a_common_class_the_head_is_new_and_the_rest_the_checkpoints(tmp_path):
    build = builder("erm")
    old = trained(build, ("neutral", "sadness"))
    save_weights(old, file := tmp_path / "old.pt")
    new = build(Task(AFTER, (5, 5, 5)))
    fresh = new.network.head.weight.clone()
    (first, *_) = start_from(new, file, state_hash(old.state_dict()), build)
    assert "no class of it is known to the checkpoint" in first
    assert torch.equal(new.network.head.weight, fresh)
    first_layer = [each.network.backbone.features[0].weight for each in (new, old)]
    assert torch.equal(*first_layer)


def test_what_is_made_of_the_training_rows_is_the_runs_own(tmp_path):
    build = builder("ssmfar")
    old = trained(build)
    save_weights(old, file := tmp_path / "old.pt")
    task = Task(BEFORE, (1, 1, 1, 97))
    new = build(task)
    notes = start_from(new, file, state_hash(old.state_dict()), build)
    assert torch.equal(new.class_weights, build(task).class_weights)
    assert not torch.equal(new.class_weights, old.class_weights)
    assert any("not taken from the checkpoint: class_weights" in note for note in notes)


def test_heads_that_only_one_side_has_are_named(tmp_path):
    build = builder("ssmfar")
    old = trained(build, has_va=True, has_au=True, au_counts=((3, 4),) * 12)
    save_weights(old, file := tmp_path / "old.pt")
    new = build(Task(BEFORE, (1, 2, 3, 4)))
    text = "; ".join(start_from(new, file, state_hash(old.state_dict()), build))
    lost = set(old.state_dict()) - set(new.state_dict())
    assert {"network.au.weight", "network.va.0.weight"} <= lost
    assert "left out of the checkpoint: network.va.0.weight" in text


def test_another_network_or_method_or_file_is_refused(tmp_path):
    build = builder("erm")
    old = trained(build)
    save_weights(old, file := tmp_path / "old.pt")
    wider = builder("erm", width=8)
    with pytest.raises(UsageError, match="make another network"):
        start_from(wider(Task(BEFORE, (1, 2, 3, 4))), file, state_hash(old.state_dict()), wider)
    other = builder("resemotenet")
    with pytest.raises(UsageError, match="of erm, and the run trains resemotenet"):
        start_from(other(Task(BEFORE, (1, 2, 3, 4))), file, state_hash(old.state_dict()), other)
    with pytest.raises(StoreError, match="other weights"):
        start_from(build(old.task), file, "0" * 64, build)
