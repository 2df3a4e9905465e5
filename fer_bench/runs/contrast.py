"""Compare two records: every field, or in short what decides a run and what it scored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fer_bench.datasets import members_of
from fer_bench.results.record import Record

IDENTITY = ("method", "dataset", "protocol", "fold", "seed", "profile", "data_kind", "status")
"""Fields of a record that name a run, and how it ended."""
OF_KEY = ("method_code", "training_code", "weights", "init", "soft_labels", "world_size", "crops")
"""Fields of a run key that no other field of the record says."""
OF_DATA = ("card", "fingerprint", "pixels", "crop", "protocol", "union")
"""Those that differ whenever the dataset or protocol does."""
ALSO = ("settings", "excluded", "class_map", "missing", "error.kind", "error.message")
IMPLIED = ("key", "key_fields", "varied", "scores")
"""What differs as a consequence, or is shown in another way."""


def differences(one: Any, other: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Return every field in which two JSON documents differ, by its dotted name; absent ones are None.

    Args:
        one: A document.
        other: Another.
        name: Prefix of the names.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in dict.fromkeys((*one, *other)):
            found |= differences(one.get(key), other.get(key), f"{name}.{key}" if name else str(key))
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = {}
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            found |= differences(a, b, f"{name}[{at}]")
        return found
    return {} if one == other else {name: (one, other)}


def shorten(one: Record, other: Record) -> tuple[dict[str, tuple[Any, Any]], dict[str, int]]:
    """Return in short what two runs differ in, and how many other fields differ.

    Args:
        one: A record.
        other: Another.

    Returns:
        Name -> the two values: settings, data, code, ending and the UAR per target; and the number of other
        fields that differ, by the part of the record.
    """
    whole = differences(one.model_dump(mode="json"), other.model_dump(mode="json"))
    same_data = (one.dataset, one.protocol) == (other.dataset, other.protocol)
    of_key = OF_KEY + (OF_DATA if same_data else ())
    wanted = (*IDENTITY, *ALSO, *(f"key_fields.{name}" for name in of_key))
    shown: dict[str, tuple[Any, Any]] = {}
    left: Counter[str] = Counter()
    for name, values in whole.items():
        if one.method != other.method and _of_one_method(name, values):
            continue
        if _within(name, IMPLIED) and not _within(name, wanted):
            continue
        if _within(name, wanted):
            shown[name.removeprefix("key_fields.").removeprefix("settings.")] = values
        else:
            left[re.split(r"[.\[]", name)[0]] += 1
    first, second = _uars(one), _uars(other)
    for target in dict.fromkeys((*first, *second)):
        if first.get(target) != second.get(target):
            shown[f"UAR on {target}"] = first.get(target), second.get(target)
    if details := sum(_within(name, ("scores",)) for name in whole):
        left["scores"] = details
    return shown, dict(left)


def _of_one_method(name: str, values: tuple[Any, Any]) -> bool:
    """Return whether only one of two methods has a setting, or whether it is their code."""
    return name == "key_fields.method_code" or (_within(name, ("settings.method",)) and None in values)


def _within(name: str, parts: Sequence[str]) -> bool:
    """Return whether a dotted name is one of some fields, or in one of them."""
    return any(name == part or name.startswith((f"{part}.", f"{part}[")) for part in parts)


def _uars(record: Record) -> dict[str, str]:
    """Return the headline's UAR per target, the source first."""
    own = members_of(record.dataset)
    scores = [score for score in record.scores if score.selection == record.headline]
    scores.sort(key=lambda score: (score.target not in own, score.target))
    return {score.target: f"{100 * score.uar:.1f} %" for score in scores}
