"""What gcn's stored models answer for further drawn people, whom no fold of the stand-in has.

Answers are kept in the store, in `gcn-people/`, by the key of the run and the pixels: models take minutes to
give them, and the tables that are made of them seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from gcn_figures import Errors, Faces, errors_of
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.data.loading.batches import reference_rows
from fer_bench.data.loading.datamodule import EVAL_BATCH
from fer_bench.data.loading.transforms import prepare
from fer_bench.data.protocols import find_protocol, in_label_set
from fer_bench.evaluation import confusion
from fer_bench.evaluation.statistics import Answers
from fer_bench.files import short_hash, write_atomic
from fer_bench.methods.base import Method
from fer_bench.methods.gcn.network import GCNNetwork, Generated
from fer_bench.methods.gcn.settings import GCNSettings
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.training.checkpoints import load_weights
from fer_bench.synthetic.stand_in import stand_in
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

SEEDS = (1, 2, 3, 4, 5, 6, 7)
"""Seeds of the drawn people; the stand-in that is trained on has 0."""
Beside = Literal["generated", "own", "other"]
"""What a face is compared with: the generated reference, the own neutral frame, or that of somebody else."""
FOLDER = "gcn-people"
"""Folder of kept answers, within the store."""
_DRAWN: dict[tuple[str | None, str], Tensor] = {}
"""What pretrained generators drew, by their weights and the rows."""


@dataclass(frozen=True)
class People:
    """The tested rows of one drawing, with neutral frames.

    Attributes:
        name: Names the pixels and which of them are tested.
        faces: uint8 [N, 64, 64, 3].
        own: The person's neutral frame of the same sequence, uint8 [N, 64, 64, 3].
        other: A neutral frame of the next person, uint8 [N, 64, 64, 3].
        label: Expressions [N].
        subject: People, unique over drawings [N].
        sample: Sample ids, unique over drawings [N].
    """

    name: str
    faces: NDArray[np.uint8]
    own: NDArray[np.uint8]
    other: NDArray[np.uint8]
    label: NDArray[np.object_]
    subject: NDArray[np.object_]
    sample: NDArray[np.object_]


def people_of(dataset: str, protocol: str, seeds: Sequence[int] = SEEDS) -> list[People]:
    """Return the rows that a protocol tests over all its folds, of people drawn with other seeds.

    Args:
        dataset: Dataset of sequences from rest.
        protocol: Its protocol.
        seeds: Seeds of the drawings; drawn on first use.
    """
    roots = {seed: find_roots(str(stand_in(dataset, seed=seed))) for seed in seeds}
    return [rows_of(Workspace(root), dataset, protocol, seed) for seed, root in roots.items()]


def rows_of(workspace: Workspace, name: str, protocol_name: str, seed: int) -> People:
    """Return the rows that a protocol tests over all its folds."""
    dataset, pack = workspace.source(name).dataset, workspace.pack(name, 64)
    protocol = find_protocol(dataset.card, protocol_name)
    index = dataset.index
    partner = reference_rows(index)
    tested = np.isin(dataset.roles(protocol, 1), ("train", "val", "test"))
    rows = np.flatnonzero(tested & in_label_set(index, protocol) & (partner >= 0))
    subjects = index["subject"].to_numpy(object)
    own = partner[rows]
    names = sorted({*subjects[rows]})
    first = {name: own[np.flatnonzero(subjects[rows] == name)[0]] for name in names}
    following = {name: first[names[(at + 1) % len(names)]] for at, name in enumerate(names)}
    other = np.array([following[name] for name in subjects[rows]])
    pixels = (np.asarray(pack.pixels[at]) for at in (rows, own, other))
    label, *named = (index[column].to_numpy(object)[rows] for column in ("label", "subject", "sample_id"))
    drawn = short_hash([pack.pixel_hash, rows.tolist(), other.tolist()])
    return People(drawn, *pixels, label, *(np.array([f"{seed}/{v}" for v in each], object) for each in named))


@dataclass(frozen=True)
class Trained:
    """A finished run of gcn, whose model is loaded when it is first asked.

    Attributes:
        store: Where it is.
        record: Of the run.
    """

    store: Store
    record: Record

    @cached_property
    def model(self) -> Method:
        """The headline checkpoint."""
        return model_of(self.store, self.record)

    def logits(self, some: People, beside: Beside) -> NDArray[np.float32]:
        """Return the model's logits of the rows, kept in the store once they are known: [N, C]."""
        file = self.store.root / FOLDER / f"{self.record.key}-{some.name}-{beside}.npy"
        if not file.exists():
            found = np.concatenate([*logits_of(self.model, some, beside)])

            def write(place: Path) -> None:
                with place.open("wb") as opened:
                    np.save(opened, found)

            write_atomic(file, write)
        kept: NDArray[np.float32] = np.load(file)
        return kept

    def answers(self, people: Sequence[People], beside: Beside) -> Answers:
        """Return the model's answers for all rows.

        Args:
            people: The rows.
            beside: What the faces are compared with; only a model with enrolled pictures is asked beside one.
        """
        classes = self.record.classes
        logits = np.concatenate([self.logits(some, beside) for some in people])
        label, subject, sample = (
            np.concatenate([getattr(some, name) for some in people])
            for name in ("label", "subject", "sample")
        )
        return Answers(
            truth=confusion.class_codes(label, classes),
            answer=logits.argmax(axis=1).astype(np.int64),
            units=subject,
            samples=sample,
            labelled=len(label),
            classes=classes,
            scored_classes=classes,
        )


