"""What `synthetic_realism.py` measures: a small network and a nearest-neighbour search on drawn datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fer_bench import datasets
from fer_bench.data.index import stack_au
from fer_bench.data.packs.pack import open_pack
from fer_bench.data.protocols import assign_roles, find_protocol, folds_of, in_label_set, target_rows
from fer_bench.emotions import Emotion, pair_label_set
from fer_bench.evaluation.affect import binary_f1, concordance
from fer_bench.evaluation.confusion import accuracy, count_pairs, uar
from fer_bench.methods.erm.network import ERMNetwork
from fer_bench.synthetic.stand_in import stand_in

SIZE = 48
EPOCHS = 24
BATCH = 32
RATE = 3e-3
CLASSES = tuple(e.value for e in Emotion)
LAB = ("ckplus", "mmi", "oulu")
SHARES = (0.125, 0.25, 0.5, 1.0)
"""Shares of the people that are kept for training."""
FEWEST = 5
"""Positive test rows that a unit needs to be scored."""

Rows = NDArray[np.int64]


class SmallNet(ERMNetwork):
    """The small network of erm, for nine expressions, valence, arousal and twelve action units."""

    def __init__(self) -> None:
        super().__init__(len(CLASSES) + 2 + 12, backbone="small", size=SIZE, dropout=0.3)

    def answers(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return expression logits [B, 9], valence and arousal [B, 2], action unit logits [B, 12]."""
        expression, affect, units = self(image).split((len(CLASSES), 2, 12), dim=1)
        return expression, affect.tanh(), units


@dataclass(frozen=True)
class Faces:
    """A drawn dataset in memory.

    Attributes:
        name: Its name.
        pixels: uint8 [N, 48, 48, 3].
        label: int64 [N], index into `CLASSES`, -1 without one.
        affect: float32 [N, 2], NaN without one.
        units: int8 [N, 12], -1 without one.
        folds: Per fold of the quick protocol the roles of all rows [N].
        labelled: bool [N], rows with a label of the protocol.
        target: bool [N], rows on which models of other datasets are tested.
        group: int64 [N], groups that a split must not cut.
        subject: int64 [N]; where people are not identified, every row is a person.
    """

    name: str
    pixels: NDArray[np.uint8]
    label: NDArray[np.int64]
    affect: NDArray[np.float32]
    units: NDArray[np.int8]
    folds: Mapping[int, NDArray[np.str_]]
    labelled: NDArray[np.bool_]
    target: NDArray[np.bool_]
    group: NDArray[np.int64]
    subject: NDArray[np.int64]

    def rows(self, role: str, fold: int = 1) -> Rows:
        """Return the labelled rows of a role."""
        return np.flatnonzero(self.labelled & (self.folds[fold] == role))


@cache
def load(name: str, population: str, seed: int) -> Faces:
    """Load a drawn dataset into memory; it is drawn on first use."""
    dataset = datasets.get(name)(stand_in(name, "quick", population=population, seed=seed))
    index, card = dataset.index, dataset.card
    protocol = find_protocol(card, None, quick=True)
    codes = {emotion: code for code, emotion in enumerate(CLASSES)}
    subject = index["subject"].where(index["subject"].notna(), index["group"])
    return Faces(
        name,
        np.asarray(open_pack(dataset, SIZE).pixels),
        index["label"].map(codes).fillna(-1).to_numpy(np.int64),
        index[["valence", "arousal"]].to_numpy(np.float32),
        stack_au(index),
        {fold: assign_roles(index, card, protocol, fold) for fold in folds_of(protocol)},
        in_label_set(index, protocol),
        target_rows(index, card, protocol),
        index["group"].astype("category").cat.codes.to_numpy(np.int64),
        subject.astype("category").cat.codes.to_numpy(np.int64),
    )


