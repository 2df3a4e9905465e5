"""Configuration: profiles, run and sweep settings. Imports no torch.

Every setting is a frozen pydantic model that refuses unknown names; overrides come as `method.lr=1e-3`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from fer_bench.errors import UsageError, nearest
from fer_bench.schema import Frozen

M = TypeVar("M", bound=Frozen)
ResolvedPrecision = Literal["32", "bf16-mixed", "16-mixed", "bf16-true"]
Precision = Literal["auto", "32", "bf16-mixed", "16-mixed", "bf16-true"]
Device = Literal["auto", "cpu", "cuda"]
ProfileName = Literal["quick", "small", "paper"]
PROFILES: dict[ProfileName, str] = {
    "quick": "small networks and few epochs on the synthetic data: minutes on two CPU cores",
    "small": "networks for 64 pixels on the official folds and splits: for real data without a server, CPU "
    "hours or one consumer GPU",
    "paper": "the paper's network and recipe on the official folds and splits: for real data and GPUs",
}


class InputSpec(Frozen):
    """What a network wants to see.

    Attributes:
        size: Height and width in pixels.
        grey: Whether the three channels are the luminance, repeated.
        mean: Per-channel mean that is subtracted from values in [0, 1].
        std: Per-channel standard deviation that divides.
    """

    size: int = Field(ge=16, le=1024)
    grey: bool = False
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Augmentation(Frozen):
    """Random changes of training images; all of them are drawn from (seed, epoch, row).

    Attributes:
        flip: Probability of a horizontal flip.
        crop_pad: Pixels by which the image is padded (edge values) before a random crop of its own size.
        erase: Probability of erasing a rectangle with noise-free grey.
        erase_area: Smallest and largest share of the area that is erased.
        noise: Probability of additive Gaussian noise, drawn at the size that the face has in its picture and
            scaled to the input with it.
        noise_std: Standard deviation of that noise, on a scale of 0 to 255.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
    """

    flip: float = Field(default=0.5, ge=0, le=1)
    crop_pad: int = Field(default=0, ge=0)
    erase: float = Field(default=0.0, ge=0, le=1)
    erase_area: tuple[float, float] = (0.02, 0.25)
    noise: float = Field(default=0.0, ge=0, le=1)
    noise_std: float = Field(default=0.0, ge=0)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _areas_ascend(self) -> Augmentation:
        low, high = self.erase_area
        if not 0 < low <= high <= 1:
            raise ValueError("erase_area must be two shares with 0 < smallest <= largest <= 1")
        return self


class TrainSettings(Frozen):
    """How long and on what batches a method trains.

    Attributes:
        max_epochs: Number of epochs.
        batch_size: Rows per optimiser step over all devices; batch normalisation needs two at least.
        epoch_rows: Rows per epoch at most; an epoch of a larger training set is a random part of it, drawn
            anew each time. None takes all.
        early_stop: Epochs without a better validation UAR after which training stops; None leaves it to the
            method's recipe, which most often never stops.
        label_fraction: Share of the training rows whose expression label is shown; see `label_fraction.py`.
        unlabelled: Whether methods that can learn from training rows without an expression label get them.
        soft_labels: Distributions that the classifier learns instead of one label per face, where several
            people voted on each face: `probability` or `votes`, see `FaceDataset.soft_labels`.
        augmentation: Random changes of training images.
    """

    max_epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    epoch_rows: int | None = Field(default=None, ge=2)
    early_stop: int | None = Field(default=None, ge=1)
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    unlabelled: bool = True
    soft_labels: Literal["none", "probability", "votes"] = "none"
    augmentation: Augmentation = Augmentation()


class MethodSettings(Frozen):
    """Base of every method's own settings."""

    @property
    def enrolled(self) -> bool:
        """Whether the method also sees a real neutral picture of the person, in validation and test too."""
        return False


class ProfileSettings(Frozen):
    """What a profile means for a method.

    Attributes:
        train: Training settings.
        method: Changes to the method's default settings.
    """

    train: TrainSettings
    method: dict[str, Any] = {}


class StartFrom(Frozen):
    """The checkpoint whose weights a run starts from.

    Attributes:
        file: Its path.
        weights: SHA-256 of its weights.
    """

    file: str
    weights: str = Field(pattern=r"^[0-9a-f]{64}$")


