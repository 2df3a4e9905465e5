"""Find copies in a dataset: pictures that occur twice, above all on both sides of a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.audit.lookalikes import DISTANCE, near_pairs
from fer_bench.data.audit.report import Report
from fer_bench.data.audit.scan import FINE
from fer_bench.data.card import Folds
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import FerBenchError

CONTAMINATED = 0.01
"""Share of test rows with a pixel copy in training from which a dataset is contaminated, unless its card has
a protocol without them: official releases have a few, repackaged copies many."""


MOST_ALIKE = 0.5
"""Share of rows with a near copy in another part above which the parts measure nothing: an error."""


def find_copies(report: Report, dataset: FaceDataset, seen: NDArray[np.void]) -> None:
    """Add to a report which faces occur twice, exactly or nearly.

    Frames of one sequence are naturally alike and never compared.

    Args:
        report: Gets the findings.
        dataset: The dataset.
        seen: Results of the scan, dtype `SEEN` [N].
    """
    index = dataset.index
    sides, by_person = _sides(dataset)
    usable = np.flatnonzero((seen["state"] == FINE) & ~seen["constant"])
    sequence = _codes(index["sequence"].where(index["sequence"].notna(), None))
    family = np.where(sequence < 0, len(index) + np.arange(len(index)), sequence)
    labels = _codes(index["label"].fillna(""))
    prints = seen["print"]

    again = usable[pd.Series(prints["pixels"][usable]).duplicated(keep=False).to_numpy()]
    table = pd.DataFrame(
        {
            "row": again,
            "hash": prints["pixels"][again],
            "family": family[again],
            "side": sides[again],
            "label": labels[again],
        }
    )
    table = table[table.groupby("hash")["family"].transform("nunique") > 1]
    crossing = table[table["side"] > 0].groupby("hash")["side"].nunique() > 1
    is_across = table["hash"].isin(crossing.index[crossing]).to_numpy()
    across, inside = table[is_across], table[~is_across]
    known = next((p.name for p in dataset.card.protocols if "dedup" in p.name), None)
    if len(across):
        _exact_across(report, dataset, across, sides, by_person=by_person, known=known)
    if len(inside):
        report.add(
            "warning",
            f"{len(inside)} picture(s) are pixel by pixel the same as another on the same side of the split"
            f"{_example(index, inside)}",
            len(inside),
            kind="duplicate",
            advice="they count twice; nothing leaks",
            names=names_of(index, inside["row"]),
        )
    conflicting = table[table.groupby("hash")["label"].transform("nunique") > 1]
    if len(conflicting):
        report.add(
            "warning",
            f"{len(conflicting)} identical picture(s) have different labels{_example(index, conflicting)}",
            len(conflicting),
            kind="conflict",
            advice="at least one label of each pair is wrong; no model can get both right",
            names=names_of(index, conflicting["row"]),
        )
    _near(report, index, prints, usable, sides, family, by_person=by_person)


def names_of(index: pd.DataFrame, rows: Any) -> list[str]:
    """Return the names of rows: their paths, or their ids where files hold several rows.

    Args:
        index: The dataset's index.
        rows: Positions of the rows.
    """
    column = "path" if index["path"].is_unique else "sample_id"
    return sorted(set(index[column].iloc[np.asarray(rows)]))


def _sides(dataset: FaceDataset) -> tuple[NDArray[np.int64], bool]:
    """Return the side of the split of each row (0 = none), and whether sides are people, not parts.

    Folds test every person in turn, so two people must not share a picture.
    """
    index = dataset.index
    protocol = find_protocol(dataset.card, None)
    if isinstance(protocol.split, Folds):
        return _codes(index["group"]) + 1, True
    try:
        roles = pd.Series(assign_roles(index, dataset.card, protocol))
    except FerBenchError:
        roles = index["split"].replace("none", "")
    return np.asarray(roles.map({"train": 1, "val": 2, "test": 3}).fillna(0), np.int64), False


def _codes(values: Any) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(np.asarray(values))[0], np.int64)


def _exact_across(
    report: Report,
    dataset: FaceDataset,
    across: pd.DataFrame,
    sides: NDArray[np.int64],
    *,
    by_person: bool,
    known: str | None,
) -> None:
    index = dataset.index
    if by_person:
        report.add(
            "error",
            f"{len(across)} picture(s) are pixel by pixel the same for two subjects{_example(index, across)}",
            len(across),
            kind="leak",
            advice="a subject was copied under another name, so folds share pictures; restore the official "
            "files",
            names=names_of(index, across["row"]),
        )
        return
    tested = across[across["side"] == 3]
    copies = across[across["hash"].isin(tested["hash"]) & across["side"].isin([1, 2])]
    report.copies += sorted(index["sample_id"].iloc[copies["row"]])
    share = len(tested) / max(1, int((sides == 3).sum()))
    again = "the official release is not known to have them: get it again; or " if report.is_official else ""
    is_contaminated = share >= CONTAMINATED and known is None
    report.add(
        "error" if is_contaminated else "warning",
        f"{len(across)} picture(s) are pixel by pixel the same on both sides of the split, among them "
        f"{len(tested)} test picture(s), {share:.2%} of them{_example(index, across)}",
        len(across),
        kind="leak",
        advice=f"report --protocol {known} next to the official one"
        if known is not None
        else f"{again}leave the copies out of training: --write-exclude FILE --with-copies, then "
        "--exclude FILE when running",
        names=names_of(index, across["row"]),
    )


def _near(
    report: Report,
    index: pd.DataFrame,
    prints: NDArray[np.void],
    usable: NDArray[np.int64],
    sides: NDArray[np.int64],
    family: NDArray[np.int64],
    *,
    by_person: bool,
) -> None:
    groups = _codes(index["group"])
    pixels = prints["pixels"]

    def differ(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray((family[a] != family[b]) & (groups[a] != groups[b]) & (pixels[a] != pixels[b]))

    inside, across = np.zeros(len(index), bool), np.zeros(len(index), bool)
    example: tuple[int, int] | None = None
    for a, b in near_pairs(prints, usable, differ):
        crosses = (sides[a] != sides[b]) & (sides[a] > 0) & (sides[b] > 0)
        for flags, chosen in ((across, crosses), (inside, ~crosses)):
            flags[a[chosen]] = flags[b[chosen]] = True
        if crosses.any() and example is None:
            at = int(np.flatnonzero(crosses)[0])
            example = int(a[at]), int(b[at])
    how = (
        f"(difference hash within {DISTANCE} of 64 bits, thumbnails alike; scaled, recompressed or mirrored)"
    )
    if across.any() and example is not None:
        paths = " and ".join(names_of(index, example))
        between = "for two subjects" if by_person else "on both sides of the split"
        most = across.sum() > MOST_ALIKE * (sides[usable] > 0).sum()
        report.add(
            "error" if most else "warning",
            f"{int(across.sum())} picture(s) are nearly the same {between} {how}, first {paths}",
            int(across.sum()),
            kind="near-leak",
            advice="the parts hold the same faces, such as frames of one recording or augmented copies, so "
            "scores say nothing about other people; split by person"
            + ("" if report.is_official else ", for example as <class>/<person>/<name>")
            if most
            else "look at some of them: augmented copies of test pictures inflate scores",
            names=names_of(index, np.flatnonzero(across)),
        )
    inside &= ~across
    if inside.any():
        report.add(
            "note",
            f"{int(inside.sum())} picture(s) are nearly the same as another on the same side {how}",
            int(inside.sum()),
            kind="near-duplicate",
            advice="they count twice; many of them are a sign of pre-augmented training pictures",
            names=names_of(index, np.flatnonzero(inside)),
        )


def _example(index: pd.DataFrame, rows: pd.DataFrame) -> str:
    first = rows[rows["hash"] == rows["hash"].iloc[0]].drop_duplicates(["family", "side"])["row"].iloc[:2]
    return f", first {' and '.join(names_of(index, first))}"
