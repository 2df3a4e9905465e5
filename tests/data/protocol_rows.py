"""Cards and rows for the tests of protocols."""

from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from fer_bench.data.card import Card, Folds, NativeClass, Protocol
from fer_bench.data.protocols import (
    assign_roles,
)
from fer_bench.emotions import LABEL_SETS, Emotion

SIX = [emotion.value for emotion in LABEL_SETS["6"]]
IDS = st.sets(st.text("SP0123456789", min_size=1, max_size=4), min_size=4, max_size=25)
FAST = settings(max_examples=30, deadline=None)


def card(split: Any = None, **changes: Any) -> Card:
    base = Protocol(name="main", label_set=LABEL_SETS["6"], split=split or Folds(k=4))
    fields = {
        "name": "toy",
        "title": "Toy",
        "setting": "wild",
        "citation": "",
        "licence": "",
        "obtain": "",
        "classes": tuple(NativeClass(e.value, e.value, e) for e in Emotion),
        "tree": (),
        "protocols": (base,),
        "default_protocol": "main",
        "quick_protocol": "main",
        "unit": "image",
    }
    return Card.model_validate({**fields, **changes})


def lab(subjects: Any, *, variant: str = "", label: str | None = None, tag: str = "") -> list[dict[str, Any]]:
    """Two frames of all six expressions per subject, and a first frame; unlabelled when `label` is ''."""
    rows = []
    for subject in subjects:
        for name in SIX:
            for frame in range(3):
                meant = "neutral" if frame == 0 else name if label is None else label or None
                rows.append(
                    {
                        "sample_id": f"{tag}{subject}/{variant}/{name}/{frame}",
                        "path": "x.png",
                        "subject": subject,
                        "group": subject,
                        "variant": variant,
                        "label": meant,
                        "native_label": None if frame == 0 else meant,
                        "is_neutral_frame": frame == 0,
                    }
                )
    return rows


def wild(counts: dict[str, int], split: str = "none", tag: str = "") -> list[dict[str, Any]]:
    return [
        {
            "sample_id": f"{tag}{split}/{name}/{i:05d}",
            "path": "x.png",
            "label": name,
            "native_label": name,
            "split": split,
        }
        for name, n in counts.items()
        for i in range(n)
    ]


def roles_by_id(index: pd.DataFrame, card: Card, fold: int = 1) -> dict[str, str]:
    return dict(
        zip(index["sample_id"], assign_roles(index, card, card.protocols[0], fold).tolist(), strict=True)
    )
