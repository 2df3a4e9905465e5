"""Options that several commands share, each declared once."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from fer_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from fer_bench.config import RunOptions, SweepConfig
    from fer_bench.results.store import Store
    from fer_bench.workspace.sources import DataRoots

DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Folder with one folder per dataset, one dataset's own folder, or a data.yaml. "
        "Else FER_BENCH_DATA, else ./data.yaml, else the synthetic stand-in.",
    ),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links",
        help="Follow symlinks that leave a dataset's folder (another disk, DVC, git-annex); "
        "or FER_BENCH_FOLLOW_LINKS=1.",
    ),
]
ChosenDetector = Annotated[
    Literal["mtcnn", "yunet", "cascade"] | None,
    typer.Option("--detector", help="What searches for faces: mtcnn (default), yunet or cascade (weak)."),
]
FacesOfPicture = Annotated[
    Literal["largest", "best", "all", "whole"],
    typer.Option(
        "--faces",
        help="Which faces of a picture; best: of the highest score; whole: pictures are crops already.",
    ),
]
OwnCrop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="KIND",
        help="Crop otherwise than in training: similarity, box+0.3, ..., or fit.",
    ),
]
NetworkDevice = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the network computes.")
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="The run store.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Runs at a time; default one per core or GPU.")
]
ProtocolName = Annotated[str | None, typer.Option("--protocol", help="Protocol; default: the dataset's.")]
Fold = Annotated[int, typer.Option("--fold", min=1, help="Fold.")]
Exclude = Annotated[
    Path | None,
    typer.Option(
        "--exclude",
        metavar="FILE",
        help="Leave out the rows listed as `dataset: sample or path`, one a line.",
    ),
]

Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        help="What class folders of `folder` mean: YAML lines `glad: happiness` or `unknown: drop`.",
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="NAME", help="Leave out the folders of this name in `folder`."),
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        metavar="[DATASET:]NAME=FILE",
        help="Also score the rows that a file lists (sample ids or picture names, one a line) as a subset.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class WorkOptions:
    """What `run` and `sweep` have in common."""

    seed: Annotated[
        list[int] | None,
        typer.Option(
            "--seed", min=0, max=2**31 - 1, help="Repetition: initialisation, order, augmentation; default 0."
        ),
    ] = None
    profile: Annotated[
        Literal["quick", "small", "paper"] | None,
        typer.Option(
            "--profile",
            help="Default: quick for synthetic data, paper for real data; small: real data without a server.",
        ),
    ] = None
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol", metavar="[DATASET=]NAME", help="Protocol, see `fer-bench data describe DATASET`."
        ),
    ] = None
    fold: Annotated[
        list[str] | None, typer.Option("--fold", help="Fold numbers or all; default: the profile's.")
    ] = None
    targets: Annotated[
        str | None,
        typer.Option("--targets", help="all, none, or names (folder:PATH) with commas; default all."),
    ] = None
    max_epochs: Annotated[
        int | None, typer.Option("--max-epochs", min=1, help="Instead of the profile's.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as method.lr=1e-3."),
    ] = None
    crop: Annotated[
        list[str] | None,
        typer.Option(
            "--crop",
            metavar="[DATASET=]KIND",
            help="Crop faces in another way than the dataset's own: whole, fit, box, landmarks, similarity "
            "or detect, with a margin if wanted (box+0.3); of all datasets that can, or of one.",
        ),
    ] = None
    faces: Annotated[
        Literal["whole", "detect"] | None,
        typer.Option(
            "--faces",
            help="Pictures without boxes and landmarks: whole takes them as cropped faces, detect searches.",
        ),
    ] = None
    detector: ChosenDetector = None
    data_root: DataRoot = None
    follow_links: FollowLinks = False
    exclude: Exclude = None
    classes: Classes = None
    drop: Drop = None
    rows: Rows = None
    runs_dir: RunsDir = Path("runs")
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option("--device", help="Where to train and test; default auto."),
    ] = None
    precision: Annotated[
        Literal["auto", "32", "bf16-mixed", "16-mixed", "bf16-true"] | None,
        typer.Option("--precision", help="Default auto: bf16-mixed on GPUs that have it, else 32."),
    ] = None
    tf32: Annotated[
        bool | None, typer.Option("--tf32/--no-tf32", help="Faster float32 on GPUs, rounded.")
    ] = None
    compile: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Use torch.compile.")] = None
    portable: Annotated[
        bool | None,
        typer.Option(
            "--portable/--no-portable",
            help="The same bytes on every x86-64 processor with AVX2; default: quick runs on a CPU.",
        ),
    ] = None
    devices: Annotated[
        int | None, typer.Option("--devices", min=1, help="GPUs or cores per machine that share one run.")
    ] = None
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, help="Machines that share one run.")] = None
    launcher: Annotated[
        str,
        typer.Option("--launcher", help="How runs are launched: local, ray, slurm or another package's."),
    ] = "local"
    launcher_set: Annotated[
        list[str] | None,
        typer.Option(
            "--launcher-set", metavar="NAME=VALUE", help="As partition=gpu, see `fer-bench docs sweeps`."
        ),
    ] = None
    jobs: Jobs = None
    runs_per_gpu: Annotated[int, typer.Option("--runs-per-gpu", min=1, help="Runs that share a GPU.")] = 1
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="Stop a run that makes no progress for so long."),
    ] = None
    wandb: Annotated[
        Literal["off", "offline", "online"], typer.Option("--wandb", help="Log to Weights & Biases.")
    ] = "off"
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard files.")] = False
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep optimiser state and the last checkpoint.")
    ] = False
    track_peek: Annotated[
        bool,
        typer.Option(
            "--track-peek",
            help="Also score the epoch that is best on the test rows: what peeking would gain.",
        ),
    ] = False
    as_json: AsJson = False

    def changes(self) -> dict[str, Any]:
        """Return the fields of a sweep that these options replace.

        Raises:
            UsageError: A fold or target that does not exist.
        """
        given = {
            "seeds": self.seed,
            "profile": self.profile,
            "folds": None if self.fold is None else _folds(self.fold),
            "targets": None if self.targets is None else _targets(self.targets),
            "faces": self.faces,
            "detector": self.detector,
            "classes": None if self.classes is None else str(self.classes.absolute()),
            "drop": self.drop,
            "device": self.device,
            "precision": self.precision,
            "tf32": self.tf32,
            "compile": self.compile,
            "portable": self.portable,
            "devices": self.devices,
            "nodes": self.nodes,
            "keep_checkpoints": self.keep_checkpoints or None,
            "track_peek": self.track_peek or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def added_to(self, sweep: SweepConfig) -> SweepConfig:
        """Return a sweep with what these options add to its settings, crops, protocols and subsets.

        Raises:
            UsageError: A protocol of a source that the sweep does not have, or a subset of rows that is not
                written as it should be.
        """
        epochs = () if self.max_epochs is None else (f"train.max_epochs={self.max_epochs}",)
        from fer_bench.runs.rows import parse_rows

        return sweep.model_copy(
            update={
                "rows": sweep.rows | parse_rows(self.rows or ()),
                "set": (*sweep.set, *(self.settings or ()), *epochs),
                "crop": (*sweep.crop, *(self.crop or ())),
                "protocols": _protocols(self.protocol or (), sweep),
            }
        )

    def run_options(self, group: str | None) -> RunOptions:
        """Return how runs are carried out.

        Args:
            group: Name of the sweep.

        Raises:
            UsageError: A value out of range.
        """
        from fer_bench.config import RunOptions, build

        names = ("launcher", "jobs", "runs_per_gpu", "timeout", "wandb", "tensorboard")
        values = {name: getattr(self, name) for name in names}
        more = {"launcher_settings": tuple(self.launcher_set or ()), "group": group}
        return build(RunOptions, values | more, "options")


def takes_work_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every field of `WorkOptions` as an option; it gets them together, as `options`."""
    hints = get_type_hints(WorkOptions, include_extras=True)
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(f.name, keyword, default=f.default, annotation=hints[f.name])
        for f in fields(WorkOptions)
    ]
    parameters = [*(p.replace(kind=keyword) for p in own), *shared]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        from fer_bench.provenance.answers import remembering

        options = WorkOptions(**{f.name: values.pop(f.name) for f in fields(WorkOptions)})
        with remembering():
            command(**values, options=options)

    del expanded.__wrapped__  # typer would look at its signature
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def _folds(given: Sequence[str]) -> list[int] | str:
    if list(given) == ["all"]:
        return "all"
    for text in given:
        if not text.isdecimal():
            raise UsageError("a fold is a number, or all", value=text, hint="--fold 1 --fold 2")
    return [int(text) for text in given]


