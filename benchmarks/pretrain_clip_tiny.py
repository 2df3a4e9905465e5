"""Train the towers that come with the package: small image encoders that learn from captions of drawn faces.

    python benchmarks/pretrain_clip_tiny.py clip-tiny clip-tiny-neutral --out towers
    python benchmarks/pretrain_clip_tiny.py clip-tiny-neutral --faces 2000 --epochs 2

Each takes minutes on two cores. clip-tiny learns from captions that name the drawn expression, and
clip-tiny-neutral from captions without a word about it. People and cameras are of a population that neither
the benchmark nor development shows. Use the result with `--set method.tower=clip-tiny --set
method.clip_weights=FILE`.

An image and a text tower learn which caption belongs to which face, by the symmetric contrastive loss of CLIP
(Radford et al., arXiv:2103.00020, Fig. 3) at a small scale: ten thousand faces, a residual network of 0.7
million parameters, a text encoder of one layer. The image tower is kept, and of the text tower its embeddings
of the prompts for zero-shot classification.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captioned_faces import EMOTIONS, Faces, draw_faces
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from fer_bench.cli.terminal import Preparation
from fer_bench.config import Augmentation
from fer_bench.data.loading import transforms
from fer_bench.files import file_hash, write_atomic, write_json
from fer_bench.methods.cafe.network import TINY_INPUT, TinyTower
from fer_bench.methods.weights import SHIPPED
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.captions import prompts

HELD_OUT = 1_000_000
"""Number of the first face that training never shows."""
GENDERS: tuple[tuple[str, ...], tuple[str, ...]] = (
    ("a photo of a man", "a photo of a young man", "a photo of a boy", "a photo of an elderly man"),
    ("a photo of a woman", "a photo of a young woman", "a photo of a girl", "a photo of an elderly woman"),
)
OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the total."""


@dataclass(frozen=True)
class Hyperparameters:
    """How a tower is trained.

    Attributes:
        faces: Training faces.
        test_faces: Faces, of other people, that the card's figures are measured on.
        epochs: Passes over the training faces.
        batch: Pairs per step; each is told from the others of its batch.
        lr: Highest learning rate of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
        seed: Seed of people, cameras, captions, initialisation and order.
    """

    faces: int = 10_000
    test_faces: int = 2_000
    epochs: int = 12
    batch: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.02
    seed: int = 2026


AUGMENTATION = Augmentation(flip=0.5, crop_pad=3, brightness=0.2, contrast=0.2)


class Vocabulary:
    """Words as numbers; 0 fills up, 1 is for words that training never showed.

    Args:
        captions: All captions of training.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.words = sorted({word for caption in captions for word in _words(caption)})
        self._number = {word: number for number, word in enumerate(self.words, start=2)}
        self.length = max(len(_words(caption)) for caption in captions)

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return int64 [N, length]; what is longer is cut off."""
        numbers = torch.zeros(len(captions), self.length, dtype=torch.int64)
        for row, caption in enumerate(captions):
            found = [self._number.get(word, 1) for word in _words(caption)][: self.length]
            numbers[row, : len(found)] = torch.tensor(found)
        return numbers


