"""Faces of a picture, found and cropped as those that a model learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.choice import read_crops
from fer_bench.data.crops.detectors import Detector, find_faces
from fer_bench.data.crops.faces import Box, Face, choose_faces
from fer_bench.data.crops.framing import Framing
from fer_bench.data.crops.recipe import (
    AS_SHIPPED,
    NAMES,
    CropRecipe,
    crop_face,
    crop_found,
    similarity,
    warp,
)
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import DataError, UsageError

FacesWanted = Literal["largest", "best", "all", "whole"]
"""Which faces of a picture are predicted: the largest, the one the detector is surest of, all, or none is
searched and the picture is taken as a crop."""
SMALLEST = 8
"""Sides in pixels below which a picture or a face is too small to be predicted."""
NO_FACE = "no face was found"


@dataclass(frozen=True, eq=False)
class CroppedFace:
    """A face as a model sees it.

    Attributes:
        crop: RGB uint8 [S, S, 3].
        face: Where it is; None where the picture was taken as a crop.
    """

    crop: Image
    face: Face | None

    @property
    def box(self) -> Box | None:
        """The detector's box."""
        return None if self.face is None else self.face.box


@dataclass(frozen=True)
class FaceFinder:
    """How faces are found and cropped for a model.

    Attributes:
        recipe: How faces are cropped.
        wanted: Which faces of a picture.
        least_score: Detector's score below which a face does not count.
        framing: How aligned faces lie in a crop, where that is not as the recipe says.
        guessed: Whether it is not known how they lay in the crops that the model learned from.
    """

    recipe: CropRecipe
    wanted: FacesWanted = "largest"
    least_score: float = 0.0
    framing: Framing | None = None
    guessed: bool = False

    @property
    def text(self) -> str:
        """Return it as one line."""
        if self.wanted == "whole":
            return f"pictures are crops; {self.recipe.text}"
        recipe, least = self.recipe, f", score from {self.least_score:g}" if self.least_score else ""
        aligned = recipe.aligns_found and recipe.detector != "cascade"
        cut = "aligned by landmarks" if aligned else "squares"
        how = f"{cut} +{recipe.margin:.0%} {recipe.size}px v{recipe.version}"
        if self.framing is not None:
            how += f", framed as the crops that it learned from ({self.framing.text})"
        return f"{self.wanted} by {NAMES[recipe.detector]}{least}; {how}"

    @property
    def notes(self) -> list[str]:
        """Return what weakens the answers, one sentence each."""
        found = []
        if self.wanted != "whole" and self.recipe.detector == "cascade":
            found.append("the model learned from faces of the weak cascade; --detector mtcnn finds more")
        if self.guessed:
            found.append(
                "the checkpoint does not say how faces lie in the crops that it learned from (it is older, "
                "or they were not found), so they are taken to lie as in `similarity`"
            )
        return found

    def find(self, image: Image) -> tuple[list[CroppedFace], str | None]:
        """Return the faces of a picture, and why there is none.

        Args:
            image: RGB uint8 [H, W, 3].

        Raises:
            DetectorError: The detector cannot be used, whatever the picture.
        """
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST:
            return [], f"the picture is too small: {width}x{height} pixels"
        if self.wanted == "whole":
            return [CroppedFace(crop_face(image, None, None, self.recipe)[0], None)], None
        faces = find_faces(image, self.recipe.detector)
        kept = [face for face in faces if not face.score < self.least_score]  # the cascade's score is NaN
        large = [face for face in kept if _side(face) >= SMALLEST]
        if not large:
            why = f" with a score from {self.least_score:g}" if faces and not kept else ""
            return [], NO_FACE + (f" of {SMALLEST} pixels or more" if kept else why)
        found, problem = [], None
        for face in self._chosen(large):
            try:
                found.append(CroppedFace(self._cut(image, face), face))
            except DataError as error:  # far beyond the picture
                problem = error.message
        return found, problem if not found else None

    def again(self, image: Image, box: Box | None, landmarks: NDArray[np.float64] | None) -> Image:
        """Return the crop of a face that was found before, by where it is; None is the whole picture."""
        if box is None:
            return crop_face(image, None, None, self.recipe)[0]
        return self._cut(image, Face(box, landmarks, math.nan))

    def points_in_crop(self, face: Face) -> NDArray[np.float64] | None:
        """Return where a face's landmarks are in its crop, as shares [5, 2]; None if it is not aligned."""
        matrix = self._matrix(face)
        if matrix is None or face.landmarks is None:
            return None
        points: NDArray[np.float64] = (face.landmarks @ matrix[:, :2].T + matrix[:, 2]) / self.recipe.size
        return points

    def _cut(self, image: Image, face: Face) -> Image:
        matrix = None if self.framing is None else self._matrix(face)
        if matrix is not None:
            return warp(image, matrix, self.recipe.size)
        return crop_found(image, face, self.recipe)

    def _matrix(self, face: Face) -> NDArray[np.float64] | None:
        """Return what moves a face into its crop by its landmarks; None if it is not aligned."""
        if face.landmarks is None or not (self.framing is not None or self.recipe.aligns_found):
            return None
        matrix = similarity(face.landmarks, self.recipe)
        if matrix is None or self.framing is None:
            return matrix
        return self.framing.applied(matrix, self.recipe.size)

    def _chosen(self, faces: list[Face]) -> list[Face]:
        if self.wanted == "best":
            best = max(faces, key=lambda face: -1.0 if math.isnan(face.score) else face.score)
            return [best]
        return choose_faces(faces, "all" if self.wanted == "all" else "largest")


