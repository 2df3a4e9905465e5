"""What planning keeps of a method's answers is what the method would answer."""

import json

import pytest

from fer_bench import methods
from fer_bench.config import PROFILES
from fer_bench.files import canonical
from fer_bench.runs.asked import names_own_weights
from fer_bench.runs.keys import key_fields
from fer_bench.runs.resolve import input_spec, resolve_fields, resolve_settings
from tests.plans import plan_one


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("method", methods.BUILT_IN)
def test_settings_survive_as_plain_values(method, profile):
    settings, train = resolve_settings(method, profile)
    fields, again = resolve_fields(method, profile)
    assert again == train
    assert json.loads(json.dumps(fields)) == fields
    assert methods.get(method).build_settings(json.loads(json.dumps(fields))) == settings


@pytest.mark.parametrize("method", methods.BUILT_IN)
def test_keys_and_inputs_survive_as_plain_values(method, workspace):
    run = plan_one(workspace, method=method, dataset="oulu", profile="quick")
    assert names_own_weights(run.config)
    fields = key_fields(run.config, workspace)
    assert canonical(json.loads(json.dumps(fields))) == canonical(fields)
    spec = input_spec(run.config)
    assert type(spec).model_validate(json.loads(spec.model_dump_json())) == spec


def test_weights_from_elsewhere_can_change(workspace, tmp_path):
    run = plan_one(workspace, method="erm", dataset="oulu", profile="quick")
    named = {**run.config.method_settings, "weights": str(tmp_path / "mine.safetensors")}
    assert not names_own_weights(run.config.model_copy(update={"method_settings": named}))
