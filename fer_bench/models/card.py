"""Model cards: what somebody else's network takes, what it answers, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from fer_bench import datasets
from fer_bench.data.crops.choice import CropChoice, read_crops
from fer_bench.emotions import Emotion, aliases, match_emotion
from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.results.record import SEEN, Exposure, TrainingData
from fer_bench.schema import Frozen

DROP = "drop"
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""What an outside model may be called: its name is a folder of the store."""
SHIPPED = files("fer_bench.models") / "cards"
"""Folder of the cards that come with the package."""
Trust = Literal["page", "code", "secondary", "inferred", "memory"]
Outputs = Literal["logits", "probabilities", "log-probabilities"]


class NetworkInput(Frozen):
    """What the network takes.

    Attributes:
        size: Height and width in pixels.
        layout: `nchw` or `nhwc`.
        colour: Order of the channels: `rgb`, `bgr`, or `gray` (ITU-R BT.601 luma).
        channels: Number of channels; by default 1 for gray, which 3 repeats, else 3.
        range: Values of black and white, `[0, 255]` or `[-1, 1]`, say.
        mean: Per channel of the network, subtracted from values in [0, 1].
        std: Per channel of the network, divides what is left.
        name: Name of the input, where the network has several.
    """

    size: int = Field(ge=16, le=1024)
    layout: Literal["nchw", "nhwc"] = "nchw"
    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    channels: Literal[1, 3] | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    name: str | None = None

    @property
    def depth(self) -> int:
        """Number of channels."""
        return self.channels or (1 if self.colour == "gray" else 3)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture, in the network's layout."""
        if self.layout == "nchw":
            return self.depth, self.size, self.size
        return self.size, self.size, self.depth

    @property
    def is_scaled(self) -> bool:
        """Whether it says which values the network takes."""
        return self.range is not None or self.mean is not None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.colour != "gray" and self.channels == 1:
            raise ValueError(f"one channel is gray, not {self.colour}")
        if self.range is not None and (self.mean is not None or self.std is not None):
            raise ValueError("give range, or mean and std, not both")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together")
        if self.range is not None and self.range[0] == self.range[1]:
            raise ValueError("black and white have the same value")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.depth:
                raise ValueError(f"{name} has {len(values)} values for {self.depth} channels")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class Note(Frozen):
    """A fact about the model, and how well it is known.

    Attributes:
        text: The fact.
        trust: `page` and `code` of the owner, `secondary` sources, `inferred`, or `memory` of the card's
            author.
        source: Where it was read; empty for `memory`.
    """

    text: str
    trust: Trust
    source: str = ""