class RunConfig(Frozen):
    """One run: everything that the user chose, with defaults resolved.

    Attributes:
        method: Method name.
        dataset: Dataset name.
        protocol: Protocol name, without the dataset's.
        fold: Fold from 1 (1 for protocols without folds).
        seed: Repetition: initialisation, order and augmentation.
        profile: Profile name.
        method_settings: The method's resolved settings.
        train: Resolved training settings.
        targets: Names of the datasets on which the selected checkpoint is tested besides its own.
        precision: Resolved precision (`32`, `bf16-mixed`, `16-mixed` or `bf16-true`).
        tf32: Whether float32 products on a GPU may round their inputs to TF32 (10 bits of mantissa).
        compile: Whether the network goes through `torch.compile`.
        portable: Whether it computes in the same way on every x86-64 processor with AVX2, see
            `fer_bench.arithmetic`; on a CPU and in precision 32 only.
        device: Where it runs.
        devices: Processes per machine, one per GPU or core, that share every training step.
        nodes: Machines.
        keep_checkpoints: Keep optimiser state and the last checkpoint of a finished run.
        track_peek: Also predict the test rows after every epoch and score the epoch that is best on them, to
            show what choosing it would gain. It changes no weights and no other score.
        init: The checkpoint that it starts from; None starts from random weights, or from the pretrained ones
            that the method's settings name.
    """

    method: str
    dataset: str
    protocol: str
    fold: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    profile: ProfileName
    method_settings: dict[str, Any]
    train: TrainSettings
    targets: tuple[str, ...] = ()
    precision: ResolvedPrecision = "32"
    tf32: bool = False
    compile: bool = False
    portable: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    keep_checkpoints: bool = False
    track_peek: bool = False
    init: StartFrom | None = None

    @property
    def world_size(self) -> int:
        """Return how many processes share a training step."""
        return self.devices * self.nodes


class RunOptions(Frozen):
    """How runs are carried out. Nothing here changes a number, so none of it is in a run's settings or key.

    Attributes:
        launcher: Name of the launcher.
        launcher_settings: Its own settings, written `partition=gpu`.
        jobs: Runs at a time; None lets the launcher decide.
        runs_per_gpu: Runs that share a GPU.
        timeout: Seconds without progress (a step, a batch) after which a run counts as hung.
        wandb: Whether to log to Weights & Biases, and whether over the network.
        tensorboard: Whether to write TensorBoard files into the run's folder.
        group: Name of the sweep, which groups runs in Weights & Biases.
    """

    launcher: str = "local"
    launcher_settings: tuple[str, ...] = ()
    jobs: int | None = Field(default=None, ge=1)
    runs_per_gpu: int = Field(default=1, ge=1)
    timeout: float | None = Field(default=None, gt=0)
    wandb: Literal["off", "offline", "online"] = "off"
    tensorboard: bool = False
    group: str | None = None


