"""The record: what a run was, how it ended and what it scored, as one JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import from_json

from fer_bench.errors import StoreError
from fer_bench.results.scores import BeforeAfter, Breakdown
from fer_bench.schema import Frozen

SCHEMA_VERSION: Literal[2] = 2
Status = Literal["planned", "running", "done", "failed", "oom", "diverged", "interrupted", "skipped"]
LOGGER_FAILED = "logger: "
"""Beginning of the warnings about loggers, which say nothing about a number."""
OUTSIDE = "outside"
"""What the record of a model that was trained elsewhere, on data of its own, names as its dataset."""
SAW_GENERATOR = "backbone saw this generator's labels"
"""Beginning of the warning by which records without `pretrained` say so."""
GENERATOR = "generator"
"""The name under which `TrainingData` says whether a model saw the expression labels of drawn faces."""
START = "start"
"""The part of `pretrained` that is the checkpoint which a run started from."""
Selection = Literal["val", "last", "val_abaw", "peek"]
"""Which epoch: best validation UAR, last, best ABAW sum on validation rows, or best UAR on the test rows
(`--track-peek`, which shows what peeking gains). One is the headline, others are tested on their own dataset
only."""


def method_with(method: str, varied: Mapping[str, str]) -> str:
    """Return a method's name with settings, as a grid is written: `gcn[lr=0.001,train.batch_size=16]`."""
    settings = ",".join(f"{name}={text}" for name, text in varied.items())
    return f"{method}[{settings}]" if settings else method


class Score(Frozen):
    """How one checkpoint did on one target, computed from stored predictions.

    Attributes:
        target: Dataset name; equal to the run's dataset in-domain.
        selection: Which checkpoint.
        label_set: Classes scored: the protocol's in-domain, the pair label set elsewhere.
        n: Rows scored.
        k: Number of scored classes with at least one row.
        kept_share: Scored rows divided by labelled rows of the target.
        metrics: Registered metrics by name, logits restricted to `label_set`; undefined ones are null.
        unrestricted_uar: UAR when the model may answer any of its classes.
        small_classes: Scored classes with fewer than five rows.
        rows: Hash of the rows and truths behind the score; empty in records of older versions.
        breakdown: What the score is made of; null in records of older versions.
    """

    target: str
    selection: Selection
    label_set: tuple[str, ...]
    n: int
    k: int
    kept_share: float
    metrics: dict[str, float | None]
    unrestricted_uar: float
    small_classes: tuple[str, ...] = ()
    rows: str = ""
    breakdown: Breakdown | None = None

    @field_validator("metrics")
    @classmethod
    def _has_uar(cls, metrics: dict[str, float | None]) -> dict[str, float | None]:
        if metrics.get("uar") is None:
            raise ValueError("a score needs a UAR")
        return metrics

    @property
    def uar(self) -> float:
        """Unweighted average recall over the k classes: the metric that ranks, which every score has."""
        found = self.metrics["uar"]
        assert found is not None
        return found


class SubsetScore(Frozen):
    """How the headline's checkpoint did on a named subset of a target's rows.

    Attributes:
        name: Name of the subset.
        hash: Hash of its sample ids.
        listed: Rows that it names.
        tested: Those among them that the run tested; of a fold, those of its test people.
        score: Score on these, over the classes of the whole target.
    """

    name: str
    hash: str
    listed: int
    tested: int
    score: Score


class Chosen(Frozen):
    """Which epoch a selection took.

    Attributes:
        epoch: Epoch from 0.
        val_uar: Validation UAR of that epoch, null without validation.
        val_abaw: ABAW sum of its validation rows, null where it is not defined.
        test_uar: UAR of its test rows, null where no choice depends on it.
        checkpoint: SHA-256 of the stored weights.
    """

    epoch: int
    val_uar: float | None
    val_abaw: float | None = None
    test_uar: float | None = None
    checkpoint: str


class TargetData(Frozen):
    """What data a target's predictions were made on.

    Attributes:
        fingerprint: Hash of the target's index.
        pixels: Hash of its packed pictures.
        recipe: Crop recipe, as text.
        card_version: Version of its card.
        protocol: Protocol whose rows were used.
        faces_weak: Share of the scored rows whose face the weak cascade found or nothing did, in [0, 1].
        faces_missed: Share of the scored rows in which no face was found, so that the central square was
            cut; null in records of older versions.
        damaged: Rows whose picture decodes only in part.
        copy_note: How the copy of the dataset differs from the official release, empty if it does not.
    """

    fingerprint: str
    pixels: str
    recipe: str
    card_version: int
    protocol: str
    faces_weak: float = 0.0
    faces_missed: float | None = None
    damaged: int = 0
    copy_note: str = ""


Exposure = Literal["in training", "seen the pictures", "unseen", "unknown"]
SEEN: tuple[Exposure, ...] = ("in training", "seen the pictures")
"""Exposures after which a score is neither generalisation nor ranked."""


class TrainingData(Frozen):
    """What weights that were not trained here were trained on, as far as that is known.

    Attributes:
        text: In words.
        exposure: Per dataset, what the model saw of it in training: its labels (`in training`), its pictures
            with other labels or none (`seen the pictures`), nothing (`unseen`), or nobody knows.
        source: Where this was read.
    """

    text: str
    exposure: dict[str, Exposure] = {}
    source: str = ""

    def of(self, dataset: str) -> Exposure:
        """Return what the model saw of a dataset."""
        return self.exposure.get(dataset, "unknown")


class Failure(Frozen):
    """Why a run did not end well.

    Attributes:
        kind: Name of the error.
        message: Its message.
        traceback: The last lines of the traceback.
        log: The last lines of the log, for runs that could not report themselves why they ended.
    """

    kind: str
    message: str
    traceback: str = ""
    log: str = ""

    @property
    def reason(self) -> str:
        """The message with the name of the error."""
        return self.message if self.message.startswith(self.kind) else f"{self.kind}: {self.message}"