def _targets(text: str) -> list[str] | str:
    from fer_bench import datasets

    if text in ("all", "none"):
        return text
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name.startswith("folder:"):
            continue
        check_name(name, datasets.names(), "target", "fer-bench list datasets")
    return names


def _protocols(given: Sequence[str], sweep: SweepConfig) -> dict[str, str]:
    """Return the protocol of each source: what the options say, else what the sweep says."""
    from fer_bench.datasets import MAIN_SEVEN, source_name

    sources = MAIN_SEVEN if sweep.datasets == "all" else sweep.datasets
    chosen = dict(sweep.protocols)
    for text in sorted(given, key=lambda text: "=" in text):  # a protocol for one dataset takes precedence
        dataset, equals, name = text.rpartition("=")
        if equals:
            dataset = source_name(dataset)
            check_name(dataset, sources, "source", "those of the sweep")
        chosen |= dict.fromkeys([dataset] if equals else sources, name)
    return chosen


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line on standard error, unless quiet."""
    if not quiet:
        from fer_bench.cli.hints import complete

        print(complete(text), file=sys.stderr, flush=True)


def check_name(name: str, known: Sequence[str], what: str, hint: str) -> None:
    """Refuse an unknown name, suggesting near ones.

    Raises:
        UsageError: The name is not known.
    """
    if name not in known:
        raise UsageError(f"unknown {what}", value=name, hint=f"{nearest(name, known)} (all: {hint})")


def named_classes(
    roots: DataRoots, classes: Path | None, drop: Sequence[str] | None, names: Iterable[str]
) -> DataRoots:
    """Return data roots with what `--classes` and `--drop` say about the class names of `folder`.

    Args:
        roots: The data roots.
        classes: File of `--classes`.
        drop: Names of `--drop`.
        names: Datasets and unions that the command works on.

    Raises:
        UsageError: The options are given without `folder`.
        DataError: The map cannot be read, or a value is not an emotion.
    """
    if classes is None and not drop:
        return roots
    from fer_bench.datasets.folder_classes import refuse_unread

    refuse_unread(names)
    return roots.with_classes(classes, drop or ())


def announce_roots(roots: DataRoots, *, quiet: bool) -> None:
    """Say where data come from, unless quiet."""
    say(roots.notice, quiet=quiet)


def open_store(runs_dir: Path) -> Store:
    """Return an existing run store.

    Raises:
        UsageError: The folder does not exist.
    """
    from fer_bench.results.store import Store

    return Store.existing(
        runs_dir,
        hint="--runs-dir DIR names another; make bench makes one, or: "
        "fer-bench run --method gcn --dataset oulu",
    )
