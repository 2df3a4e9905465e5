"""Checking a dataset on disk: everything that is wrong with it in one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from fer_bench.data.align import LARGEST
from fer_bench.data.card import Card, ExpectedCount, Folds
from fer_bench.data.dataset import FaceDataset, Image
from fer_bench.data.protocols import assign_roles, deal_folds, find_protocol
from fer_bench.errors import DataError, FerBenchError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing.

    Attributes:
        severity: `error` makes runs fail or numbers wrong, `warning` may, `note` is for information.
        message: What it is.
        rows: Rows affected.
        share: The same as a share of all rows.
    """

    severity: Severity
    message: str
    rows: int = 0
    share: float = 0.0


@dataclass
class Report:
    """What a check of one dataset found.

    Attributes:
        dataset: Its name.
        rows: Usable rows.
        findings: In the order they were met.
        unreadable: Paths that cannot be decoded, relative to the dataset's base folder.
    """

    dataset: str
    rows: int = 0
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, severity: Severity, message: str, rows: int = 0) -> None:
        """Add a finding."""
        self.findings.append(Finding(severity, message, rows, rows / self.rows if self.rows else 0.0))

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return any(f.severity == "error" for f in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def verify(
    open_dataset: Callable[[], FaceDataset],
    name: str,
    *,
    is_real: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check layout, labels, counts, protocol and pictures of a dataset.

    Args:
        open_dataset: Finds and opens the dataset; its errors become findings.
        name: Dataset name.
        is_real: Whether to compare with the published counts.
        progress: Called with files checked and files in all.
    """
    report = Report(name)
    try:
        dataset = open_dataset()
        index = dataset.index
    except FerBenchError as error:
        report.add("error", str(error))
        return report
    report.rows = len(index)
    for note in dataset.notes:
        report.add("note", note)
    if is_real:
        variants = find_protocol(dataset.card, None).variants
        _counts(report, dataset.card, index[index["variant"].isin(list(variants))] if variants else index)
    _protocol(report, dataset.card, index)
    _pictures(report, dataset, progress)
    return report


def _counts(report: Report, card: Card, index: pd.DataFrame) -> None:
    for expected in card.counts:
        found = count(index, expected)
        if found is not None and found != expected.n:
            where = "" if expected.split == "none" else f" in {expected.split}"
            what = f"class {expected.code}" if expected.code is not None else "all classes"
            report.add(
                "warning",
                f"{found} {expected.unit} of {what}{where}, where {expected.n} are published "
                f"({expected.source})",
                abs(found - expected.n),
            )
    split = find_protocol(card, None).split
    if card.fold_sizes and isinstance(split, Folds):
        coded = index["label"].notna() & ~index["is_neutral_frame"]
        try:
            fold_of = deal_folds(index["subject"][coded].tolist(), split)
        except DataError:
            return
        sequences = index[coded].drop_duplicates("sequence")
        sizes = sequences["subject"].map(fold_of).value_counts().sort_index().tolist()
        if tuple(sizes) != card.fold_sizes:
            report.add(
                "warning", f"sequences per fold are {sizes}, where {list(card.fold_sizes)} are published"
            )


def count(index: pd.DataFrame, expected: ExpectedCount) -> int | None:
    """Return the count in an index that an expected count speaks of, None when the index cannot tell.

    Without a class, pictures count with any annotation, sequences and subjects with an expression only.
    """
    rows = index if expected.split == "none" else index[index["split"] == expected.split]
    rows = rows[~rows["is_neutral_frame"]]
    if expected.code is not None:
        rows = rows[rows["native_label"] == expected.code]
    if expected.unit in ("images", "faces", "rows"):
        return len(rows)
    rows = rows[rows["native_label"].notna()]
    column = {"sequences": "sequence", "clips": "sequence", "subjects": "subject", "videos": "sequence"}[
        expected.unit
    ]
    return int(rows[column].nunique()) if rows[column].notna().any() else None


def _protocol(report: Report, card: Card, index: pd.DataFrame) -> None:
    protocol = find_protocol(card, None)
    try:
        roles = assign_roles(index, card, protocol)
    except FerBenchError as error:
        only_tests = index["split"].isin(["val", "test"]).all()  # such data are a target and train nothing
        severity: Severity = "warning" if only_tests else "error"
        report.add(severity, f"the default protocol {protocol.name} cannot be used: {error}")
        return
    labels = index["label"].to_numpy(object)
    for emotion in protocol.label_set:
        for role in ("train", "test"):
            if isinstance(protocol.split, Folds) and role == "test":
                continue
            if not ((roles == role) & (labels == emotion.value)).any():
                report.add("warning", f"no row of {emotion.value} to {role} under {protocol.name}")
    groups = pd.DataFrame({"group": index["group"], "role": roles})[roles != ""]
    crossing = groups.drop_duplicates().groupby("group").size()
    if (crossing > 1).any():
        report.add("error", f"{int((crossing > 1).sum())} group(s) stand on both sides of the split")


def _lies_outside(image: Image, box: Any, points: Any) -> bool:
    """Return whether a box misses its picture or dwarfs it, or a landmark is its size away from it."""
    size = np.array([image.shape[1], image.shape[0]])
    if box is not None:
        low, high = np.array(box[:2]), np.array(box[2:])
        if (high <= 0).any() or (low >= size).any() or (high - low > LARGEST * size.max()).any():
            return True
    return points is not None and bool(((points < -size) | (points > 2 * size)).any())


def _pictures(report: Report, dataset: FaceDataset, progress: Callable[[int, int], None] | None) -> None:
    index = dataset.index
    by_file = index.groupby("path", sort=True).indices
    frames = index["frame"].to_numpy()
    boxes, landmarks = index["box"].to_list(), index["landmarks"].to_list()
    problems: list[str] = []
    broken_rows = constant = outside = 0
    for number, (path, rows) in enumerate(by_file.items(), start=1):
        try:
            images = dataset.load(str(path), [int(frames[row]) for row in rows])
        except FerBenchError as error:
            report.unreadable.append(str(path))
            problems.append(str(error))
            broken_rows += len(rows)
            continue
        for row, image in zip(rows, images, strict=True):
            constant += int(bool((image == image[0, 0]).all()))
            outside += int(_lies_outside(image, boxes[row], landmarks[row]))
        if progress is not None:
            progress(number, len(by_file))
    for problem in problems[:10]:
        report.add("error", problem)
    if broken_rows:
        report.add("error", f"{len(problems)} file(s) cannot be decoded", broken_rows)
    if constant:
        report.add("warning", f"{constant} picture(s) have one colour only", constant)
    if outside:
        report.add("warning", f"{outside} box(es) or landmark set(s) lie outside the picture", outside)
