"""Compare training steps with the way in which the methods' released code computes them.

    python -m benchmarks.speed.released

Same network, batch, precision and one thread. What the released way does is written out below, from the
published descriptions in the methods' READMEs; no code was copied. Released code leaves torch's defaults:
the usual memory layout, an optimiser that goes from tensor to tensor, the allocator of the system, and a loss
that is read at every step.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.forked import Way, Workers
from benchmarks.speed.harness import Ratio, Report, alternate, median_ratio, run_benchmark
from benchmarks.speed.steps import TrainingStep, multiply_adds, profile_of
from fer_bench.methods.gcn.network import GCNNetwork
from fer_bench.methods.resemotenet.network import Convolution
from fer_bench.methods.ssmfar import losses as ssmfar_losses

PLAIN = {"generator": "none", "generator_weights": None, "fixed_generator": False}
"""Settings of gcn's plain encoder."""
TEXT = """A step as the methods' released code takes it (`released.py` writes it out: same network, batch
and precision, one thread) over a step of this suite, in CPU time. gcn has no released code: two passes
through its encoder over one pass with both flows, and its step over that of its plain encoder. Released
code also leaves torch's defaults: the allocator of the system, the usual layout, an unfused optimiser, and
a loss that is read at every step; resemotenet's gain is theirs (see Options of a CPU)."""
LIMIT = (
    "the encoder takes {share:.0%} of the plain step's time and sees two pictures per row instead of one: "
    "at the same time per picture that makes {floor:.2f} times the plain step ({flops:.2f} times its "
    "multiply-adds)"
)


class ReleasedStep(TrainingStep, ABC):
    """A step as released code takes it: torch's defaults, and the loss read each time."""

    def __init__(self, name: str, profile: str, *, rows: int, **settings: Any) -> None:
        super().__init__(name, profile, rows=rows, **settings)
        self.method.to(memory_format=torch.contiguous_format)
        for group in self.optimizer.param_groups:
            group["fused"] = group["foreach"] = False
        self.seen = 0.0

    def __call__(self) -> None:
        """Take the step, and add to a running loss."""
        super().__call__()
        self.seen += self.found.item()

    def loss(self) -> Tensor:
        """Return the loss of the step."""
        self.found = self.written_out()
        return self.found

    @abstractmethod
    def written_out(self) -> Tensor:
        """Return the loss, computed as the description says."""


class ReleasedResEmoteNet(ReleasedStep):
    """ResEmoteNet: cross-entropy of the logits; right answers are counted at each step."""

    def written_out(self) -> Tensor:
        """Return the cross-entropy."""
        Convolution.LARGE = 2**62  # every convolution as torch computes it
        logits = cast(Tensor, self.method.network(self.batch["image"]))
        self.right = int((logits.argmax(1) == self.batch["label"]).sum())
        return F.cross_entropy(logits, self.batch["label"])


class ReleasedSSMFAR(ReleasedStep):
    """SS-MFAR: three passes, of all weak views, of the unlabelled ones once more, and of all strong views.

    Pseudo-labels come from the pass of the unlabelled rows without gradient. A row's probability is compared
    with its class's threshold one by one, and rows of the losses are then gathered by their numbers.
    """

    def written_out(self) -> Tensor:
        """Return L_EXPR + L_VA + L_AU."""
        method, batch = cast(Any, self.method), self.batch
        missing = [number for number, label in enumerate(batch["label"].tolist()) if label < 0]
        known = [number for number in range(self.rows) if number not in missing]
        with torch.no_grad():
            sure, answer = method.network(batch["image"][missing]).expression.softmax(1).max(1)
        weak = method.network(batch["image"])
        strong = method.network(batch["strong"]).expression
        believed = torch.zeros(len(missing))
        unsure = []
        for place, number in enumerate(missing):
            if sure[place].item() >= method.thresholds[answer[place]].item():
                believed[place] = 1.0
            else:
                unsure.append(number)
        weights = method.class_weights
        labelled = F.cross_entropy(
            weak.expression[known], batch["label"][known], weights, reduction="none"
        ).mean()
        pseudo = F.cross_entropy(strong[missing], answer, weights, reduction="none")
        p, q = weak.expression[unsure].softmax(1), strong[unsure].softmax(1)
        both = (p * (p.log2() - q.log2())).sum(1) + (q * (q.log2() - p.log2())).sum(1)
        expression = 0.5 * (labelled + (pseudo * believed).mean())
        if unsure:
            expression = expression + 0.5 * both.mean()
        affect = torch.stack([1 - concordance(weak.va[:, k], batch["va"][:, k]) for k in (0, 1)]).mean()
        units = F.binary_cross_entropy_with_logits(weak.au, batch["au"].float(), pos_weight=method.au_weights)
        return expression + affect + units


def concordance(x: Tensor, y: Tensor) -> Tensor:
    """Return the concordance correlation of two samples."""
    shared = ((x - x.mean()) * (y - y.mean())).sum() / (len(x) - 1)
    return 2 * shared / (x.var() + y.var() + (x.mean() - y.mean()) ** 2 + ssmfar_losses.EPSILON)


