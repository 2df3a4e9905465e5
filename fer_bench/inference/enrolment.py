"""Enrolment: gcn compares a face with a real neutral picture of the person instead of a generated one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError, UsageError
from fer_bench.files import expand_home, short_hash
from fer_bench.inference.face_model import Answers, Crops, FaceModel
from fer_bench.inference.faces import FaceFinder
from fer_bench.inference.inputs import VIDEO_ENDINGS, Item
from fer_bench.inference.opening import checkpoint_of
from fer_bench.inference.video import Ending, Every, frames_of, opened

if TYPE_CHECKING:
    from torch import Tensor

    from fer_bench.inference.checkpoint import CheckpointModel

CALMEST = 3
"""Frames of a clip that are taken as the neutral face; their features are averaged."""
AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Reference:
    """The neutral face of a person.

    Attributes:
        person: Who; empty for everybody.
        crops: One or several neutral faces, uint8 [n, S, S, 3].
        text: Where they are from, and why these, for the user.
    """

    person: str
    crops: Crops
    text: str

    def is_of(self, file: str) -> bool:
        """Return whether a picture shows this person: by a folder's name, or the beginning of the file's."""
        if not self.person:
            return True
        path = PurePath(file.replace("\\", "/"))
        begins = re.match(rf"{re.escape(self.person)}(?![A-Za-z0-9])", path.name, re.IGNORECASE)
        folders = [part.casefold() for part in path.parts[:-1]]
        return begins is not None or self.person.casefold() in folders


class Enrolment:
    """Answers of gcn with the neutral faces of persons.

    Args:
        model: A checkpoint of gcn.
        references: One per person, or one for everybody.

    Raises:
        UsageError: Another method, gcn without a generator, or a person that is named twice.
    """

    def __init__(self, model: FaceModel, references: Sequence[Reference]) -> None:
        self.model = _comparing(model)
        self.references = tuple(references)
        names = [one.person.casefold() for one in references]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError("this person has two neutral pictures", value=twice or "everybody")
        self._features = [_feature(self.model, one.crops) for one in references]

    def answer(self, crops: Crops, files: Sequence[str]) -> Answers:
        """Return the answers for faces, each compared with the neutral face of its person.

        Args:
            crops: uint8 [B, S, S, 3].
            files: Which picture each is from [B]; a face of nobody enrolled gets a generated reference.
        """
        owners = np.array([self.owner(file) for file in files])
        logits = np.empty((len(crops), len(self.model.card.classes)), np.float32)
        for owner in np.unique(owners):
            rows = owners == owner
            if owner < 0:
                logits[rows] = self.model.answer(crops[rows]).logits
            else:
                logits[rows] = compare(self.model, crops[rows], self._features[owner])
        return Answers(logits)

    def owner(self, file: str) -> int:
        """Return which reference is of a file's person, the one with the longest name; -1 for none."""
        fitting = [number for number, one in enumerate(self.references) if one.is_of(file)]
        return max(fitting, key=lambda number: len(self.references[number].person), default=-1)

    def check(self, files: Sequence[str]) -> None:
        """Make sure that every person is in a picture.

        Raises:
            UsageError: One is in none.
        """
        for one in self.references:
            if not any(one.is_of(file) for file in files):
                raise UsageError(
                    "no picture shows this person: no folder has this name, and no file name begins with it",
                    value=one.person,
                    hint="--neutral FILE, without a name, is for all pictures",
                )

    @property
    def document(self) -> dict[str, str]:
        """Return a hash of the neutral faces by person."""
        return {one.person: short_hash(one.crops.tolist()) for one in self.references}


def enrol(
    texts: Sequence[str], model: FaceModel, finder: FaceFinder, every: Every | None = None
) -> Enrolment:
    """Return the enrolment that options mean.

    Args:
        texts: `PERSON=FILE` or `FILE`; of a video the calmest frames are taken.
        model: A checkpoint of gcn.
        finder: How faces are found and cropped.
        every: Which frames of videos are looked at; None looks at all.

    Raises:
        UsageError: See `Enrolment`.
        DataError: A file cannot be read, or shows no face.
    """
    gcn = _comparing(model)
    return Enrolment(gcn, [_reference(text, gcn, finder, every or Every()) for text in texts])


def _reference(text: str, model: CheckpointModel, finder: FaceFinder, every: Every) -> Reference:
    person, equals, named = text.partition("=")
    if not equals or (not expand_home(named).exists() and expand_home(text).exists()):
        person, named = "", text
    path = expand_home(named)
    if not path.is_file():
        raise DataError(
            "the neutral picture does not exist", file=path, hint="--neutral PERSON=FILE or --neutral FILE"
        )
    if path.suffix.casefold() in VIDEO_ENDINGS:
        return _calmest(person, path, model, finder, every)
    crop = _face(read_picture(path), finder)
    if crop is None:
        raise DataError("the neutral picture shows no face", file=path)
    return Reference(person, crop[None], path.name)


