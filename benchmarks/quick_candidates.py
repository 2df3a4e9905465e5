"""The tuning budget of the quick profile: what every method may try, and on what it is judged."""

from __future__ import annotations

from dataclasses import dataclass

EPOCHS, ROWS, BATCH = 24, 400, 32
"""What every run of every method has: epochs, rows per epoch at most, and rows per step where not varied."""
DATASETS = ("oulu", "rafdb")
"""A dataset from a laboratory and one from the web."""
SEEDS = (0, 1)
POPULATION = "development"
RATES = {"cafe": 6e-3, "erm": 3e-3, "gcn": 5e-3, "resemotenet": 3e-3, "ssmfar": 3e-3}
"""Learning rate from which each method starts."""
OWN: dict[str, tuple[str, str, str]] = {
    "cafe": ("shifted crops", "train.augmentation.crop_pad=0", "train.augmentation.crop_pad=4"),
    "erm": ("averaged weights", "method.ema=0", "method.ema=0.99"),
    "gcn": ("absolute distance", "method.distance=signed", "method.distance=absolute"),
    "resemotenet": ("dropout 0.2 in the head", "method.head_dropout=0", "method.head_dropout=0.2"),
    "ssmfar": ("dropout 0.1", "method.dropout=0", "method.dropout=0.1"),
}
"""The one change of each method that is its own: its name, the setting without it, and with it."""


@dataclass(frozen=True)
class Candidate:
    """Settings that are tried.

    Attributes:
        name: What differs from the reference.
        settings: Overrides of the profile; they name everything that any candidate varies.
    """

    name: str
    settings: tuple[str, ...]


def candidates(method: str) -> tuple[Candidate, ...]:
    """Return what is tried for a method, the reference first: as many for every method."""
    rate = RATES[method]
    own, off, on = OWN[method]
    return (
        _candidate("reference", rate, off),
        _candidate("a third of the rate", rate / 3, off),
        _candidate("twice the rate", 2 * rate, off),
        _candidate("half the batch", rate, off, batch=BATCH // 2),
        _candidate(own, rate, on),
    )


def _candidate(name: str, rate: float, own: str, batch: int = BATCH) -> Candidate:
    train = (f"train.max_epochs={EPOCHS}", f"train.epoch_rows={ROWS}", f"train.batch_size={batch}")
    return Candidate(name, (*train, f"method.lr={rate:.3g}", own))
