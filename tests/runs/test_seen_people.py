"""People whose faces a generator was trained on before are not tested."""

from __future__ import annotations

import json
import shutil

import pytest

from fer_bench.errors import UsageError
from fer_bench.files import file_hash
from fer_bench.methods import weights
from fer_bench.methods.gcn.generator import open_generator
from fer_bench.runs.seen_people import marks_of
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.plans import plan_one


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("lab")
    for name in ("ckplus", "oulu"):
        layouts.write(name, root, size="tiny")
    return Workspace(find_roots(str(root)))


@pytest.fixture
def learned(workspace, tmp_path):
    """Return a function that makes a generator whose card says that it learned some people of a dataset."""

    def make(dataset: str, subjects: list[str]) -> str:
        file = tmp_path / f"{dataset}.safetensors"
        shutil.copy(weights.FOLDER / "neutral-tiny.safetensors", file)
        card = json.loads((weights.FOLDER / "neutral-tiny.json").read_text())
        marks = [*marks_of(workspace.source(dataset), subjects).values()]
        card |= {"people": {dataset: marks}, "sha256": file_hash(file), "trained_on": f"people of {dataset}"}
        file.with_suffix(".json").write_text(json.dumps(card))
        open_generator.cache_clear()
        return str(file)

    return make


def plan(workspace, generator, dataset="oulu", targets="none", **more):
    overrides = (f"method.generator_weights={generator}", "train.batch_size=16", *more.pop("overrides", ()))
    options = {"method": "gcn", "fold": 1, "seed": 0, "profile": "quick", "max_epochs": 1} | more
    return plan_one(workspace, dataset=dataset, targets=targets, overrides=overrides, **options)


def people(workspace, role):
    dataset = workspace.source("oulu").dataset
    protocol = next(p for p in dataset.card.protocols if p.name == dataset.card.quick_protocol)
    return sorted({*dataset.index["subject"][dataset.roles(protocol, 1) == role]})


@pytest.mark.parametrize("role", ["val", "test"])
def test_a_tested_person_is_refused_by_name(workspace, learned, role):
    who = people(workspace, role)
    with pytest.raises(UsageError) as caught:
        plan(workspace, learned("oulu", who[:1]))
    assert who[0] in str(caught.value)
    assert "pretrain-generator --dataset oulu --fold" in str(caught.value)


def test_people_who_only_train_are_allowed(workspace, learned):
    generator = learned("oulu", people(workspace, "train"))
    planned = plan(workspace, generator)
    assert planned.key_fields["weights"] == {"generator": open_generator(generator).sha256}


def test_people_of_a_target_are_refused_too(workspace, learned):
    everybody = [*workspace.source("ckplus").dataset.index["subject"].unique()]
    generator = learned("ckplus", everybody[-1:])
    plan(workspace, generator)
    with pytest.raises(UsageError, match="tests people of ckplus"):
        plan(workspace, generator, targets=("ckplus",))


def test_people_of_a_union_are_known_by_their_member(workspace, learned):
    everybody = [*workspace.source("oulu").dataset.index["subject"].unique()]
    with pytest.raises(UsageError, match="people of oulu"):
        plan(workspace, learned("oulu", everybody), dataset="ckplus+oulu")


def test_plain_encoder_from_the_same_generator_is_refused_alike(workspace, learned):
    with pytest.raises(UsageError, match="generator was trained on before"):
        plan(workspace, learned("oulu", people(workspace, "test")), overrides=("method.generator=none",))


def test_drawn_people_of_another_seed_are_others(workspace):
    source = workspace.source("oulu")
    other = type(source)(source.dataset, source.kind, {**source.generator, "seed": 5})
    assert marks_of(source, ["P001"]) != marks_of(other, ["P001"])
    assert marks_of(source, ["P001", "P002"]).keys() == {"P001", "P002"}
    assert "P001" not in marks_of(source, ["P001"])["P001"]