class TextTower(nn.Module):
    """A transformer layer over words; the mean over words is projected into the shared space.

    Args:
        words: Size of the vocabulary.
        length: Longest caption in words.
        outputs: Width of the shared space.
        width: Width of the layer.
    """

    def __init__(self, words: int, length: int, outputs: int, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.place = nn.Parameter(0.01 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.project = nn.Linear(width, outputs, bias=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return embeddings [N, D] of captions [N, length]."""
        used = int((numbers > 0).sum(dim=1).max())
        numbers = numbers[:, :used]
        empty = numbers == 0
        hidden = self.layers(self.embed(numbers) + self.place[:used], src_key_padding_mask=empty)
        weight = (~empty).unsqueeze(2).to(hidden.dtype)
        embedding: Tensor = self.project((hidden * weight).sum(dim=1) / weight.sum(dim=1))
        return embedding


class TwoTowers(nn.Module):
    """Both towers and the learned temperature.

    Args:
        words: Size of the vocabulary.
        length: Longest caption in words.
    """

    def __init__(self, words: int, length: int) -> None:
        super().__init__()
        self.image = TinyTower()
        self.text = TextTower(words, length, self.image.width)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def loss(self, images: Tensor, captions: Tensor) -> Tensor:
        """Return the symmetric contrastive loss of pairs: images [B, 3, H, W], captions [B, length]."""
        image = F.normalize(self.image(images), dim=1)
        text = F.normalize(self.text(captions), dim=1)
        return contrastive_loss(image @ text.T * self.log_scale.exp().clamp(max=100))


def contrastive_loss(similarity: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding the caption of each image and the image of each caption.

    Args:
        similarity: Scaled cosines [B, B], image by caption; pairs are on the diagonal.
    """
    own = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


def train_tower(
    name: str, out: Path, hyper: Hyperparameters | None = None, *, progress: OnProgress | None = None
) -> dict[str, Any]:
    """Train a tower, write `<name>.safetensors` and `<name>.json` and return the card.

    Runs on one thread of the CPU: there the same hyperparameters give the same bytes on the same machine.

    Args:
        name: `clip-tiny`, or `clip-tiny-neutral` with captions that say nothing about the expression.
        out: Folder to write to.
        hyper: By default those of the shipped towers.
        progress: Called with what is done, steps done and the total.
    """
    hyper = hyper or Hyperparameters()
    tell = progress or (lambda label, done, total: None)
    faces = draw_faces(hyper.faces, seed=hyper.seed, progress=lambda done, n: tell("drawing", done, n))
    test = draw_faces(hyper.test_faces, seed=hyper.seed, first=HELD_OUT)
    named = name == "clip-tiny"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hyper.seed)
            towers, vocabulary, last = _fit(faces, named, hyper, tell)
        _scale(towers.image, faces)
        classes = _prompt_embeddings(towers, vocabulary) if named else None
        figures = _figures(towers, vocabulary, faces, test, classes)
    finally:
        torch.set_num_threads(threads)
    file = out / f"{name}.safetensors"
    _save(towers.image, classes, file)
    card = {
        "name": name,
        "what": "image tower of a contrastive image-text model of drawn faces: SYNTHETIC DATA",
        "captions": "with the expression" if named else "without any word about the expression",
        "generator": GENERATOR_VERSION,
        "population": "pretraining: neither the people nor the cameras of the benchmark or of development",
        "recipe": asdict(hyper),
        "augmentation": AUGMENTATION.model_dump(mode="json"),
        "input": TINY_INPUT.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in towers.image.parameters()),
        "vocabulary": len(vocabulary),
        "example": [caption.full if named else caption.neutral for caption in faces.captions[:3]],
        "classes": [emotion.value for emotion in EMOTIONS],
        "held_out": figures,
        "last_loss": round(last, 4),
        "torch": torch.__version__.partition("+")[0],
        "sha256": file_hash(file),
    }
    write_json(out / f"{name}.json", card)
    return card


def embed(tower: nn.Module, pixels: NDArray[np.uint8]) -> Tensor:
    """Return embeddings [N, D] of pictures uint8 [N, 64, 64, 3], in evaluation mode."""
    tower.eval()
    with torch.no_grad():
        parts = [
            tower(transforms.prepare(torch.from_numpy(pixels[start : start + 256]), TINY_INPUT))
            for start in range(0, len(pixels), 256)
        ]
    return torch.cat(parts)


def zero_shot(embeddings: Tensor, classes: Tensor) -> Tensor:
    """Return the class whose prompts are closest to each picture, int64 [N].

    Args:
        embeddings: Of pictures [N, D].
        classes: Of prompts [C, D].
    """
    return (F.normalize(embeddings, dim=1) @ F.normalize(classes.to(embeddings), dim=1).T).argmax(dim=1)


def _fit(
    faces: Faces, named: bool, hyper: Hyperparameters, tell: OnProgress
) -> tuple[TwoTowers, Vocabulary, float]:
    texts = [caption.full if named else caption.neutral for caption in faces.captions]
    vocabulary = Vocabulary(texts)
    numbers, pixels = vocabulary.encode(texts), torch.from_numpy(faces.pixels)
    towers = TwoTowers(len(vocabulary), vocabulary.length).train()
    towers.image.to(memory_format=torch.channels_last)
    steps = hyper.epochs * (len(faces) // hyper.batch)
    optimizer = torch.optim.AdamW(towers.parameters(), lr=hyper.lr, weight_decay=hyper.weight_decay)
    schedule = OneCycleLR(optimizer, hyper.lr, total_steps=steps, pct_start=0.2)
    loss = torch.tensor(float("nan"))
    for step, (epoch, rows) in enumerate(_batches(len(faces), hyper), start=1):
        images = transforms.augment(
            pixels[rows], rows, TINY_INPUT, AUGMENTATION, seed=hyper.seed, epoch=epoch
        )
        loss = towers.loss(images.to(memory_format=torch.channels_last), numbers[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 10 == 0 or step == steps:
            tell("training", step * hyper.batch, steps * hyper.batch)
    return towers.eval(), vocabulary, float(loss.detach())


def _batches(count: int, hyper: Hyperparameters) -> Iterator[tuple[int, Tensor]]:
    """Yield the epoch and the rows of each step; a short last batch is left out."""
    for epoch in range(hyper.epochs):
        order = np.random.default_rng([hyper.seed, epoch]).permutation(count)
        for start in range(0, count - hyper.batch + 1, hyper.batch):
            yield epoch, torch.from_numpy(order[start : start + hyper.batch])


def _scale(tower: TinyTower, faces: Faces) -> None:
    """Scale the projection so that the root mean square of an embedding's channels is 1.

    The contrastive loss does not see the length of an embedding; a classifier on top of it does.
    """
    power = embed(tower, faces.pixels[:2048]).square().mean().sqrt()
    with torch.no_grad():
        tower.project.weight /= power


def _prompt_embeddings(towers: TwoTowers, vocabulary: Vocabulary) -> Tensor:
    with torch.no_grad():
        found = [
            F.normalize(towers.text(vocabulary.encode(prompts(emotion))), dim=1).mean(dim=0)
            for emotion in EMOTIONS
        ]
    return torch.stack(found)


def _figures(
    towers: TwoTowers, vocabulary: Vocabulary, faces: Faces, test: Faces, classes: Tensor | None
) -> dict[str, Any]:
    """Return what the tower knows about people that it never saw: shares of right answers in [0, 1]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seen, new = embed(towers.image, faces.pixels), embed(towers.image, test.pixels)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(seen.numpy(), faces.emotion)
    with torch.no_grad():
        gender = torch.stack(
            [F.normalize(towers.text(vocabulary.encode(texts)), dim=1).mean(dim=0) for texts in GENDERS]
        )
    right = (zero_shot(new, gender).numpy() == 1) == test.female
    found: dict[str, Any] = {
        "faces": len(test),
        "expression_zero_shot": None,
        "expression_linear_probe": round(float(probe.score(new.numpy(), test.emotion)), 4),
        "expression_chance": round(1 / len(EMOTIONS), 4),
        "gender_zero_shot": round(float(right.mean()), 4),
    }
    if classes is not None:
        answers = zero_shot(new, classes).numpy()
        found["expression_zero_shot"] = round(float((answers == test.emotion).mean()), 4)
    return found


def _save(tower: TinyTower, classes: Tensor | None, file: Path) -> None:
    """Save the tower in half precision, and the embeddings of the prompts where there are any."""
    from safetensors.torch import save_file

    state = {f"tower.{name}": _compact(value) for name, value in tower.state_dict().items()}
    if classes is not None:
        state["prompts"] = classes.contiguous()
    metadata = {"format": "pt"}  # safetensors writes several entries in an order that changes
    write_atomic(file, lambda place: save_file(state, place, metadata=metadata))


def _compact(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()


def _words(caption: str) -> list[str]:
    return caption.replace(",", " ,").split()


def main(arguments: list[str] | None = None) -> None:
    """Train what is asked for and print what each tower knows about faces that it never saw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("towers", nargs="+", choices=list(SHIPPED), metavar="TOWER")
    parser.add_argument("--out", type=Path, default=Path("towers"), help="folder for weights and cards")
    for name in ("seed", "faces", "epochs"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Hyperparameters, name))
    given = parser.parse_args(arguments)
    hyper = Hyperparameters(seed=given.seed, faces=given.faces, epochs=given.epochs)
    if hyper.faces < hyper.batch:
        parser.error(f"--faces must be at least {hyper.batch}, one batch")
    display = Preparation()
    try:
        cards = [train_tower(name, given.out, hyper, progress=display) for name in given.towers]
    finally:
        display.close()
    print("SYNTHETIC DATA: trained and measured on drawn faces")
    for card in cards:
        print(f"wrote {given.out / card['name']}.safetensors and {card['name']}.json")
        for figure, value in card["held_out"].items():
            print(f"  {figure}: {value}")


if __name__ == "__main__":
    main()
