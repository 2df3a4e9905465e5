"""Measure the speed-up of cafe by its cache of frozen features, and compare it with what is possible.

    python -m benchmarks.speed.feature_cache

Time does not depend on the weights, so random ones are taken. With a tower of T and a mask network of M
multiply-adds the most possible is (T + 3 M) / 3 M in training (backwards counts twice) and (T + M) / M in
evaluation.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor

from benchmarks.speed.harness import Ratio, Report, alternate, median_ratio, run_benchmark
from benchmarks.speed.steps import TrainingStep, multiply_adds
from fer_bench import allocator
from fer_bench.methods.cafe.network import CAFENetwork

ROWS = {"quick": 16, "paper": 8}
WANTED = 0.8
"""Share of the speed-up that multiply-adds allow."""
UNCOUNTED = (
    "multiply-adds leave out batch norms, activations and calls, which weigh most in the gradients of a "
    "narrow network"
)
TEXT = """cafe's network with the features of its frozen tower from the cache, as a share of the speed-up that
counting multiply-adds allows: (tower + 3 mask) / 3 mask in training, (tower + mask) / mask in evaluation."""


def measure(rounds: int) -> Report:
    """Time steps with and without features from the cache in turn."""
    torch.set_num_threads(1)
    allocator.keep_memory()
    ratios, figures = [], {}
    for profile, rows in ROWS.items():
        made = TrainingStep("cafe", profile, rows=rows)
        network, image = cast(CAFENetwork, made.method.network), made.batch["image"]
        assert network.tower is not None
        assert network.backbone is not None
        with torch.no_grad():
            tower, mask = (multiply_adds(partial(part, image)) for part in (network.tower, network.backbone))
            frozen = network.tower(image)
        for kind, step, bound in (
            ("training", train, (tower + 3 * mask) / (3 * mask)),
            ("evaluation", evaluate, (tower + mask) / mask),
        ):
            network.train(kind == "training")
            ways = {
                "tower": partial(step, network, image, None),
                "cache": partial(step, network, image, frozen),
            }
            gain = median_ratio(alternate(ways, rounds), "tower", "cache")
            figures[f"{profile}, {kind}"] = {"gain": gain, "possible": bound}
            label = f"speed-up / possible, {kind}, {profile}"
            ratios.append(Ratio(label, gain / bound, WANTED, note=UNCOUNTED if gain / bound < WANTED else ""))
    return Report("Cached features of cafe", TEXT, ratios, figures)


def train(network: CAFENetwork, image: Tensor, frozen: Tensor | None) -> None:
    """Compute the gradients of a batch."""
    network.zero_grad(set_to_none=True)
    torch.autograd.backward(network(image, frozen).logits.square().mean())


def evaluate(network: CAFENetwork, image: Tensor, frozen: Tensor | None) -> None:
    """Predict a batch."""
    with torch.inference_mode():
        network(image, frozen)


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