def batches(rows: Rows, pixels: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[tuple[Tensor, Rows]]:
    """Yield shuffled, mirrored, shifted and re-lit pictures [B, 3, 48, 48] with their rows."""
    order = rng.permutation(rows)
    for start in range(0, len(order) - len(order) % BATCH or len(order), BATCH):
        part = order[start : start + BATCH]
        image = torch.from_numpy(pixels[part]).permute(0, 3, 1, 2).float() / 255
        padded = F.pad(image, (3, 3, 3, 3), mode="replicate")
        x, y = rng.integers(0, 7, 2)
        image = padded[:, :, y : y + SIZE, x : x + SIZE]
        mirrored = torch.from_numpy(rng.random(len(part)) < 0.5)[:, None, None, None]
        image = torch.where(mirrored, image.flip(3), image)
        gain, shift = (torch.from_numpy(rng.normal(0, 0.15, (len(part), 1, 1, 1))).float() for _ in range(2))
        yield (image - 0.5) * (1 + gain) + 0.5 + 0.5 * shift, part


def steps_for(rows: Rows) -> int:
    """Return the number of training steps for some rows."""
    return EPOCHS * max(1, len(rows) // BATCH)


def train(faces: Faces, rows: Rows, seed: int, steps: int | None = None) -> SmallNet:
    """Train a network on some rows, for `EPOCHS` passes over them unless a number of steps is given."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    net, rng = SmallNet(), np.random.default_rng(seed)
    total = steps or steps_for(rows)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=total, pct_start=0.15)
    label, affect, units = (torch.tensor(a) for a in (faces.label, faces.affect, faces.units))
    net.train()
    done = 0
    while done < total:
        for image, part in batches(rows, faces.pixels, rng):
            logits, va, au = net.answers(image)
            loss = F.cross_entropy(logits, label[part], ignore_index=-1)
            has_va, has_au = ~affect[part].isnan(), units[part] >= 0
            if has_va.any():
                loss = loss + F.mse_loss(va[has_va], affect[part][has_va])
            if has_au.any():
                loss = loss + 0.5 * F.binary_cross_entropy_with_logits(
                    au[has_au], units[part][has_au].float()
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            done += 1
            if done == total:
                break
    return net.eval()


@torch.inference_mode()
def answer(net: SmallNet, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """Return expression logits, affect and unit logits for pictures uint8 [N, 48, 48, 3]."""
    found = [
        net.answers(torch.from_numpy(pixels[start : start + 256]).permute(0, 3, 1, 2).float() / 255)
        for start in range(0, len(pixels), 256)
    ]
    return tuple(torch.cat(parts).numpy() for parts in zip(*found, strict=True))


def score(logits: NDArray[np.float32], truth: NDArray[np.int64], classes: Sequence[int]) -> dict[str, float]:
    """Return accuracy, UAR and n of logits restricted to some classes, over the rows that have them."""
    kept = np.isin(truth, classes)
    place = np.full(len(CLASSES), -1)
    place[list(classes)] = np.arange(len(classes))
    counts = count_pairs(place[truth[kept]], logits[kept][:, list(classes)].argmax(axis=1), len(classes))
    return {"accuracy": float(accuracy(counts)), "uar": float(uar(counts)), "n": int(kept.sum())}


def classes_of(faces: Faces) -> list[int]:
    """Return the classes of the protocol, as places in `CLASSES`."""
    return sorted(set(faces.label[faces.labelled].tolist()))


def neighbour(faces: Faces, fold: int) -> NDArray[np.int64]:
    """Return the label of the nearest training picture on standardised grey pixels, per test row."""
    grey = faces.pixels.astype(np.float32).mean(axis=3)
    small = np.stack([cv2.resize(g, (24, 24), interpolation=cv2.INTER_AREA) for g in grey]).reshape(-1, 576)
    small = (small - small.mean(axis=1, keepdims=True)) / (small.std(axis=1, keepdims=True) + 1e-3)
    known, asked = faces.rows("train", fold), faces.rows("test", fold)
    return faces.label[known][(small[asked] @ small[known].T).argmax(axis=1)]


# --- Measures; one process per dataset and seed


def measure_dataset(
    name: str, population: str, drawing: int, seed: int, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return all figures of a dataset from networks with one seed."""
    faces = load(name, population, drawing)
    nets = {fold: train(faces, rows_to_learn(faces, fold), seed) for fold in faces.folds}
    found = {
        "in_domain": in_domain(faces, nets),
        "crossing": crossing(faces, nets, [load(n, population, drawing) for n in names if n != name]),
        "affect": affect(faces, nets),
        "people": {f"{share:g}": people(faces, nets, seed, share) for share in SHARES},
    }
    if name in LAB:
        found["frame_split"] = frame_split(faces, seed)
    return found


def rows_to_learn(faces: Faces, fold: int) -> Rows:
    """Return the training rows of a fold, including those with only affect or action units."""
    return np.flatnonzero(faces.folds[fold] == "train")


def expressions(net: SmallNet, faces: Faces, rows: Rows) -> NDArray[np.float32]:
    """Return the expression logits of some rows."""
    return answer(net, faces.pixels[rows])[0]


def pooled(
    faces: Faces, answers: Sequence[tuple[Rows, NDArray[np.float32]]], classes: Sequence[int] | None = None
) -> dict[str, float]:
    """Return the scores of the folds' answers (rows, logits) together, on some classes or all."""
    rows = np.concatenate([asked for asked, _ in answers])
    logits = np.concatenate([logits for _, logits in answers])
    return score(logits, faces.label[rows], classes or classes_of(faces))


def own_answers(faces: Faces, nets: Mapping[int, SmallNet]) -> list[tuple[Rows, NDArray[np.float32]]]:
    """Return the test rows of every fold with the logits of the network that was not trained on them."""
    return [(rows := faces.rows("test", fold), expressions(net, faces, rows)) for fold, net in nets.items()]


def in_domain(faces: Faces, nets: Mapping[int, SmallNet]) -> dict[str, Any]:
    """Return scores on the dataset's own test rows (all folds pooled): network, neighbour, guessing."""
    label = faces.label[np.concatenate([faces.rows("test", fold) for fold in nets])]
    counts = np.bincount(label, minlength=len(CLASSES))
    one_hot = np.eye(len(CLASSES), dtype=np.float32)
    nearest = [(faces.rows("test", fold), one_hot[neighbour(faces, fold)]) for fold in nets]
    return {
        "network": pooled(faces, own_answers(faces, nets)),
        "neighbour": pooled(faces, nearest),
        "most_frequent": float(counts.max() / counts.sum()),
        "chance": 1 / len(classes_of(faces)),
        "train_rows": len(faces.rows("train")),
    }


def crossing(source: Faces, nets: Mapping[int, SmallNet], targets: Sequence[Faces]) -> dict[str, Any]:
    """Return per target UAR there (mean over the folds' networks) and in-domain on the same label set."""
    own = own_answers(source, nets)
    known = [CLASSES[code] for code in classes_of(source)]
    found = {}
    for target in targets:
        rows = np.flatnonzero(target.target)
        present = [CLASSES[code] for code in set(target.label[rows].tolist())]
        shared = [CLASSES.index(e) for e in pair_label_set(known, present, present)]
        there = [
            score(expressions(net, target, rows), target.label[rows], shared)["uar"] for net in nets.values()
        ]
        found[target.name] = {
            "uar": float(np.mean(there)),
            "in_domain": pooled(source, own, shared)["uar"],
            "k": len(shared),
        }
    return found


def frame_split(faces: Faces, seed: int) -> dict[str, Any]:
    """Return scores when single frames instead of persons are split into folds of the same sizes."""
    everything = np.random.default_rng(seed).permutation(np.flatnonzero(faces.labelled))
    chunks = np.array_split(everything, len(faces.folds))
    answers = []
    for fold in faces.folds:
        # As with persons: one part tests, the next one is left out, the others train.
        known = np.concatenate([chunks[(fold + i) % len(chunks)] for i in range(1, len(chunks) - 1)])
        asked = chunks[fold - 1]
        answers.append((asked, expressions(train(faces, known, seed), faces, asked)))
    return pooled(faces, answers)


def people(faces: Faces, whole: Mapping[int, SmallNet], seed: int, share: float) -> dict[str, Any]:
    """Return scores after training on a share of the people, for as many steps as with all of them."""
    answers, count = [], 0
    for fold, net in whole.items():
        rows, asked = rows_to_learn(faces, fold), faces.rows("test", fold)
        everybody = np.unique(faces.subject[rows])
        kept = np.random.default_rng(seed).permutation(everybody)[: max(2, round(share * len(everybody)))]
        chosen = rows[np.isin(faces.subject[rows], kept)]
        taught = net if share == 1 else train(faces, chosen, seed, steps=steps_for(rows))
        answers.append((asked, expressions(taught, faces, asked)))
        count = max(count, len(kept))
    return {**pooled(faces, answers), "people": count}


def affect(faces: Faces, nets: Mapping[int, SmallNet]) -> dict[str, Any]:
    """Return CCC of valence and arousal and F1 of the action units on the test rows that have them."""
    rows, affects, units = [], [], []
    for fold, net in nets.items():
        rows.append(np.flatnonzero(faces.folds[fold] == "test"))
        _, affect_found, units_found = answer(net, faces.pixels[rows[-1]])
        affects.append(affect_found)
        units.append(units_found)
    asked, va, au = np.concatenate(rows), np.concatenate(affects).astype(float), np.concatenate(units)
    found: dict[str, Any] = {}
    has_va = ~np.isnan(faces.affect[asked]).any(axis=1)
    if has_va.any():
        truth = faces.affect[asked][has_va].astype(float)
        for place, dimension in enumerate(("valence", "arousal")):
            found[dimension] = concordance(va[has_va, place], truth[:, place])
    scores, always = [], []
    for unit in range(faces.units.shape[1]):
        known = faces.units[asked, unit] >= 0
        present = faces.units[asked, unit][known] == 1
        if present.sum() >= FEWEST:
            scores.append(binary_f1(au[known, unit] > 0, present))
            always.append(binary_f1(np.ones_like(present), present))
    if scores:
        found |= {"au_f1": float(np.mean(scores)), "au_f1_always": float(np.mean(always)), "aus": len(scores)}
    return found
