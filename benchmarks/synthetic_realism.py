"""Measure whether the synthetic stand-in behaves like real data, with a small network and a neighbour search.

What real datasets show and a stand-in has to show as well: a small network learns the expressions of every
dataset but not perfectly, and far better than the nearest neighbour on pixels; it loses on other datasets;
splitting a lab dataset by frames instead of persons flatters it; more people to learn from help; action
units, valence and arousal can be learnt. Everything is drawn, trained and scored here; no run is stored.

    python benchmarks/synthetic_realism.py --population development
    python benchmarks/synthetic_realism.py --write

The generator's constants were chosen on the development population alone. The tables of the benchmark's own
population go into `docs/synthetic.md`, all figures into `docs/synthetic-realism-benchmark.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from readme_section import figure_table, write_section
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench import datasets
from fer_bench.data.index import stack_au
from fer_bench.data.packs.pack import open_pack
from fer_bench.data.protocols import assign_roles, find_protocol, folds_of, in_label_set, target_rows
from fer_bench.emotions import Emotion, pair_label_set
from fer_bench.evaluation.affect import binary_f1, concordance
from fer_bench.evaluation.confusion import accuracy, count_pairs, uar
from fer_bench.files import usable_cores, write_text
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.stand_in import stand_in

SIZE = 48
EPOCHS = 24
BATCH = 32
RATE = 3e-3
CLASSES = tuple(e.value for e in Emotion)
LAB = ("ckplus", "mmi", "oulu")
SHARES = (0.125, 0.25, 0.5, 1.0)
"""Shares of the people that are left for training."""
FEWEST = 5
"""Positive test rows that a unit needs to be scored."""
ROOT = Path(__file__).parents[1]

Rows = NDArray[np.int64]


class SmallNet(nn.Module):
    """Four convolutions and a linear layer for nine expressions, valence, arousal and twelve action units."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in (width, 2 * width, 4 * width, 8 * width):
            layers += [
                nn.Conv2d(before, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            before = channels
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3))
        self.head = nn.Linear(before * (SIZE // 16) ** 2, len(CLASSES) + 2 + 12)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return expression logits [B, 9], valence and arousal [B, 2], action unit logits [B, 12]."""
        expression, affect, units = self.head(self.features(image)).split((len(CLASSES), 2, 12), dim=1)
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
        group: int64 [N], what a split must not cut.
        subject: int64 [N], who it is; every row a person of its own where nobody says.
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
    """Draw a dataset, or take it from the cache, and return it in memory."""
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
        yield standardise((image - 0.5) * (1 + gain) + 0.5 + 0.5 * shift), part


def standardise(image: Tensor) -> Tensor:
    """Return pictures [B, 3, H, W] with zero mean and unit deviation each."""
    return (image - image.mean((1, 2, 3), keepdim=True)) / (image.std((1, 2, 3), keepdim=True) + 1e-4)


def steps_for(rows: Rows) -> int:
    """Return the steps of a training on some rows."""
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
            logits, va, au = net(image)
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
        net(standardise(torch.from_numpy(pixels[start : start + 256]).permute(0, 3, 1, 2).float() / 255))
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


# --- What is measured; one job of the pool per dataset and seed


def measure_dataset(
    name: str, population: str, drawing: int, seed: int, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return every figure of a dataset from networks that start from one seed."""
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
    """Return the training rows of a fold, those with affect or action units alone included."""
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
    """Return the test rows of every fold with the logits of the network that did not learn from them."""
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
    """Return scores when single frames are dealt to folds of the same sizes as persons are."""
    everything = np.random.default_rng(seed).permutation(np.flatnonzero(faces.labelled))
    chunks = np.array_split(everything, len(faces.folds))
    answers = []
    for fold in faces.folds:
        # As by persons: one part is tested, the next one stands aside, the others are learnt from.
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


# --- All of it, side by side


def measure(population: str, drawing: int, seeds: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Return every figure, as {what: {dataset: [one per seed]}}."""
    for name in names:  # drawn here, so that the jobs do not draw the same
        load(name, population, drawing)
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("fork")) as pool:
        running = {
            (name, seed): pool.submit(measure_dataset, name, population, drawing, seed, names)
            for seed in seeds
            for name in names
        }
        for (name, seed), future in running.items():
            for what, result in future.result().items():
                found.setdefault(what, {}).setdefault(name, []).append(result)
            print(f"measured {name}, seed {seed}", file=sys.stderr, flush=True)
    return found


def mean(results: Sequence[Mapping[str, Any]], *path: str) -> float:
    """Return the mean over seeds of the figure at a path."""
    values = []
    for result in results:
        value: Any = result
        for name in path:
            value = value[name]
        values.append(float(value))
    return float(np.mean(values))


def gaps(found: Mapping[str, Any]) -> list[tuple[str, str, float, float]]:
    """Return source, target, UAR there and in-domain UAR on the same classes, for every pair."""
    return [
        (source, target, mean(results, target, "uar"), mean(results, target, "in_domain"))
        for source, results in found["crossing"].items()
        for target in results[0]
    ]


def verdicts(found: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return what real datasets show, as sentences, and whether the drawn ones show it."""
    own = found["in_domain"]
    net = {name: mean(results, "network", "accuracy") for name, results in own.items()}
    pairs = gaps(found)
    split = found["frame_split"]
    affects = [(name, results) for name, results in found["affect"].items() if results[0]]
    return [
        (
            "a small network gets 55 to 95 % of every dataset right",
            all(0.55 <= value <= 0.95 for value in net.values()),
        ),
        (
            "everywhere 15 points more than the nearest neighbour on pixels and the most frequent class get",
            all(
                net[name] - max(mean(results, "neighbour", "accuracy"), results[0]["most_frequent"]) >= 0.15
                for name, results in own.items()
            ),
        ),
        (
            "on most other datasets it loses at least 10 points of UAR",
            2 * sum(here - there >= 0.10 for _, _, there, here in pairs) > len(pairs),
        ),
        (
            "folds by frames flatter every lab dataset by at least 5 points",
            all(
                mean(results, "uar") - mean(own[name], "network", "uar") >= 0.05
                for name, results in split.items()
            ),
        ),
        (
            "twice as many people help everywhere, from a quarter to half and from half to all",
            all(
                mean(results, few, "uar") < mean(results, more, "uar")
                for results in found["people"].values()
                for few, more in (("0.25", "0.5"), ("0.5", "1"))
            ),
        ),
        (
            "valence and arousal reach a CCC of 0.3, action units an F1 5 points above calling all present",
            all(
                mean(results, dimension) >= 0.3
                for _, results in affects
                for dimension in ("valence", "arousal")
                if dimension in results[0]
            )
            and all(
                mean(results, "au_f1") - mean(results, "au_f1_always") >= 0.05
                for _, results in affects
                if "au_f1" in results[0]
            ),
        ),
    ]


def report(stored: Mapping[str, Any]) -> str:
    """Return the verdicts and tables of stored figures as markdown."""
    found, seeds = stored["found"], stored["seeds"]
    percent = "{:.1f}".format
    lines = [
        f"**SYNTHETIC DATA**, generator version {stored['generator_version']}, size {stored['size']}, "
        f"{stored['population']} population, drawing {stored['drawing']}; seeds of the networks: "
        f"{', '.join(map(str, seeds))}. Figures in %, differences in points. Lab datasets: all folds of the "
        "quick protocol, test rows pooled, each answered by the network that did not learn from its "
        "person; on other datasets the mean over the folds' networks.",
        "",
        *(f"* {'holds' if holds else '**does not hold**'}: {what}" for what, holds in verdicts(found)),
        "",
        "A network of four convolutions at 48 pixels, trained and tested on the same dataset:",
        "",
    ]
    rows = []
    for name, results in found["in_domain"].items():
        net = mean(results, "network", "accuracy")
        rows.append(
            [
                name,
                f"{results[0]['train_rows']:,}",
                f"{results[0]['network']['n']:,}",
                percent(100 * net),
                percent(100 * mean(results, "network", "uar")),
                percent(100 * mean(results, "neighbour", "accuracy")),
                percent(100 * mean(results, "most_frequent")),
                percent(100 * mean(results, "chance")),
            ]
        )
    lines += figure_table(
        (
            "dataset", "training rows", "test rows", "accuracy", "UAR", "nearest neighbour: accuracy",
            "most frequent class: accuracy", "chance: UAR",
        ),
        rows,
    )  # fmt: skip
    lines.append("")
    names = list(found["crossing"])
    by_pair = {(source, target): (there, own) for source, target, there, own in gaps(found)}
    lines += [
        "UAR of the network trained on a row's dataset, tested on a column's (classes that both know); in "
        "brackets how many points that lies below its UAR on its own test rows of the same classes:",
        "",
    ]
    rows = []
    for source in names:
        cells = []
        for target in names:
            there, own = by_pair.get((source, target), (float("nan"), float("nan")))
            cells.append("-" if source == target else f"{100 * there:.0f} ({100 * (own - there):.0f})")
        rows.append([f"from {source}", *cells])
    lines += [*figure_table(("", *(f"on {name}" for name in names)), rows), ""]
    far = sum(own - there >= 0.10 for there, own in by_pair.values())
    lines += [f"In {far} of {len(by_pair)} pairs the loss is at least 10 points.", ""]
    lines += [
        "Lab datasets dealt to folds of the same sizes by single frames instead of by persons, the mistake "
        "that protocols by subject avoid:",
        "",
    ]
    rows = []
    for name, results in found["frame_split"].items():
        persons, frames = mean(found["in_domain"][name], "network", "uar"), mean(results, "uar")
        rows.append([name, percent(100 * persons), percent(100 * frames), f"{100 * (frames - persons):+.1f}"])
    lines += [*figure_table(("dataset", "by person, UAR", "by frame, UAR", "flattered by, points"), rows), ""]
    lines += [
        "UAR after training on a share of the people (of the photos, where nobody says who it is), for the "
        "same number of steps:",
        "",
    ]
    rows = []
    for name in names:
        results = found["people"][name]
        uars = [percent(100 * mean(results, f"{share:g}", "uar")) for share in SHARES]
        rows.append([name, str(results[0]["1"]["people"]), *uars])
    lines += [
        *figure_table(("dataset", "people", *(f"{100 * share:.0f} % of them" for share in SHARES)), rows),
        "",
    ]
    lines += [
        "Valence and arousal (CCC, -1 to 1) and action units (F1 in %, mean over units with at least "
        f"{FEWEST} positive test rows; in brackets of calling every row positive):",
        "",
    ]
    rows = []
    for name, results in found["affect"].items():
        known = results[0]
        if known:
            rows.append(
                [
                    name,
                    *(f"{mean(results, d):.2f}" if d in known else "-" for d in ("valence", "arousal")),
                    f"{100 * mean(results, 'au_f1'):.1f} ({100 * known['au_f1_always']:.1f})"
                    if "au_f1" in known
                    else "-",
                    str(known.get("aus", "-")),
                ]
            )
    lines += [*figure_table(("dataset", "valence", "arousal", "action units", "units"), rows), ""]
    return "\n".join(lines).rstrip()


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 1 where something that real datasets show does not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--population", choices=("benchmark", "development"), default="benchmark")
    parser.add_argument("--drawing", type=int, default=0, help="seed of the generator")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the trainings")
    parser.add_argument("--datasets", nargs="+", choices=datasets.MAIN_SEVEN, default=datasets.MAIN_SEVEN)
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    parser.add_argument("--stored", type=Path, help="render this file of figures instead of measuring")
    given = parser.parse_args(arguments)
    if given.write and set(given.datasets) != set(datasets.MAIN_SEVEN):
        parser.error("--write needs all datasets: the docs would lose the tables of the others")
    if given.stored is not None:
        stored = json.loads(given.stored.read_text(encoding="utf-8"))
    else:
        stored = {
            "generator_version": GENERATOR_VERSION,
            "size": "quick",
            "population": given.population,
            "drawing": given.drawing,
            "seeds": given.seeds,
            "found": measure(given.population, given.drawing, given.seeds, given.datasets),
        }
    if given.write and stored["population"] != "benchmark":
        parser.error("--write needs the benchmark population: the docs show that one")
    text = report(stored)
    print(text)
    if given.write:
        write_section(ROOT / "docs" / "synthetic.md", "realism-benchmark", text)
        figures = json.dumps(stored, indent=1) + "\n"
        write_text(ROOT / "docs" / "synthetic-realism-benchmark.json", figures)
    return 0 if all(holds for _, holds in verdicts(stored["found"])) else 1


if __name__ == "__main__":
    sys.exit(main())
