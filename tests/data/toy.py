"""A made-up laboratory dataset: sequences with a neutral first frame, on disk as small pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fer_bench.data.card import Card, Folds, NativeClass, Official, Protocol, TreeEntry
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.emotions import LABEL_SETS, Emotion

NAMES = [emotion.value for emotion in LABEL_SETS["6"]]

CARD = Card(
    name="toy",
    title="Toy",
    setting="lab",
    citation="nobody",
    licence="free",
    obtain="make it",
    classes=tuple(NativeClass(name, name, Emotion(name)) for name in NAMES),
    tree=(
        TreeEntry("pictures/<id>.png", "a face"),
        TreeEntry("notes.txt", "", required=False),
    ),
    protocols=(
        Protocol(name="6-folds", label_set=LABEL_SETS["6"], split=Folds(k=4)),
        Protocol(name="7-folds", label_set=LABEL_SETS["7"], split=Folds(k=4)),
        Protocol(name="6-official", label_set=LABEL_SETS["6"], split=Official()),
    ),
    default_protocol="6-folds",
    quick_protocol="6-folds",
    unit="subject",
    has_reference=True,
    as_target="all",
)


class Toy(FaceDataset):
    """Rows are given by the test, pictures lie in `pictures`."""

    card = CARD
    given: list[dict[str, Any]]

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        return folder if (folder / "pictures").is_dir() else None

    def rows(self) -> Iterable[Mapping[str, Any]]:
        return self.given


def toy_rows(subjects: int, sequences: int = 6) -> list[dict[str, Any]]:
    """Return rows of `sequences` sequences per subject: a neutral frame and two of the expression."""
    found = []
    for subject in range(subjects):
        for number in range(sequences):
            name = NAMES[number % 6]
            sequence = f"S{subject:02d}/{number}"
            for frame in range(3):
                sample = f"{sequence}/{frame}"
                found.append(
                    {
                        "sample_id": sample,
                        "path": f"pictures/{sample.replace('/', '-')}.png",
                        "native_label": None if frame == 0 else name,
                        "label": "neutral" if frame == 0 else name,
                        "subject": f"S{subject:02d}",
                        "group": f"S{subject:02d}",
                        "sequence": sequence,
                        "is_neutral_frame": frame == 0,
                        "reference_id": f"{sequence}/0",
                        "split": "test" if subject == 0 else "train",
                    }
                )
    return found


def running_trainer(**attributes: Any) -> Any:
    """Return a stand-in for a Trainer in the middle of a run."""
    return SimpleNamespace(state=SimpleNamespace(status="running"), **attributes)
