"""Train a generator alone, on pairs of a face and the same person's neutral face."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading.transforms import decisions, move, prepare
from fer_bench.errors import UsageError
from fer_bench.files import file_hash, write_atomic, write_json
from fer_bench.methods.gcn import losses
from fer_bench.methods.gcn.generator import KIND, PARTS, SHAPE
from fer_bench.methods.gcn.network import SIZE, GCNNetwork
from fer_bench.methods.gcn.schedule import cycle_share
from fer_bench.methods.gcn.settings import GCNSettings

Pixels = NDArray[np.uint8]
OnProgress = Callable[[int, int], None]
"""Called with pairs seen and their total."""
AUGMENTATION = Augmentation(flip=0.5, crop_pad=4)
HELD_OUT = 0.1
"""Share of the people that the card's errors are measured on."""
AT_ONCE = 256


@dataclass(frozen=True)
class Recipe:
    """How a generator is trained.

    Attributes:
        epochs: Passes over the training pairs.
        batch: Pairs per step.
        lr: Highest learning rate of the cycle.
        weight_decay: Decoupled weight decay.
        seed: Seed of initialisation, order, augmentation and of who is held out.
    """

    epochs: int = 14
    batch: int = 16
    lr: float = 5e-3
    weight_decay: float = 1e-4
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """Faces, and the same person's neutral face beside each.

    Attributes:
        faces: uint8 [N, 64, 64, 3], RGB.
        neutral: uint8 [M, 64, 64, 3], RGB.
        partner: int64 [N], the row of `neutral` that belongs to each face.
        person: Who each face shows [N].
    """

    faces: Pixels
    neutral: Pixels
    partner: NDArray[np.int64]
    person: NDArray[np.object_]

    def of(self, rows: NDArray[np.int64]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.faces[rows], self.neutral, self.partner[rows], self.person[rows])

    def __len__(self) -> int:
        return len(self.faces)


def train_generator(
    pairs: Pairs,
    settings: GCNSettings,
    spec: InputSpec,
    recipe: Recipe,
    *,
    progress: OnProgress | None = None,
) -> tuple[GCNNetwork, dict[str, Any]]:
    """Return a network whose generator is trained, and what it does for people whom it never saw.

    Runs on one thread of the CPU: there the same recipe gives the same weights on the same machine.

    Args:
        pairs: All pairs; those of a tenth of the people are held out.
        settings: Form and size of the generator, and the loss of pixels.
        spec: Normalisation of the network's input.
        recipe: How it is trained.
        progress: Called as training goes on.

    Raises:
        UsageError: No generator, one that needs more than pairs, or too few people.
    """
    if settings.generator not in ("residual", "ae"):
        raise UsageError(
            "a generator that learns from pairs alone is residual or ae",
            value=f"generator={settings.generator}",
            hint="--set generator=residual",
        )
    people = np.unique(pairs.person)
    if len(people) < 2:
        raise UsageError(
            "a tenth of the people is held out, so there must be two at least", value=len(people)
        )
    order = np.random.default_rng([recipe.seed, 1]).permutation(people)
    held = np.isin(pairs.person, order[: max(1, round(HELD_OUT * len(people)))])
    train, test = pairs.of(np.flatnonzero(~held)), pairs.of(np.flatnonzero(held))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = _fit(train, settings, spec, recipe, progress or (lambda done, total: None))
        figures = {
            "people": len(np.unique(test.person)),
            "pairs": len(test),
            **errors(network, test, spec),
        }
    finally:
        torch.set_num_threads(threads)
    trained = {"pairs": len(train), "people": len(np.unique(train.person))}
    return network, {"training": trained, "held_out": figures}


