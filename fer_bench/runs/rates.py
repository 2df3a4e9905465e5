"""About how long a run takes without an earlier run like it: measured rates, carried over to this processor.

`rates.json` holds how many faces a second of one core each method trains and predicts under each profile, and
how fast that core was in a short calibration, in CPU seconds; `benchmarks/speed/rates.py` measures them.
"""

from __future__ import annotations

import json
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench import methods
from fer_bench.data.loading.features import enumerable
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.protocols import evaluation_rows
from fer_bench.runs.resolve import method_settings, resolve_settings
from fer_bench.schema import Frozen

if TYPE_CHECKING:
    from fer_bench.config import MethodSettings, RunConfig, TrainSettings
    from fer_bench.workspace.workspace import Workspace

FILE = Path(__file__).with_name("rates.json")
FACTOR = 2
"""An estimate is right within this factor: memory, other work on the machine and batches differ."""
CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


class Rate(Frozen):
    """How fast a method is under a profile, in faces per CPU second of one core.

    Attributes:
        work: Multiply-adds of an image's forward pass.
        train: Faces trained.
        predict: Faces predicted, with the features of a frozen encoder from the cache where there is one.
        encode: Faces whose features a frozen encoder computes, None without one.
    """

    work: int
    train: float
    predict: float
    encode: float | None = None


class Measured(Frozen):
    """Rates of all methods on one processor.

    Attributes:
        processor: Its name.
        speed: Its `calibration`.
        rates: By method and profile.
    """

    processor: str
    speed: float
    rates: dict[str, dict[str, Rate]]


@cache
def measured() -> Measured:
    """Return the rates that come with the package."""
    return Measured.model_validate(json.loads(FILE.read_text(encoding="utf-8")))


@cache
def calibration() -> float:
    """Return the multiply-adds per CPU second of a small network's training step: the best of a few tries."""
    import torch
    from torch import nn

    layers = [nn.Conv2d(*channels, 3, padding=1) for channels in ((3, 32), (32, 32), (32, 64))]
    network = nn.Sequential(*(nn.Sequential(layer, nn.ReLU()) for layer in layers))
    image = torch.rand(8, 3, 32, 32)
    work = 3 * len(image) * 32 * 32 * sum(layer.weight.numel() for layer in layers)
    seconds = []
    for _ in range(8):
        start = time.process_time()
        network(image).square().mean().backward()
        seconds.append(time.process_time() - start)
    return work / min(seconds)


def seconds_of(config: RunConfig, workspace: Workspace) -> tuple[float, float] | None:
    """Return about how many seconds of one core of this machine a run trains, and what it takes at its end.

    That is to predict its test rows and targets. Reading and packing pictures is in neither.

    Args:
        config: Its settings.
        workspace: Datasets, whose rows are counted.

    Returns:
        None for a run on a GPU, and for a method or profile that was not measured.
    """
    rate = _rate(config) if config.device == "cpu" else None
    if rate is None:
        return None
    rows = (
        config.dataset,
        config.protocol,
        config.fold,
        config.train.label_fraction,
        config.train.unlabelled,
    )
    train, val, tested = workspace.once(
        ("rows", *rows, config.method, config.targets, config.profile), partial(_rows, config, workspace)
    )
    training, rest = seconds_at(rate, config.train, train=train, val=val, tested=tested)
    scale = measured().speed / calibration()
    return training * scale, rest * scale


def seconds_at(rate: Rate, how: TrainSettings, *, train: int, val: int, tested: int) -> tuple[float, float]:
    """Return the seconds of one core that a run trains, and those that it predicts at its end.

    Args:
        rate: How fast its method is.
        how: Epochs, rows per epoch and augmentation.
        train: Training rows.
        val: Validation rows, predicted after each epoch.
        tested: Rows predicted at the end.
    """
    per_epoch = min(train, how.epoch_rows or train) / rate.train + val / rate.predict
    training, rest = how.max_epochs * per_epoch, (val + tested) / rate.predict
    if rate.encode is not None:
        views = 2 if how.augmentation.flip else 1
        training += (val + (views * train if enumerable(how.augmentation) else 0)) / rate.encode
        rest += tested / rate.encode
    return training, rest


def _rate(config: RunConfig) -> Rate | None:
    """Return the rate of a run: its profile's, by the multiply-adds where settings were changed."""
    known = measured().rates.get(config.method, {})
    rate = known.get(config.profile)
    if rate is None:
        return None
    settings, _ = resolve_settings(config.method, config.profile)
    own = method_settings(config)
    if own == settings:
        return rate
    share = rate.work / work_of(config.method, own)
    return Rate(
        work=rate.work,
        train=rate.train * share,
        predict=rate.predict * share,
        encode=None if rate.encode is None else rate.encode * share,
    )


@cache
def work_of(method: str, settings: MethodSettings) -> int:
    """Return the multiply-adds of an image's forward pass of a method with random weights."""
    from fer_bench.methods.size import multiply_adds

    kind = methods.get(method)
    return multiply_adds(kind(CLASSES, settings, kind.profile()[1]))


def _rows(config: RunConfig, workspace: Workspace) -> tuple[int, int, int]:
    """Return how many rows a run trains on and validates, and predicts of tests and targets at its end."""
    kind = methods.get(config.method)
    data = make_datamodule(
        workspace.source(config.dataset).dataset,
        spec=kind.input_spec(method_settings(config)),
        with_unlabelled=kind.uses_unlabelled and config.train.unlabelled,
        label_fraction=config.train.label_fraction,
        protocol=config.protocol,
        fold=config.fold,
    )
    tested = len(data.rows("test"))
    for target in config.targets:
        dataset = workspace.source(target).dataset
        tested += len(evaluation_rows(dataset.index, dataset.card, None, quick=config.profile == "quick")[1])
    return len(data.rows("train")), len(data.rows("val")), tested
