"""Compare the number of rows, sequences and subjects with the published numbers of a card."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fer_bench.data.audit.report import Report
from fer_bench.data.card import Card, ExpectedCount, Folds
from fer_bench.data.protocols import deal_folds, find_protocol
from fer_bench.errors import DataError

ENLARGED = 0.01
"""Share of the published number beyond which more pictures are an error; a release's lists differ by less."""


def compare_counts(report: Report, card: Card, index: pd.DataFrame, layout: str) -> None:
    """Compare with the published counts of the layout read; at most one finding per split and unit."""
    published = [each for each in card.counts if each.layout in ("", layout)]
    for split, unit in dict.fromkeys((each.split, each.unit) for each in published):
        group = [each for each in published if (each.split, each.unit) == (split, unit)]
        _compare(report, card, index, group)


def compare_folds(report: Report, card: Card, index: pd.DataFrame) -> None:
    """Compare the sizes of the default protocol's folds with the published ones."""
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
                "warning",
                f"sequences per fold are {sizes}, where {list(card.fold_sizes)} are published",
                kind="counts",
                advice="subjects or sequences are missing or added: the folds differ from those of the "
                "papers",
            )


def _compare(report: Report, card: Card, index: pd.DataFrame, group: Sequence[ExpectedCount]) -> None:
    """Compare the counts of one split and unit; classes that differ are named with the total."""
    total = next((each for each in group if each.code is None), None)
    parts = [each for each in group if each.code is not None]
    found = None if total is None else count(_counted(index, total, parts), total)
    differing = [(each, n) for each in parts if (n := count(index, each)) is not None and n != each.n]
    classes = ", ".join(f"{n} of class {each.code} (published: {each.n})" for each, n in differing)
    where = "" if group[0].split == "none" else f" in {group[0].split}"
    if total is not None and found is not None and found != total.n:
        text = f"{found} {total.unit} of all classes{where}, where {total.n} are published ({total.source})"
        text += f": {classes}" if classes else ""
        rows, of, grown = abs(found - total.n), total.n, found - total.n
    elif differing:
        text = (
            f"the numbers per class{where} differ from those published ({differing[0][0].source}): {classes}"
        )
        more, fewer = (sum(max(0, sign * (n - each.n)) for each, n in differing) for sign in (1, -1))
        rows, of, grown = max(more, fewer), sum(each.n for each in parts), more - fewer
    else:
        return
    describe = f"fer-bench data describe {card.name}"
    if card.setting == "wild" and grown > ENLARGED * of:
        report.add(
            "error",
            f"{text}: this is not an official copy: pictures were added or augmented",
            rows,
            of=of,
            kind="enlarged",
            advice="results on it compare with no others, and augmented test pictures may be trained on; "
            f"get the official files: {describe}",
        )
        return
    advice = "compare with the official archive and unpack it again"
    report.add(
        "warning",
        text,
        rows,
        of=of,
        kind="counts",
        advice=advice if grown < 0 else f"compare with the official files: {describe}",
    )


def _counted(index: pd.DataFrame, total: ExpectedCount, parts: Sequence[ExpectedCount]) -> pd.DataFrame:
    """Return the rows that a total is about: if it is the sum over classes, only rows of these classes.

    AffectNet's csv lists have rows with valence and arousal but no emotion, which its totals leave out;
    Aff-Wild2's totals are of all annotated frames.
    """
    if not parts or sum(each.n for each in parts) != total.n:
        return index
    return index[index["native_label"].isin([each.code for each in parts])]


def count(index: pd.DataFrame, expected: ExpectedCount) -> int | None:
    """Return the number in an index that corresponds to an expected count, None if the index cannot tell.

    Without a class, pictures count with any annotation, sequences and subjects only with an expression.
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
