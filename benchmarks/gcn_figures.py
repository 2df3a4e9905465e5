"""The figures of gcn, from stored checkpoints: generation error against UAR, and the faces it draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.data.loading import transforms
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.errors import StoreError
from fer_bench.evaluation.intervals import Value
from fer_bench.figures import new_figure, save_figure
from fer_bench.methods.gcn.losses import row_error
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.training.checkpoints import load_weights
from fer_bench.workspace.workspace import Workspace

MARKS = {"ae": "o", "vae": "s", "gan": "^"}
COLOURS = {"S0R0": "C0", "S1R0": "C1", "S0R1": "C2", "S1R1": "C3"}


class Errors(NamedTuple):
    """How far faces are from the true neutral frame of the same person, on test rows.

    Attributes:
        generated: Mean squared error of the generated references, pixels between -1 and 1.
        copied: The same of the inputs themselves, as if nothing were generated.
    """

    generated: float
    copied: float


class Faces(NamedTuple):
    """Test faces with what a model makes of them.

    Attributes:
        image: Inputs [N, 1, 64, 64], pixels between -1 and 1.
        drawn: Generated references [N, 1, 64, 64].
        neutral: True neutral frames [N, 1, 64, 64].
        label: Expressions [N].
        subject: People [N].
    """

    image: Tensor
    drawn: Tensor
    neutral: Tensor
    label: NDArray[np.object_]
    subject: NDArray[np.object_]


def faces_of(store: Store, workspace: Workspace, record: Record) -> Faces:
    """Return the test faces of a run that have a neutral frame, and the references its checkpoint draws.

    Raises:
        StoreError: The data are not those that the run was tested on, or the model draws nothing.
    """
    method = load_weights(
        store.run_dir("gcn", record.dataset, record.key).checkpoints / f"{record.headline}.pt"
    )
    spec = method.input_spec(method.settings)
    dataset, pack = workspace.source(record.dataset).dataset, workspace.pack(record.dataset, spec.size)
    if record.targets[record.dataset].pixels != pack.pixel_hash:
        raise StoreError("the run was tested on other pictures than those here", value=record.key)
    data = make_datamodule(dataset, spec=spec, protocol=record.protocol, fold=record.fold)
    index = dataset.index
    rows = data.rows("test")
    rows = rows[index["reference_id"].notna().to_numpy()[rows]]
    place = {sample: position for position, sample in enumerate(index["sample_id"])}
    partners = np.array([place[sample] for sample in index["reference_id"].to_numpy(object)[rows]])

    def pictures(at: NDArray[np.int64]) -> Tensor:
        return transforms.prepare(torch.from_numpy(pack.pixels[at]), spec)

    images = pictures(rows)
    with torch.no_grad():
        drawn = method(images).extras.get("reference")
    if drawn is None:
        raise StoreError("this run has no generator", value=record.key)
    about = index.iloc[rows]
    return Faces(
        images[:, :1],
        drawn,
        pictures(partners)[:, :1],
        about["label"].to_numpy(object),
        about["subject"].to_numpy(object),
    )


def errors_of(faces: Faces) -> Errors:
    """Return how far generated references, and the inputs themselves, are from the true ones."""
    generated = row_error(faces.drawn, faces.neutral, "squared").mean()
    return Errors(float(generated), float(row_error(faces.image, faces.neutral, "squared").mean()))


def draw_errors(
    points: Mapping[tuple[str, str], tuple[Errors, Value]], plain: Mapping[str, float], kind: str, path: Path
) -> None:
    """Draw generation error against test UAR, a panel per dataset.

    Args:
        points: By dataset and variant (`S1R1 vae`).
        plain: UAR of the encoder without a reference, by dataset.
        kind: `synthetic` or `real`.
        path: Where the picture goes.
    """
    names = list(dict.fromkeys(dataset for dataset, _ in points))
    figure = new_figure(3.2 * len(names) + 1.4, 3.2)
    axes: Any = figure.subplots(1, len(names), squeeze=False)
    named: dict[str, Any] = {}
    for axis, dataset in zip(axes[0], names, strict=True):
        axis.set_title(dataset, fontsize=9)
        here = {name: point for (other, name), point in points.items() if other == dataset}
        for name, (errors, uar) in here.items():
            variant, _, generator = name.partition(" ")
            style = {"marker": MARKS[generator], "color": COLOURS[variant], "linestyle": "none"}
            (named[name],) = axis.plot(errors.generated, 100 * uar.value, **style)
        (any_errors, _), *_ = here.values()  # the inputs are the same for every run
        named["input as reference"] = axis.axvline(any_errors.copied, color="0.7", lw=1, ls=":")
        if dataset in plain:
            named["plain encoder"] = axis.axhline(100 * plain[dataset], color="0.4", lw=1, ls="--")
    figure.supxlabel("generation error (mean squared, test rows)", fontsize=9)
    figure.supylabel("test UAR in %", fontsize=9)
    figure.suptitle(f"gcn: generation error against UAR, one repetition ({_drawn(kind)})", fontsize=9)
    figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=7, frameon=False)
    save_figure(figure, path)


def draw_references(found: Mapping[str, Faces], record: Record, path: Path) -> None:
    """Draw test faces, the references that several generators make of them, and the true neutral faces.

    One face per expression, each of another person: the first in the order of the index.

    Args:
        found: What runs on one dataset drew, by kind of generator.
        record: One of the runs.
        path: Where the picture goes.
    """
    first = next(iter(found.values()))
    columns: list[int] = []
    for label in record.classes:
        seen = {first.subject[column] for column in columns}
        fresh = [i for i in np.flatnonzero(first.label == label) if first.subject[i] not in seen]
        columns += [int(fresh[0])] if fresh else []
    lines = {
        "input": first.image,
        **{f"generated\n({kind})": faces.drawn for kind, faces in found.items()},
        "true neutral": first.neutral,
    }
    figure = new_figure(1.1 * len(columns) + 0.9, 1.12 * len(lines) + 0.5)
    axes: Any = figure.subplots(len(lines), len(columns), squeeze=False)
    for line, (title, faces) in zip(axes, lines.items(), strict=True):
        line[0].set_ylabel(title, fontsize=7)
        for axis, column in zip(line, columns, strict=True):
            axis.imshow(faces[column, 0].numpy(), cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(first.label[column], fontsize=7)
    figure.suptitle(
        f"gcn on {record.dataset}, people of the test fold ({_drawn(record.data_kind)})", fontsize=8
    )
    save_figure(figure, path)


def _drawn(kind: str) -> str:
    return "SYNTHETIC DATA, drawn faces" if kind == "synthetic" else "real data"