def _side(face: Face) -> float:
    return min(face.box[2] - face.box[0], face.box[3] - face.box[1])


def finder_for(
    trained_with: CropRecipe,
    framing: Framing | None = None,
    *,
    wanted: FacesWanted = "largest",
    crop: str | None = None,
    detector: Detector | None = None,
    least_score: float = 0.0,
) -> FaceFinder:
    """Return how faces are found and cropped for a model.

    A model that learned from crops as their publisher made them gets faces that are aligned by five
    landmarks and lie in the crop as they do there; one that learned from a detector's faces gets the same
    detector's.

    Args:
        trained_with: The recipe of the crops that the model learned from.
        framing: How faces lie in those crops, where they are as their publisher made them; without it the
            recipe's template is taken, without margin.
        wanted: Which faces of a picture.
        crop: Another way to crop, written `kind[+margin]`.
        detector: Another detector.
        least_score: See `FaceFinder`.

    Raises:
        UsageError: The crop is not written as it should be, or does not fit `wanted`.
    """
    used: Framing | None = None
    guessed = crop is None and wanted != "whole" and trained_with.kind in AS_SHIPPED and framing is None
    if crop is not None:
        recipe = read_recipe(crop, trained_with.size)
        if (recipe.kind in AS_SHIPPED) != (wanted == "whole"):
            problem = "takes pictures as crops, so no face is searched for"
            raise UsageError(
                f"--crop {crop} {problem}" if wanted != "whole" else f"--faces whole {problem}",
                value=f"--crop {crop} --faces {wanted}",
                hint="--crop fit --faces whole, or --crop similarity with largest, best or all",
            )
    elif wanted == "whole":
        kind = trained_with.kind if trained_with.kind in AS_SHIPPED else "fit"
        recipe = CropRecipe(kind=kind, size=trained_with.size)
    elif trained_with.kind in AS_SHIPPED:
        recipe, used = CropRecipe(kind="similarity", size=trained_with.size, margin=0.0), framing
    elif trained_with.kind == "detect":
        recipe = trained_with
    else:  # a detector was only asked where the dataset had no box
        recipe = trained_with.model_copy(update={"detector": "mtcnn"})
    if detector is not None:
        recipe = recipe.model_copy(update={"detector": detector})
    return FaceFinder(recipe, wanted, least_score, used, guessed)


def read_recipe(text: str, size: int = 16) -> CropRecipe:
    """Return the recipe that a text `kind[+margin]` means.

    Args:
        text: As for `--crop`.
        size: Side of the crops in pixels.

    Raises:
        UsageError: An unknown kind or a margin out of range.
    """
    (wish,) = read_crops([text], None, ()).wishes
    margin = {} if wish.margin is None else {"margin": wish.margin}
    return CropRecipe(kind=wish.kind, size=size, **margin)