def errors(network: GCNNetwork, pairs: Pairs, spec: InputSpec) -> dict[str, float]:
    """Return the mean squared error of generated references, and of the faces themselves in their place.

    Args:
        network: In evaluation mode.
        pairs: What it is measured on.
        spec: Normalisation of the network's input; errors are of pixels between -1 and 1.
    """
    sums = np.zeros(2)
    for start in range(0, len(pairs), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(pairs)))
        face, neutral = (prepare(each, spec)[:, :1] for each in _tensors(pairs, rows))
        with torch.no_grad():
            drawn = network.generate(face).face
        sums += [float(losses.row_error(each, neutral, "squared").sum()) for each in (drawn, face)]
    generated, copied = (sums / len(pairs)).tolist()
    return {"error": round(generated, 5), "error_of_the_input": round(copied, 5)}


def save_generator(
    network: GCNNetwork,
    file: Path,
    *,
    settings: GCNSettings,
    trained_on: str,
    people: Mapping[str, Sequence[str]],
    recipe: Recipe,
    facts: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a generator in half precision and its card beside it, and return the card.

    Args:
        network: Its generator is written.
        file: Ends in `.safetensors`.
        settings: Form and size of the generator.
        trained_on: What it was trained on, in words.
        people: Marks of the people in training by dataset, see `fer_bench.runs.seen_people`.
        recipe: How it was trained.
        facts: What `train_generator` returned.
        more: Further entries of the card.
    """
    from safetensors.torch import save_file

    state = {
        f"{name}.{key}": (value.half() if value.is_floating_point() else value).contiguous()
        for name in PARTS
        if isinstance(part := getattr(network, name), nn.Module)
        for key, value in part.state_dict().items()
    }
    write_atomic(file, lambda place: save_file(state, place, metadata={"format": "pt"}))
    card = {
        "name": file.stem,
        "kind": KIND,
        "settings": settings.model_dump(mode="json", include={*SHAPE}),
        "trained_on": trained_on,
        "people": {name: sorted(marks) for name, marks in people.items()},
        "recipe": asdict(recipe),
        "augmentation": AUGMENTATION.model_dump(mode="json"),
        **facts,
        **more,
        "torch": torch.__version__.partition("+")[0],
        "sha256": file_hash(file),
    }
    write_json(file.with_suffix(".json"), card)
    return card


def _fit(
    pairs: Pairs, settings: GCNSettings, spec: InputSpec, recipe: Recipe, progress: OnProgress
) -> GCNNetwork:
    network = GCNNetwork(
        2,
        width=settings.width,
        kernel=settings.kernel,
        hidden=1,
        pool=settings.pool,
        unpool=settings.unpool,
        batch_norm=settings.batch_norm,
        generator=settings.generator,
        reconstructs=False,
    ).to(memory_format=torch.channels_last)
    network.train()
    parameters = [p for part in network.generator_parts() for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    batch = min(recipe.batch, len(pairs))
    steps = recipe.epochs * (len(pairs) // batch)
    schedule = LambdaLR(optimizer, lambda step: cycle_share(step, steps))
    for step, (epoch, rows) in enumerate(_batches(len(pairs), batch, recipe), start=1):
        draws = decisions(recipe.seed, epoch, torch.from_numpy(rows))
        face, neutral = (
            prepare(move(each, draws, AUGMENTATION), spec)[:, :1] for each in _tensors(pairs, rows)
        )
        drawn = network.generate(face.contiguous(memory_format=torch.channels_last)).face
        loss = losses.row_error(drawn, neutral, settings.pixel_loss).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        progress(step * batch, steps * batch)
    return network.eval()


def _batches(count: int, batch: int, recipe: Recipe) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the epoch and the rows of each step; a short last batch is left out."""
    for epoch in range(recipe.epochs):
        order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(count)
        for start in range(0, count - batch + 1, batch):
            yield epoch, order[start : start + batch]


def _tensors(pairs: Pairs, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    faces, neutral = pairs.faces[rows], pairs.neutral[pairs.partner[rows]]
    assert faces.shape[1] == SIZE
    return torch.from_numpy(faces), torch.from_numpy(neutral)