def model_of(store: Store, record: Record) -> Method:
    """Return the headline checkpoint of a run, in evaluation mode."""
    folder = store.run_dir(record.method, record.dataset, record.key).checkpoints
    return load_weights(folder / f"{record.headline}.pt").eval()


def logits_of(method: Method, some: People, beside: Beside) -> Iterator[NDArray[np.float32]]:
    """Yield a model's logits of the rows, a batch at a time."""
    show = partial(prepare, spec=method.input_spec(method.settings))
    compared = None if beside == "generated" else torch.from_numpy(getattr(some, beside))
    drawn = references_drawn(method, some) if compared is None else None
    for start in range(0, len(some.faces), EVAL_BATCH):
        part = slice(start, start + EVAL_BATCH)
        image = show(torch.from_numpy(some.faces[part]))[:, :1]
        with torch.inference_mode():
            if compared is not None:
                faces = Generated(show(compared[part])[:, :1], None)
                logits = network_of(method).compare(image, faces).logits
            elif drawn is not None:
                logits = network_of(method).compare(image, Generated(drawn[part], None)).logits
            else:
                logits = network_of(method)(image)[0]
        yield logits.float().numpy()


def network_of(method: Method) -> GCNNetwork:
    """Return the network of a model of gcn."""
    return cast(GCNNetwork, method.network)


def references_drawn(method: Method, some: People) -> Tensor | None:
    """Return what a model's generator draws of the rows, [N, 1, 64, 64]; None without a generator.

    What a pretrained generator draws that was not trained on is the same for all models and is drawn once.
    """
    settings = cast(GCNSettings, method.settings)
    if not settings.generates:
        return None
    key = (settings.generator_weights, some.name)
    if not settings.keeps_generator:
        return _draw(method, some)
    if key not in _DRAWN:
        _DRAWN[key] = _draw(method, some)
    return _DRAWN[key]


def _draw(method: Method, some: People) -> Tensor:
    images = prepare(torch.from_numpy(some.faces), method.input_spec(method.settings))[:, :1]
    with torch.inference_mode():
        return torch.cat([network_of(method).generate(part).face for part in images.split(EVAL_BATCH)])


def faces_drawn(method: Method, some: People) -> Faces | None:
    """Return what a model's generator draws of the rows, None without a generator."""
    face = references_drawn(method, some)
    if face is None:
        return None
    show = partial(prepare, spec=method.input_spec(method.settings))
    image, neutral = (show(torch.from_numpy(each))[:, :1] for each in (some.faces, some.own))
    return Faces(image, face, neutral, some.label, some.subject)


def mean_errors(trained: Sequence[Trained], some: People) -> Errors | None:
    """Return the generation error of several models, averaged; None without a generator.

    Models whose generator is the same pretrained one are counted once.
    """
    if not trained:
        return None
    kept = cast(GCNSettings, trained[0].model.settings).keeps_generator
    found = [faces_drawn(each.model, some) for each in (trained[:1] if kept else trained)]
    errors = [errors_of(faces) for faces in found if faces is not None]
    if not errors:
        return None
    return Errors(*(float(np.mean(each)) for each in zip(*errors, strict=True)))