class SweepConfig(Frozen):
    """What to run: a sweep file, a command line, or a single run, which is a sweep of one cell.

    Attributes:
        name: Name of the sweep.
        profile: Profile of every run; None takes `quick` on synthetic data and `paper` on real data.
        methods: Method names, each with a grid if wanted (`gcn[lr=1e-3,1e-4]`), or `all`.
        datasets: Sources: datasets, unions such as `ckplus+oulu`, or `all` for the seven of the leaderboard.
        protocols: Protocol per source, where it is not the profile's.
        folds: `default` (the profile's), `all`, or fold numbers.
        seeds: Repetitions.
        targets: `all`, `none`, or dataset names; also `folder:PATH`.
        set: Overrides, written as on the command line.
        variants: Further overrides by name; everything is run once with each. None runs everything once.
        crop: Crops other than the datasets' own, written as on the command line (`rafdb=similarity`,
            `box+0.3`).
        faces: What to do with pictures that have neither boxes nor landmarks.
        detector: What searches for faces where crops need it, MTCNN by default.
        classes: What class folders of `folder` mean: emotion or `drop` by name, or a YAML file of such lines
            (in a sweep file: relative to it).
        drop: Class folders of `folder` to leave out.
        rows: Lists of rows that are also scored on their own: file by `[DATASET:]NAME` (in a sweep file:
            relative to it).
        device: Where to train and test; `auto` takes a GPU where there is one.
        precision: See `RunConfig`; `auto` is bf16-mixed on GPUs that have it, else 32.
        tf32: See `RunConfig`.
        compile: See `RunConfig`.
        portable: See `RunConfig`; None takes it for the profile `quick` on CPUs that can.
        devices: See `RunConfig`.
        nodes: See `RunConfig`.
        keep_checkpoints: See `RunConfig`.
        track_peek: See `RunConfig`.
        init: Checkpoint file that every run starts from, with its method, settings and training settings
            instead of the profile's (in a sweep file: relative to it).
    """

    name: str = "sweep"
    profile: ProfileName | None = None
    methods: tuple[str, ...] | Literal["all"] = "all"
    datasets: tuple[str, ...] | Literal["all"] = "all"
    protocols: dict[str, str] = {}
    folds: tuple[int, ...] | Literal["default", "all"] = "default"
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = (0,)
    targets: tuple[str, ...] | Literal["all", "none"] = "all"
    set: tuple[str, ...] = ()
    variants: dict[str, tuple[str, ...]] = {}
    crop: tuple[str, ...] = ()
    faces: Literal["whole", "detect"] | None = None
    detector: Literal["mtcnn", "yunet", "cascade"] | None = None
    classes: dict[str, str] | str = {}
    drop: tuple[str, ...] = ()
    rows: dict[str, str] = {}
    device: Device = "auto"
    precision: Precision = "auto"
    tf32: bool = False
    compile: bool = False
    portable: bool | None = None
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    keep_checkpoints: bool = False
    track_peek: bool = False
    init: str | None = None


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split `method.lr=1e-3` into the path and the YAML value.

    Raises:
        UsageError: No equals sign, an empty name, or a value that is not YAML.
    """
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(path):
        raise UsageError("a setting is written name=value", value=text, hint="example: --set method.lr=1e-3")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError("the value of a setting is not valid YAML", value=text, hint=str(error)) from None
    if isinstance(parsed, str):
        with contextlib.suppress(ValueError):
            parsed = float(parsed)  # YAML 1.1 reads 1e-3 as text
    return path, parsed


def apply_overrides(
    overrides: Iterable[str], *, method: MethodSettings, train: TrainSettings
) -> tuple[MethodSettings, TrainSettings]:
    """Return method and training settings with `method.*` and `train.*` overrides applied.

    Args:
        overrides: Texts such as `method.lr=1e-3` or `train.augmentation.flip=0`.
        method: The method's settings.
        train: The training settings.

    Raises:
        UsageError: An unknown section or setting, or a value out of range.
    """
    sections: dict[str, Frozen] = {"method": method, "train": train}
    for text in overrides:
        path, value = parse_override(text)
        if path[0] not in sections or len(path) < 2:
            raise UsageError("unknown setting", value=text, hint=nearest(path[0], sections))
        sections[path[0]] = _replace(sections[path[0]], path[1:], value, text)
    changed_method, changed_train = sections["method"], sections["train"]
    assert isinstance(changed_method, MethodSettings)
    assert isinstance(changed_train, TrainSettings)
    return changed_method, changed_train


def _replace(model: Frozen, path: tuple[str, ...], value: Any, text: str) -> Frozen:
    known = type(model).model_fields
    if path[0] not in known:
        raise UsageError("unknown setting", value=text, hint=nearest(path[0], known))
    if len(path) > 1:
        inner = getattr(model, path[0])
        if not isinstance(inner, Frozen):
            raise UsageError("this setting has no parts", value=text)
        value = _replace(inner, path[1:], value, text)
    return build(type(model), {**dict(model), path[0]: value}, text)


def build(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Validate values into a model, turning pydantic's report into one message.

    Args:
        model: The model.
        values: Its fields.
        where: What the values came from, for the message.

    Raises:
        UsageError: The first field that is wrong, with its value.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = nearest(name, model.model_fields) if first["type"] == "extra_forbidden" else None
        raise UsageError(
            f"{where}: {name}: {first['msg'].lower()}", value=first["input"], hint=hint
        ) from None
