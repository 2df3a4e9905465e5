from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from fer_bench.config import (
    Augmentation,
    MethodSettings,
    RunConfig,
    SweepConfig,
    TrainSettings,
    apply_overrides,
    build,
    parse_override,
)
from fer_bench.errors import UsageError


class Settings(MethodSettings):
    lr: float = 0.1
    name: str = "plain"
    layers: tuple[int, ...] = (1, 2)


TRAIN = TrainSettings(max_epochs=3, batch_size=8)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("method.lr=1e-3", ("method", "lr"), 1e-3),
        ("train.augmentation.flip=0", ("train", "augmentation", "flip"), 0),
        ("method.name=a=b", ("method", "name"), "a=b"),
        ("method.layers=[3, 4]", ("method", "layers"), [3, 4]),
        ("train.early_stop=null", ("train", "early_stop"), None),
        (" method . lr =2", ("method", "lr"), 2),
    ],
)
def test_an_override_is_a_path_and_a_yaml_value(text, path, value):
    assert parse_override(text) == (path, value)


@pytest.mark.parametrize("text", ["method.lr", "=1", "method.=1", ".lr=1", "method.lr=[1", "method.lr={"])
def test_a_malformed_override_is_refused_with_its_text(text):
    with pytest.raises(UsageError, match=r"setting") as caught:
        parse_override(text)
    assert caught.value.value == text


def test_overrides_change_what_they_name_and_nothing_else():
    method, train = apply_overrides(
        ["method.lr=1e-3", "train.augmentation.crop_pad=4", "method.layers=[5]"],
        method=Settings(),
        train=TRAIN,
    )
    assert method == Settings(lr=1e-3, layers=(5,))
    assert train == TRAIN.model_copy(update={"augmentation": Augmentation(crop_pad=4)})
    assert Settings() == Settings(lr=0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("method.lrr=1", "did you mean lr"),
        ("train.augmentation.flipp=1", "did you mean flip"),
        ("methd.lr=1", "did you mean method"),
        ("method=1", "unknown setting"),
        ("method.lr.x=1", "no parts"),
        ("method.lr=fast", "valid number"),
        ("method.lr=.nan", "finite"),
        ("method.lr=nan", "finite"),
        ("method.lr=inf", "finite"),
        ("train.max_epochs=0", "greater than or equal to 1"),
        ("train.batch_size=1", "greater than or equal to 2"),
        ("train.augmentation.flip=1.5", "less than or equal to 1"),
        ("train.augmentation.erase_area=[0.5, 0.1]", "smallest <= largest"),
        ("train.augmentation.erase_area=[0, 0.1]", "0 < smallest"),
    ],
)
def test_a_wrong_override_is_one_message_that_quotes_it(text, words):
    with pytest.raises(UsageError, match=words) as caught:
        apply_overrides([text], method=Settings(), train=TRAIN)
    assert text in str(caught.value)


def test_settings_cannot_change_and_know_their_fields():
    with pytest.raises(ValidationError, match=r"frozen"):
        TRAIN.max_epochs = 5
    with pytest.raises(UsageError, match=r"here: layres: .*\n  did you mean layers"):
        build(Settings, {"layres": []}, "here")


def test_a_seed_fits_every_generator():
    values = {
        "method": "m",
        "dataset": "d",
        "protocol": "p",
        "profile": "quick",
        "method_settings": {},
        "train": TRAIN,
    }
    assert build(RunConfig, {**values, "seed": 2**31 - 1}, "run").seed == 2**31 - 1
    for seed in (-1, 2**31):
        with pytest.raises(UsageError, match=r"seed"):
            build(RunConfig, {**values, "seed": seed}, "run")
        with pytest.raises(UsageError, match=r"seeds"):
            build(SweepConfig, {"seeds": [0, seed]}, "sweep")


def test_a_sweep_file_says_little_and_means_all():
    sweep = build(SweepConfig, {"methods": ["gcn"], "folds": [1, 2]}, "sweep.yaml")
    assert (sweep.methods, sweep.datasets, sweep.folds, sweep.seeds) == (("gcn",), "all", (1, 2), (0,))
    with pytest.raises(UsageError, match=r"sweep.yaml: profile"):
        build(SweepConfig, {"profile": "huge"}, "sweep.yaml")


def test_configuration_imports_no_torch():
    code = "import sys, fer_bench.config, fer_bench.workspace.sources; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
