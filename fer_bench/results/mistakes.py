"""The worst mistakes of a run on drawn faces, one per class with its picture; never any of real people."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fer_bench.errors import StoreError
from fer_bench.files import write_text
from fer_bench.results.store import RunDir
from fer_bench.schema import Frozen


class Mistake(Frozen):
    """The wrong answer that a model was surest of among the rows of a class.

    Attributes:
        sample_id: The row.
        truth: Its class.
        answer: What the model answered.
        probability: The probability that it gave the answer, among the scored classes.
        picture: The crop as a JPEG file, base64.
    """

    sample_id: str
    truth: str
    answer: str
    probability: float
    picture: str


class Mistakes(Frozen):
    """The worst mistakes of one checkpoint on one target.

    Attributes:
        checkpoint: SHA-256 of its weights.
        fingerprint: Hash of the target's index.
        mistakes: At most one per class, in the order of classes.
    """

    checkpoint: str
    fingerprint: str
    mistakes: tuple[Mistake, ...]


def mistakes_file(run: RunDir, target: str) -> Path:
    """Return the path of a run's worst mistakes on a target."""
    return run.path / "mistakes" / f"{target}.json"


def write_mistakes(file: Path, found: Mistakes) -> None:
    """Write the worst mistakes; the same ones give the same bytes."""
    write_text(file, found.model_dump_json(indent=1) + "\n")


def read_mistakes(file: Path) -> Mistakes | None:
    """Return stored mistakes, None where there are none.

    Raises:
        StoreError: The file is damaged.
    """
    try:
        return Mistakes.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StoreError(f"the stored mistakes are not readable: {error}", file=file) from None
