"""What is known of a model that predicts faces: enough to use it anywhere. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from fer_bench.data.crops.framing import Framing
from fer_bench.data.crops.recipe import AS_SHIPPED, CropRecipe
from fer_bench.errors import StoreError
from fer_bench.results.checkpoint_facts import CheckpointFacts
from fer_bench.schema import Frozen


class DeploymentCard(Frozen):
    """The facts that predicting needs.

    Attributes:
        name: What was trained on what: method, settings that differ, dataset, protocol, fold and seed.
        method: Method.
        classes: Class names in the order of the outputs.
        has_va: Whether it answers valence and arousal.
        has_au: Whether it answers action units.
        recipe: How the faces that it learned from were cropped.
        framing: How faces lie in those crops, where they are as their publisher made them.
        trained_on: Dataset or union.
        data_kind: Whether those faces were photographed or drawn; `unknown` for imported weights.
        key: Run key; empty for imported weights.
        selection: Which epoch.
        weights: SHA-256 of the weights.
        version: Version of this package that trained it.
        temperature: Divides the logits, where the model was calibrated.
        offsets: Added to the logits after that, one per class, where class shares were corrected.
        int8: Whether weights and activations have 8 bits.
    """

    name: str
    method: str
    classes: tuple[str, ...] = Field(min_length=2)
    has_va: bool = False
    has_au: bool = False
    recipe: CropRecipe
    framing: Framing | None = None
    trained_on: str
    data_kind: Literal["real", "synthetic", "unknown"]
    key: str = ""
    selection: str = ""
    weights: str
    version: str = ""
    temperature: float = Field(default=1.0, gt=0)
    offsets: tuple[float, ...] = ()
    int8: bool = False

    @model_validator(mode="after")
    def _one_offset_per_class(self) -> Self:
        if self.offsets and len(self.offsets) != len(self.classes):
            raise ValueError(f"{len(self.offsets)} offsets for {len(self.classes)} classes")
        return self

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities [B, K] of logits [B, K], calibrated where the card says how."""
        values = logits.astype(np.float64) / self.temperature
        if self.offsets:
            values = values + np.array(self.offsets)
        values = np.exp(values - values.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = values / values.sum(axis=1, keepdims=True)
        return shares


def card_of(
    facts: CheckpointFacts, *, has_va: bool, has_au: bool, file: Path, recipe: CropRecipe | None = None
) -> DeploymentCard:
    """Return the card of a trained checkpoint.

    Args:
        facts: What the checkpoint says about itself, or the record beside it.
        has_va: Whether the method answers valence and arousal.
        has_au: Whether it answers action units.
        file: The checkpoint, for messages.
        recipe: How faces are cropped, instead of what the record says.

    Raises:
        StoreError: Its crop recipe is of another version.
    """
    record = facts.record
    return DeploymentCard(
        name=record.name,
        method=record.method,
        classes=record.classes,
        has_va=has_va,
        has_au=has_au,
        recipe=recipe or _recipe(record.key_fields["crop"], file),
        framing=facts.framing,
        trained_on=record.dataset,
        data_kind=record.data_kind,
        key=record.key,
        selection=facts.selection,
        weights=facts.weights,
        version=str(record.environment.get("fer_bench", "")),
        temperature=facts.temperature,
        offsets=facts.offsets,
    )


def _recipe(values: Mapping[str, Any], file: Path) -> CropRecipe:
    """Return a stored recipe; of a union that of the first member whose faces are not cropped as shipped."""
    try:
        if "members" in values:
            found = [CropRecipe.model_validate(each) for each in values["members"].values()]
            return next((recipe for recipe in found if recipe.kind not in AS_SHIPPED), found[0])
        return CropRecipe.model_validate(dict(values))
    except ValidationError as error:
        raise StoreError(
            f"its crop recipe is of another version: {error.errors()[0]['msg']}",
            file=file,
            value=dict(values),
            hint="use the version that trained it, or say how faces are cut: --crop similarity",
        ) from None