class Record(Frozen):
    """Everything a table or a reader needs to know about a run.

    Attributes:
        schema_version: Version of this layout.
        status: How far the run came.
        key: Run key: hash of `key_fields`.
        method: Method name.
        dataset: Source dataset.
        protocol: Protocol name within the dataset.
        fold: Fold from 1.
        folds: Number of folds of the protocol, 1 without folds.
        seed: Repetition.
        profile: Profile name.
        data_kind: `real` or `synthetic`.
        generator: Version, size, seed and population of the synthetic data; null for real data.
        classes: Ordered class names of the model.
        adapted: How the method is adapted to data it was not designed for, or null.
        settings: Resolved settings: `method`, `train`, `precision`.
        varied: Settings that differ from the profile's, and chosen crops, by name as text; empty in records
            of older versions.
        key_fields: What the key was computed from, for `diff`.
        parameters: Trainable parameters.
        multiply_adds: Multiply-adds of one image's forward pass.
        rows: Rows per role.
        selection: Chosen epoch per selection.
        scores: One entry per target and selection.
        subsets: Scores on named subsets of targets' rows.
        targets: Data that each target's predictions were made on.
        missing: Targets that were asked for and absent, with the reason.
        excluded: Per dataset the sample ids or paths that were left out by name; empty in records of older
            versions.
        class_map: Emotion, or `drop`, by class name of `folder`, where the user gave it.
        training_data: What an outside model was trained on; null for runs that were trained here.
        pretrained: What the pretrained weights that a run starts from, or stays with, were trained on, by
            part of the network; empty in records of older versions.
        start: What training added to the checkpoint that the run started from; empty without one.
        environment: Versions, commit, hardware.
        timing: Seconds of `train` (over all attempts), of `evaluate` and of the last `attempt` as a whole;
            CPU-seconds of its parts as `cpu_<part>`, see `fer_bench.runs.spent`.
        warnings: What a reader of the number should know.
        error: Why the run did not end well, or null.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    status: Status
    key: str
    method: str
    dataset: str
    protocol: str
    fold: int = Field(ge=1)
    folds: int = Field(ge=1)
    seed: int
    profile: str
    data_kind: Literal["real", "synthetic"]
    generator: dict[str, Any] | None = None
    classes: tuple[str, ...]
    adapted: str | None = None
    settings: dict[str, Any]
    varied: dict[str, str] = {}
    key_fields: dict[str, Any]
    parameters: int = 0
    multiply_adds: int = 0
    rows: dict[str, int] = {}
    selection: dict[str, Chosen] = {}
    scores: tuple[Score, ...] = ()
    subsets: tuple[SubsetScore, ...] = ()
    targets: dict[str, TargetData] = {}
    missing: dict[str, str] = {}
    excluded: dict[str, tuple[str, ...]] = {}
    class_map: dict[str, str] = {}
    training_data: TrainingData | None = None
    pretrained: dict[str, TrainingData] = {}
    start: tuple[BeforeAfter, ...] = ()
    environment: dict[str, Any] = {}
    timing: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    error: Failure | None = None

    @property
    def name(self) -> str:
        """Return a readable name: method[varied settings]/dataset/protocol fold seed."""
        fold = f" fold {self.fold} of {self.folds}" if self.folds > 1 else ""
        method = method_with(self.method, self.varied)
        return f"{method}/{self.dataset}/{self.protocol}{fold} seed {self.seed}"

    @property
    def headline(self) -> Selection:
        """Which selection tables show: `val`, or `last` under a protocol without validation."""
        return "val" if "val" in self.selection or not self.selection else "last"

    @property
    def checkpoint(self) -> str | None:
        """Return the SHA-256 of the weights that tables show the scores of, None before they exist."""
        chosen = self.selection.get(self.headline)
        return None if chosen is None else chosen.checkpoint

    @property
    def is_outside(self) -> bool:
        """Return whether the model was trained elsewhere."""
        return self.training_data is not None

    def score(self, target: str, selection: Selection = "val") -> Score | None:
        """Return the score on a target, or None when it was not evaluated."""
        return next((s for s in self.scores if s.target == target and s.selection == selection), None)


def read_record(path: Path) -> Record:
    """Read and validate a record.

    Raises:
        StoreError: The file is absent, not JSON, of a newer schema, or breaks the schema.
    """
    try:
        content = path.read_bytes()
        with suppress(ValidationError):  # almost always: the rest tells what is wrong, or reads schema 1
            return Record.model_validate_json(content)
        raw = from_json(content)
    except FileNotFoundError:
        raise StoreError("the record does not exist", file=path) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"the record is not readable JSON: {error}", file=path) from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version not in (1, SCHEMA_VERSION):
        raise StoreError(
            f"this version reads records of schema 1 to {SCHEMA_VERSION}", file=path, value=version
        )
    try:
        return Record.model_validate(_from_version_1(raw) if version == 1 else raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"invalid record: {where}: {first['msg']}", file=path, value=first["input"]
        ) from None


def _from_version_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a record of schema 1, in which metrics were fields of a score, in the layout of schema 2."""
    scores = []
    for old in raw.get("scores") or ():
        new = dict(old)
        metrics = {name: new.pop(name) for name in ("accuracy", "uar", "macro_f1", "transfer") if name in new}
        breakdown = new.pop("details", None)
        if breakdown is not None:
            breakdown = dict(breakdown)
            metrics["mcc"] = breakdown.pop("mcc", None)
        scores.append({**new, "metrics": metrics, "breakdown": breakdown})
    return {**raw, "schema_version": SCHEMA_VERSION, "scores": scores}