class ModelCard(Frozen):
    """What is known about a model that was trained elsewhere.

    Attributes:
        name: Short name, unique on a board.
        title: One line.
        file: Name of the file that it describes, for files that have no card beside them.
        sha256: Hash of that file, where a trusted source gives it.
        classes: Emotion of each output, in the order of the outputs; `drop` for an output without one.
        input: What the network takes.
        crop: How faces are cut out, as on the command line (`box+0.3`); null takes each dataset's own way.
        outputs: What the network answers.
        output: Name of the output, where the network has several.
        licence: Terms of the weights.
        source: Where the file can be got.
        citation: Paper.
        training_data: What it was trained on, in words.
        exposure: What it saw of each dataset; those that are not named are `unknown`.
        notes: Further facts with their trust.
    """

    name: str = Field(pattern=rf"^{MODEL_NAME}$")
    title: str = ""
    file: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    classes: tuple[Emotion | None, ...]
    input: NetworkInput
    crop: str | None = None
    outputs: Outputs
    output: str | None = None
    licence: str
    source: str
    citation: str = ""
    training_data: str
    exposure: dict[str, Exposure] = {}
    notes: tuple[Note, ...] = ()

    @field_validator("classes", mode="before")
    @classmethod
    def _named_classes(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        return tuple(_emotion(one) for one in given)

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[Emotion | None, ...]) -> tuple[Emotion | None, ...]:
        kept = [one for one in classes if one is not None]
        if len(set(kept)) < len(kept):
            raise ValueError(f"{next(one for one in kept if kept.count(one) > 1)} comes twice")
        if len(kept) < 2:
            raise ValueError("a model needs at least two classes")
        return classes

    @field_validator("exposure")
    @classmethod
    def _known_datasets(cls, exposure: dict[str, Exposure]) -> dict[str, Exposure]:
        for name in exposure:
            if name not in datasets.names():
                raise ValueError(f"unknown dataset {name!r}; {nearest(name, datasets.names())}")
        return exposure

    @field_validator("crop")
    @classmethod
    def _known_crop(cls, crop: str | None) -> str | None:
        if crop is not None:
            try:
                read_crops([crop], None, ())
            except UsageError as error:
                raise ValueError(f"{error.message}; {error.hint}") from None
        return crop

    @property
    def kept(self) -> tuple[int, ...]:
        """Positions of the outputs that are an emotion."""
        return tuple(at for at, emotion in enumerate(self.classes) if emotion is not None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Emotions of these outputs, in their order."""
        return tuple(emotion.value for emotion in self.classes if emotion is not None)

    @property
    def crops(self) -> CropChoice:
        """How faces are cut out."""
        return read_crops([self.crop] if self.crop else [], None, ())

    def exposure_to(self, dataset: str) -> Exposure:
        """Return what the model saw of a dataset; pictures that datasets share were seen with either."""
        if dataset in self.exposure:
            return self.exposure[dataset]
        seen = [name for name, exposure in self.exposure.items() if exposure in SEEN]
        return (
            "seen the pictures" if any(datasets.share_pixels(name, dataset) for name in seen) else "unknown"
        )

    def training(self, targets: Sequence[str]) -> TrainingData:
        """Return what the model was trained on, for the record, with its exposure to some datasets."""
        names = sorted({*self.exposure, *targets})
        return TrainingData(
            text=self.training_data,
            exposure={name: self.exposure_to(name) for name in names},
            source=self.source,
        )


def _emotion(given: object) -> Emotion | None:
    """Return the emotion that a card's class means, None for `drop` or `{name: drop}`."""
    if given == DROP or (isinstance(given, Mapping) and list(given.values()) == [DROP]):
        return None
    found = match_emotion(given) if isinstance(given, str) else None
    if found is None:
        known = [emotion.value for emotion in Emotion]
        hint = nearest(str(given), [*known, *(alias for e in Emotion for alias in aliases(e))])
        near = hint if hint.startswith("did") else f"known: {', '.join(known)}"
        raise ValueError(
            f"{given!r} is not an emotion; {near}; an output without one is written `{{{given}: {DROP}}}`"
        )
    return found


def build_card(values: Mapping[str, Any], where: str) -> ModelCard:
    """Return a card from its fields.

    Args:
        values: The fields.
        where: What they came from, for the message.

    Raises:
        DataError: The first field that is wrong, with its value.
    """
    try:
        return ModelCard.model_validate(dict(values))
    except ValidationError as error:
        raise _refused(error, where, None) from None


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        DataError: The file is absent or not YAML, or a field is missing, unknown or wrong; with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except FileNotFoundError:
        raise DataError("there is no such model card", file=path) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"the model card is not readable YAML: {error}", file=path) from None
    if not isinstance(tree, yaml.MappingNode) or not isinstance(values, dict):
        raise DataError("a model card is a YAML mapping: `name: ...`, `classes: [...]`", file=path)
    _refuse_repeated(tree, path)
    try:
        return ModelCard.model_validate(values)
    except ValidationError as error:
        raise _refused(error, path, tree) from None


def _refuse_repeated(node: yaml.Node, path: Path) -> None:
    """Refuse a name that comes twice in one mapping, of which YAML takes the last."""
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            if key.value in names:
                line = key.start_mark.line + 1
                raise DataError("this field comes twice", file=path, line=line, value=key.value)
            names.add(key.value)
            _refuse_repeated(value, path)


def _refused(error: ValidationError, where: Path | str, tree: yaml.Node | None) -> DataError:
    first = error.errors()[0]
    place = [part for part in first["loc"] if not str(part).startswith(("function-", "tuple["))]
    name = ".".join(map(str, place))
    known = NetworkInput.model_fields if place[:1] == ["input"] else ModelCard.model_fields
    unknown = first["type"] == "extra_forbidden"
    problem = "unknown field" if unknown else first["msg"].removeprefix("Value error, ").lower()
    if first["type"] == "value_error":
        problem = first["msg"].removeprefix("Value error, ")
    value = None if first["type"] in ("missing", "value_error") or unknown else first["input"]
    hint = nearest(str(place[-1]), known) if unknown else None
    what = f"the model card: {name}: {problem}" if name else f"the model card: {problem}"
    return DataError(what, file=where, line=_line_of(tree, place), value=value, hint=hint)


def _line_of(node: yaml.Node | None, place: Sequence[int | str]) -> int | None:
    """Return the line of a field, or of the part that holds it."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for part in place:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        if found is None:
            break
        node = found
    return line


def shipped_names() -> tuple[str, ...]:
    """Return the names of the cards that come with the package."""
    return tuple(
        sorted(one.name.removesuffix(".yaml") for one in SHIPPED.iterdir() if one.name.endswith(".yaml"))
    )


def shipped_card(name: str) -> ModelCard:
    """Return a card that comes with the package.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in shipped_names():
        raise UsageError(
            "no model card of this name comes with the package",
            value=name,
            hint=nearest(name, shipped_names()),
        )
    return read_card(Path(str(SHIPPED / f"{name}.yaml")))