class ReleasedCAFE(ReleasedStep):
    """CAFE: the tower runs at every step; the channels to drop are shuffled in lists."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, feature_cache=False, **named)

    def written_out(self) -> Tensor:
        """Return l_cls + 1.5 l_sep + 5 l_div."""
        network, label = cast(Any, self.method.network), self.batch["label"]
        found = network(self.batch["image"])
        size = network.width // 7
        kept: list[float] = []
        for _ in range(7):
            dropped = round(size * 10 / 73)
            group = [0.0] * dropped + [1.0] * (size - dropped)
            random.shuffle(group)
            kept += group
        kept += [1.0] * (network.width - len(kept))
        grouped = F.max_pool1d((found.feature * torch.tensor(kept))[:, None], size, size)[:, 0]
        diverse = F.max_pool1d(found.feature[:, None], size, size)[:, 0].mean() / size
        return (
            F.cross_entropy(found.logits, label) + 1.5 * F.cross_entropy(grouped, label) + 5 * (1 - diverse)
        )


MIXED = (
    "`paper` mixes rows as the released code does, and passes all strong views as well, because "
    "batch statistics depend on it; only the pass without gradient is saved"
)
CASES: Sequence[tuple[str, type[ReleasedStep], str, int, float | None]] = (
    ("ssmfar", ReleasedSSMFAR, "quick", 32, 1.5),
    ("ssmfar", ReleasedSSMFAR, "paper", 4, 1.5),
    ("resemotenet", ReleasedResEmoteNet, "quick", 32, 1.5),
    ("resemotenet", ReleasedResEmoteNet, "paper", 16, 1.5),
    ("cafe", ReleasedCAFE, "quick", 16, None),
    ("cafe", ReleasedCAFE, "paper", 4, None),
)
"""Method, released way, profile, rows, and how many times as fast it should be."""


def measure(rounds: int) -> Report:
    """Time each step in turn with its released way."""
    torch.set_num_threads(1)
    ratios, figures = [], {}
    for name, released, profile, rows, wanted in CASES:
        ways = {
            "released": Way(partial(released, name, profile, rows=rows), keeps=False),
            "ours": Way(partial(TrainingStep, name, profile, rows=rows)),
        }
        with Workers(ways) as workers:
            few = rounds if profile == "quick" else min(rounds, 2)
            seconds = alternate(workers.steps, few, workers.spent)
        title = f"released / ours, {name} {profile}"
        note = MIXED if (name, profile) == ("ssmfar", "paper") else ""
        ratios.append(Ratio(title, median_ratio(seconds, "released", "ours"), wanted, note=note))
        figures[title] = {way: min(found) for way, found in seconds.items()}
    return Report(
        title="Training steps against released code",
        text=TEXT,
        ratios=[*ratios, *gcn_ratios(rounds, figures)],
        figures=figures,
        profile=flow_profile(),
    )


def gcn_ratios(rounds: int, figures: dict[str, Any]) -> list[Ratio]:
    """Time gcn's step with one and two passes, and its plain encoder's."""
    ways = {
        "one pass": Way(partial(TrainingStep, "gcn", "quick")),
        "two passes": Way(two_passes),
        "plain": Way(partial(TrainingStep, "gcn", "quick", **PLAIN)),
    }
    with Workers(ways) as workers:
        seconds = alternate(workers.steps, 8 * rounds, workers.spent)
    figures["gcn quick"] = {way: min(found) for way, found in seconds.items()}
    both, one = TrainingStep("gcn", "quick"), TrainingStep("gcn", "quick", **PLAIN)
    flops = multiply_adds(both) / multiply_adds(one)
    step = median_ratio(seconds, "one pass", "plain")
    figures["gcn quick, multiply-adds over the plain encoder's"] = flops
    share = encoder_share()
    note = LIMIT.format(share=share, flops=flops, floor=1 + share)
    return [
        Ratio("two passes / one pass, gcn quick", median_ratio(seconds, "two passes", "one pass"), 1.0),
        Ratio("gcn / plain encoder, quick", step, 1.5, better="lower", note=note if step > 1.5 else ""),
    ]


def two_passes() -> TrainingStep:
    """Return gcn's step with a pass of the encoder per flow."""
    step = TrainingStep("gcn", "quick")
    network = cast(GCNNetwork, step.method.network)
    network.encoder2_reference = network.encoder2
    return step


def encoder_share() -> float:
    """Return the encoder's share of the CPU time of the plain encoder's step."""
    step = TrainingStep("gcn", "quick", **PLAIN)
    network, image = cast(GCNNetwork, step.method.network), step.batch["image"][:, :1]

    def encode() -> None:
        code, _ = network.encoder2(image)
        torch.autograd.backward(code.sum())

    found = alternate({"encoder": encode, "step": step}, 25)
    return min(1.0, median_ratio(found, "encoder", "step"))


def flow_profile() -> str:
    """Return where the time of gcn's step and of its plain encoder's goes."""
    steps: dict[str, Callable[[], TrainingStep]] = {
        "gcn, quick": partial(TrainingStep, "gcn", "quick"),
        "its plain encoder": partial(TrainingStep, "gcn", "quick", **PLAIN),
        "ResEmoteNet, quick": partial(TrainingStep, "resemotenet", "quick"),
        "ssmfar, quick": partial(TrainingStep, "ssmfar", "quick"),
    }
    return "\n".join(profile_of(title, make()) for title, make in steps.items())


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
