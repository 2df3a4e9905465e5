"""What a model saw of a target besides the training rows of its source: such scores are not compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fer_bench.datasets import members_of
from fer_bench.evaluation.transfer import never_cross, share_pictures
from fer_bench.results.record import GENERATOR, SAW_GENERATOR, SEEN, START, Record, TrainingData


@dataclass(frozen=True)
class Seen:
    """What a model saw of a target.

    Attributes:
        what: The labels, or only the pictures.
        reason: How that is known, as the end of a sentence.
    """

    what: Literal["labels", "pictures"]
    reason: str


ENROLLED = "it sees a real neutral picture of the person beside each face"


def is_enrolled(record: Record) -> bool:
    """Return whether the model of a run sees a real neutral picture of the person beside each face."""
    return bool(record.settings.get("method", {}).get("reference") == "enrolled")


def seen_before(record: Record, target: str) -> Seen | None:
    """Return what the model of a run saw of a target outside the training rows of its protocol.

    That is: labels or pictures of the target in the pretraining of a part of the network, in the training of
    the checkpoint that the run started from, or in that of an outside model; pictures that the target shares
    with the source; and, on drawn faces, which expressions the generator draws. Drawn faces are not the
    pictures of the dataset that they stand for, so pretraining on photographs does not matter there. What is
    unknown does not count as seen.

    Args:
        record: The run.
        target: Dataset tested on; of a union, every member counts.

    Returns:
        None where nothing is known to have been seen. Who sees a real neutral picture of the person beside
        each face is asked something easier than the others, and is apart for that.
    """
    if is_enrolled(record):
        return Seen("pictures", ENROLLED)
    found = [seen for name in members_of(target) if (seen := _seen_of(record, name)) is not None]
    return min(found, key=lambda seen: seen.what, default=None)  # labels before pictures


def _seen_of(record: Record, target: str) -> Seen | None:
    parts = {f"its {name}": data for name, data in record.pretrained.items()}
    if record.training_data is not None:
        parts["it"] = record.training_data
    if record.data_kind == "synthetic":
        for who, data in parts.items():
            if data.of(GENERATOR) in SEEN:
                return Seen("labels", f"{who} saw this generator's expression labels")
        if START in record.pretrained:  # it was trained on faces of the same kind, or names no dataset
            seen = _in_training(f"its {START}", record.pretrained[START], target)
            if seen is not None:
                return seen
        if any(text.startswith(SAW_GENERATOR) for text in record.warnings):
            return Seen("labels", "its backbone saw this generator's expression labels")
    else:
        found = [seen for who, data in parts.items() if (seen := _in_training(who, data, target))]
        if found:
            return min(found, key=lambda seen: seen.what)
    shared = _sharing(members_of(record.dataset), target)
    return Seen("pictures", f"{target} holds pictures of {shared}, which was trained on") if shared else None


def _in_training(who: str, data: TrainingData, target: str) -> Seen | None:
    exposure = data.of(target)
    if exposure == "in training":
        return Seen("labels", f"{who} was trained on {target}")
    if exposure == "seen the pictures":
        return Seen("pictures", f"{who} saw pictures of {target}")
    if exposure == "unseen":
        return None
    shared = _sharing((name for name in data.exposure if data.of(name) in SEEN), target)
    if shared is None:
        return None
    return Seen("pictures", f"{who} was trained on {shared}, which {target} holds pictures of")


def _sharing(names: Iterable[str], target: str) -> str | None:
    """Return the first of some other datasets that a target shares pictures with."""
    excluded = never_cross((target,))
    return next((name for name in names if share_pictures(name, target, excluded)), None)
