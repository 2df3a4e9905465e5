"""Splits as files: the role of every row, with a hash that is the same on every machine."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass

import pandas as pd

from fer_bench.data.card import Card, Protocol
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.files import short_hash


@dataclass(frozen=True)
class FrozenSplit:
    """The rows of one fold of a protocol.

    Attributes:
        dataset: Name of the dataset.
        protocol: Name of the protocol.
        fold: Fold from 1.
        rows: Columns `sample_id`, `role`, `group`, `label`, sorted by id, without rows that have no role.
    """

    dataset: str
    protocol: str
    fold: int
    rows: pd.DataFrame

    @property
    def csv(self) -> str:
        """Return the rows as CSV text with Unix line ends, a missing label empty."""
        return _as_csv(self.rows)

    @property
    def hash(self) -> str:
        """Return the first 16 hex digits of the SHA-256 of the CSV text of the labelled rows.

        Rows with affect or action units only are left out: some of them come from optional archives. Without
        such rows it is what `sha256sum` prints for the file, else for its lines that do not end in a comma.
        """
        return hashlib.sha256(_as_csv(self._labelled).encode()).hexdigest()[:16]

    @property
    def counts(self) -> dict[str, int]:
        """Return rows of the label set per role."""
        return {role: int((self._labelled["role"] == role).sum()) for role in ("train", "val", "test")}

    @property
    def unlabelled(self) -> int:
        """Return how many rows have affect or action units and no label."""
        return len(self.rows) - len(self._labelled)

    @property
    def _labelled(self) -> pd.DataFrame:
        return self.rows[self.rows["label"].notna()]


def freeze(dataset: FaceDataset, protocol: str | None = None, fold: int = 1) -> FrozenSplit:
    """Return the role of every row; paths, order and machine do not matter.

    Args:
        dataset: The dataset.
        protocol: Protocol name, the default when None.
        fold: Fold from 1.

    Raises:
        UsageError: No such protocol or fold.
        DataError: A role that the protocol needs is empty.
    """
    chosen = find_protocol(dataset.card, protocol)
    index = dataset.index
    rows = index[["sample_id", "group", "label"]].astype(object)
    rows.insert(1, "role", assign_roles(index, dataset.card, chosen, fold))
    rows = rows[rows["role"] != ""].sort_values("sample_id", kind="stable").reset_index(drop=True)
    return FrozenSplit(dataset.card.name, chosen.name, fold, rows)


def _as_csv(rows: pd.DataFrame) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows(rows.fillna("").itertuples(index=False, name=None))
    return stream.getvalue()


def protocol_hash(card: Card, protocol: Protocol) -> str:
    """Return a hash of what decides a protocol's rows: dataset, card version, classes, rule and variants."""
    rule = protocol.model_dump(mode="json", exclude={"note", "aliases"})
    return short_hash([card.name, card.version, rule], 12)
