"""Measure the speed-up of cafe by its cache of frozen features, and compare it with what is possible.

    python benchmarks/speed/feature_cache.py                 # quick: clip-tiny and the narrow network
    python benchmarks/speed/feature_cache.py --profile paper # CLIP ViT-B/32 and ResNet-18, random weights

Time does not depend on the weights, so none are needed. With a tower of T and a mask network of M
multiply-adds the most possible is (T + 3 M) / 3 M in training (backwards counts twice) and (T + M) / M in
evaluation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fer_bench.config import build
from fer_bench.data.batch import Task
from fer_bench.methods.cafe.method import CAFE
from fer_bench.methods.cafe.settings import CAFESettings


def main() -> None:
    """Measure and print one line per kind of step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=["quick", "paper"], default="quick")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=None, help="default: the profile's")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    profile = CAFE.profiles[given.profile]
    settings = build(CAFESettings, profile.method, given.profile)
    names = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    method = CAFE(Task(names, (1,) * 7), settings, profile.train).to(given.device)
    batch = given.batch or profile.train.batch_size
    image = torch.randn(batch, 3, settings.size, settings.size, device=given.device)
    frozen = method.network.tower(image)
    tower, mask = _multiply_adds(method.network.tower, image), _multiply_adds(method.network.backbone, image)

    def train(known: Tensor | None) -> None:
        method.zero_grad(set_to_none=True)
        found = method.network(image, known)
        torch.autograd.backward(found.logits.square().mean())

    def test(known: Tensor | None) -> None:
        with torch.inference_mode():
            method.network(image, known)

    print(f"profile {given.profile}, batch {batch}, {given.device}, {given.threads} thread(s)")
    print(f"multiply-adds per picture: tower {tower / batch / 1e6:.1f} M, mask {mask / batch / 1e6:.1f} M")
    for name, step, bound in (
        ("training", train, (tower + 3 * mask) / (3 * mask)),
        ("evaluation", test, (tower + mask) / mask),
    ):
        method.train(name == "training")
        gain = _ratio(lambda step=step: step(None), lambda step=step: step(frozen), given)
        print(f"{name}: {gain:.2f} times as fast with cached features; multiply-adds allow {bound:.2f}")


def _ratio(slow: Callable[[], None], fast: Callable[[], None], given: argparse.Namespace) -> float:
    """Return the median over repeats of the ratio of both times, measured in turn."""
    slow(), fast()
    return statistics.median(_seconds(slow, given) / _seconds(fast, given) for _ in range(given.repeats))


def _seconds(step: Callable[[], None], given: argparse.Namespace) -> float:
    cuda = given.device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _multiply_adds(module: nn.Module, image: Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(image)
    return int(counter.get_total_flops()) // 2


if __name__ == "__main__":
    main()
