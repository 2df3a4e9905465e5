"""Write a calibration into a copy of a checkpoint or an export; predicting with it applies it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_bench.errors import UsageError
from fer_bench.evaluation.recalibration import Calibrator
from fer_bench.files import write_atomic
from fer_bench.inference.card import DeploymentCard


def added(card: DeploymentCard, calibrator: Calibrator) -> DeploymentCard:
    """Return the card of a model with a calibration on top of the one that it has.

    Args:
        card: The card.
        calibrator: Fitted to the logarithms of what the card's probabilities are.
    """
    before = np.array(card.offsets or (0.0,) * len(card.classes))
    offsets = before / calibrator.temperature + np.array(calibrator.offsets)
    return card.model_copy(
        update={
            "temperature": card.temperature * calibrator.temperature,
            "offsets": tuple(map(float, offsets)) if offsets.any() else (),
        }
    )


def write_calibrated(source: Path, out: Path, card: DeploymentCard) -> None:
    """Copy a checkpoint or an export with another calibration in its card.

    Args:
        source: The file.
        out: The copy; with the same ending.
        card: See `added`.

    Raises:
        UsageError: The copy has another ending, would replace the file, or the checkpoint does not say what
            it was trained on.
        StoreError: The file cannot be read or written.
    """
    if out.suffix != source.suffix:
        raise UsageError(
            "a calibrated copy keeps the ending of the original", value=str(out), hint=source.suffix
        )
    if out.absolute() == source.absolute():
        raise UsageError("the calibrated copy would replace the file", value=str(out), hint="another name")
    if source.suffix == ".onnx":
        _write_export(source, out, card)
    else:
        _write_checkpoint(source, out, card)


def _write_export(source: Path, out: Path, card: DeploymentCard) -> None:
    from fer_bench.inference.embedded import embed, read_cards
    from fer_bench.models.onnx_session import read_onnx

    model = read_onnx(source).model
    _, described = read_cards(model, source)
    embed(model, card, described)
    content = model.SerializeToString(deterministic=True)
    write_atomic(out, lambda place: place.write_bytes(content))


def _write_checkpoint(source: Path, out: Path, card: DeploymentCard) -> None:
    from fer_bench.runs.facts import find_facts
    from fer_bench.runs.training.checkpoints import attach_facts, load_weights, save_weights

    facts = find_facts(source, card.weights)
    if facts is None:
        raise UsageError(
            "the checkpoint was imported and does not say what it was trained on, so no copy is calibrated",
            file=source,
            hint="export it, and calibrate the export: fer-bench export CHECKPOINT --to onnx",
        )
    save_weights(load_weights(source), out)  # whole, without a store beside it
    calibrated = facts.model_copy(update={"temperature": card.temperature, "offsets": card.offsets})
    attach_facts(out, calibrated.plain())