def _face(image: Image, finder: FaceFinder) -> Image | None:
    faces, _ = finder.find(image)
    return max(faces, key=lambda one: 0.0 if one.face is None else one.face.area).crop if faces else None


def _calmest(person: str, path: Path, model: CheckpointModel, finder: FaceFinder, every: Every) -> Reference:
    """Return the calmest faces of a clip."""
    numbers, times, crops = [], [], []
    item = Item(path.name, path, "video")
    with opened(item) as capture:
        for frame in frames_of(capture, item, every, Ending()):
            crop = _face(frame.image, finder)
            if crop is not None:
                numbers.append(frame.number)
                times.append(frame.time)
                crops.append(crop)
    if not crops:
        raise DataError("the clip shows no face", file=path)
    faces = np.stack(crops)
    calm, word = calmness(model, faces)
    chosen = np.sort(np.argsort(-calm, kind="stable")[:CALMEST])
    places = ", ".join(f"{numbers[at]} ({times[at]:.2f} s)" for at in chosen)
    text = f"{path.name}, calmest of {len(crops)} frames: {places}; {word} {calm[chosen].mean():.2f}"
    return Reference(person, faces[chosen], text)


def draw_references(references: Sequence[Reference], file: Path) -> None:
    """Draw the neutral faces that were taken, a line per person.

    Args:
        references: The references.
        file: A PNG or JPEG file.

    Raises:
        UsageError: Another suffix.
    """
    from fer_bench.figures import figure_style, new_figure, save_figure

    if file.suffix.casefold() not in (".png", ".jpg", ".jpeg"):
        raise UsageError("the neutral faces are a PNG or JPEG file", value=str(file), hint="neutral.png")
    most = max(len(one.crops) for one in references)
    with figure_style():
        figure = new_figure(max(4.0, 1.5 * most), 1.8 * len(references))
        for line, one in zip(figure.subplots(len(references), most, squeeze=False), references, strict=True):
            for place in line:
                place.axis("off")
            for place, crop in zip(line, one.crops, strict=False):
                place.imshow(crop)
            line[0].set_title(f"{one.person or 'everybody'}: {one.text}", fontsize=6, loc="left")
        save_figure(figure, file)


def calmness(model: CheckpointModel, crops: Crops) -> tuple[NDArray[np.float64], str]:
    """Return how calm faces are, and in words what that is.

    The probability of `neutral` where the model knows it; else how like its generated reference a face is, as
    the cosine of the two features.

    Args:
        model: A checkpoint of gcn.
        crops: uint8 [B, S, S, 3].
    """
    import torch

    if Emotion.NEUTRAL in model.card.classes:
        shares = model.card.probabilities(model.answer(crops).logits)
        return shares[:, model.card.classes.index(Emotion.NEUTRAL)], "probability of neutral"
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), AT_ONCE):
            flows = _network(model).flows(model.images(crops[start : start + AT_ONCE])[:, :1])
            parts.append((flows.query.feature * flows.reference.feature).sum(dim=1).cpu().numpy())
    return np.concatenate(parts), "likeness to the generated reference"


def compare(model: CheckpointModel, crops: Crops, feature: Tensor) -> NDArray[np.float32]:
    """Return logits [B, K] of faces beside the feature of a reference.

    Args:
        model: A checkpoint of gcn.
        crops: uint8 [B, S, S, 3].
        feature: Unit length [1, D].
    """
    import torch

    from fer_bench.methods.gcn.network import contrast, unit_features

    network, parts = _network(model), []
    with torch.inference_mode():
        for start in range(0, len(crops), AT_ONCE):
            images = model.images(crops[start : start + AT_ONCE])[:, :1]
            query = unit_features(network.encoder2(images)[0])
            parts.append(network.classifier(contrast(query, feature, network.distance)).float().cpu().numpy())
    return np.concatenate(parts)


def reference_feature(model: CheckpointModel, images: Tensor) -> Tensor:
    """Return the mean feature of reference faces, of unit length [1, D].

    Args:
        model: A checkpoint of gcn.
        images: Grey, normalised [n, 1, S, S].
    """
    import torch
    from torch.nn import functional as F

    from fer_bench.methods.gcn.network import unit_features

    network = _network(model)
    encoder = network.encoder2 if network.encoder2_reference is None else network.encoder2_reference
    with torch.inference_mode():
        return F.normalize(unit_features(encoder(images)[0]).mean(dim=0, keepdim=True), dim=1)


def _feature(model: CheckpointModel, crops: Crops) -> Tensor:
    return reference_feature(model, model.images(crops)[:, :1])


def _network(model: CheckpointModel) -> Any:
    return model.method.network


def _comparing(model: FaceModel) -> CheckpointModel:
    found = checkpoint_of(
        model, "a neutral picture is compared with inside the network, which an export cannot"
    )
    if found.card.method != "gcn" or _network(found).decoder1 is None:
        raise UsageError(
            "only gcn with its generator compares a face with a reference",
            value=found.card.name,
            hint="without --neutral, or a checkpoint of gcn",
        )
    return found
