"""What an exported ONNX file says about itself, and the hash by which later changes show. Imports no torch.

The metadata of the file hold, as JSON: `fer_bench.card` (what predicting needs), `fer_bench.model_card`,
`fer_bench.input` and `fer_bench.outputs` (for programs that read the file with nothing but onnxruntime) and
`fer_bench.taxonomy` (all canonical emotions and action units). `fer_bench.digest` is the SHA-256 of these and
of the network. It shows damage and edits; it does not prove who made the file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fer_bench.emotions import ACTION_UNITS, Emotion
from fer_bench.errors import DataError, UsageError
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.model_card import ModelCard
from fer_bench.schema import Frozen

FORMAT = "1"
PREFIX = "fer_bench."
INPUT = "crops"
"""Name of the input: RGB uint8 [B, S, S, 3]."""
OUTPUTS = ("logits", "va", "au")
"""Names of the outputs, in their order: float32 [B, K], [B, 2] and [B, 12]; not every model has all."""
C = TypeVar("C", bound=Frozen)


def outputs_of(card: DeploymentCard) -> tuple[str, ...]:
    """Return the names of the outputs of a model."""
    there = {"logits": True, "va": card.has_va, "au": card.has_au}
    return tuple(name for name in OUTPUTS if there[name])


def embed(model: Any, card: DeploymentCard, described: ModelCard) -> None:
    """Write the cards into a model, instead of all metadata that it had.

    Args:
        model: An `onnx.ModelProto` with its weights inside.
        card: What predicting needs.
        described: The model card.
    """
    size = card.recipe.size
    meaning: dict[str, Any] = {
        "logits": list(card.classes),
        "va": ["valence in [-1, 1]", "arousal in [-1, 1]"],
        "au": [f"logit of AU {number}" for number in ACTION_UNITS],
    }
    values = {
        "format": FORMAT,
        "card": card.model_dump_json(),
        "model_card": described.model_dump_json(),
        "input": json.dumps(
            {
                "name": INPUT,
                "type": "uint8",
                "shape": ["batch", size, size, 3],
                "layout": "NHWC",
                "colour": "RGB, 0 to 255; normalisation is inside the network",
                "crop": card.recipe.text,
            }
        ),
        "outputs": json.dumps({name: meaning[name] for name in outputs_of(card)}),
        "taxonomy": json.dumps({"emotions": [e.value for e in Emotion], "action_units": ACTION_UNITS}),
    }
    del model.metadata_props[:]
    for name, value in values.items():
        model.metadata_props.add(key=PREFIX + name, value=value)
    digest = _digest(model)
    model.metadata_props.add(key=f"{PREFIX}digest", value=digest)


def read_cards(model: Any, file: Path) -> tuple[DeploymentCard, ModelCard]:
    """Return the cards of an exported model, after checking that nothing was changed since the export.

    Args:
        model: An `onnx.ModelProto`.
        file: Its file, for messages.

    Raises:
        UsageError: The file is not an export of this package.
        DataError: It was changed or damaged, or is of a newer version.
    """
    found = {entry.key: entry.value for entry in model.metadata_props if entry.key.startswith(PREFIX)}
    if not found:
        raise UsageError(
            "this ONNX file is not an export of this suite, so it does not say how faces are cropped "
            "and what its outputs mean",
            file=file,
            hint="to test somebody else's model, describe it in a card: fer-bench evaluate FILE --card CARD "
            "--dataset DATASET; how to write one: fer-bench docs outside-models",
        )
    written = found.get(f"{PREFIX}format")
    if written != FORMAT:
        raise DataError(
            f"the file is of another version; this one reads format {FORMAT}",
            file=file,
            value=written,
            hint="install the version that wrote it, or export it anew",
        )
    if found.get(f"{PREFIX}digest") != _digest(model):
        raise DataError(
            "the file was changed after its export, or is damaged",
            file=file,
            hint="export it anew: fer-bench export CHECKPOINT --to onnx",
        )
    return _parsed(found, "card", DeploymentCard, file), _parsed(found, "model_card", ModelCard, file)


def _parsed(found: dict[str, str], name: str, kind: type[C], file: Path) -> C:
    try:
        return kind.model_validate_json(found.get(PREFIX + name, ""))
    except ValidationError as error:
        raise DataError(
            f"the card in the file is of another version: {error.errors()[0]['msg']}",
            file=file,
            value=name,
            hint="install the version that wrote it, or export it anew",
        ) from None


def _digest(model: Any) -> str:
    """Return the SHA-256 of the network and the metadata, without the digest itself."""
    digest = hashlib.sha256(model.graph.SerializeToString(deterministic=True))
    for entry in sorted(model.opset_import, key=lambda entry: str(entry.domain)):
        digest.update(f"\x1e{entry.domain}\x1f{entry.version}".encode())
    for function in model.functions:
        digest.update(function.SerializeToString(deterministic=True))
    for entry in sorted(model.metadata_props, key=lambda entry: str(entry.key)):
        if entry.key != f"{PREFIX}digest":
            digest.update(f"\x1e{entry.key}\x1f{entry.value}".encode())
    return digest.hexdigest()
