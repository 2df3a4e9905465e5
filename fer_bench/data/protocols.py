"""Roles of rows under a protocol, and which rows are tested.

The seed of a split depends only on the dataset, so that every method and repetition sees the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.card import Card, Folds, HashSplit, Official, Protocol, Stratified
from fer_bench.data.index import stack_au
from fer_bench.emotions import NEVER_TRANSFERRED, Emotion
from fer_bench.errors import DataError, UsageError, nearest

ROLES: tuple[str, ...] = ("train", "val", "test")
QUICK = "-quick"
"""Suffix of the protocols of a union under which its members have the protocols of the `quick` profile."""


def find_protocol(card: Card, name: str | None, *, quick: bool = False) -> Protocol:
    """Return a protocol of a card by name; `dataset/name` is also accepted.

    Args:
        card: The dataset's card.
        name: Protocol name, or None for the default.
        quick: Without a name, take the protocol of the `quick` profile.

    Raises:
        UsageError: No such protocol.
    """
    wanted = name or (card.quick_protocol if quick else card.default_protocol)
    wanted = wanted.removeprefix(f"{card.name}/")
    known = {name: p for p in card.protocols for name in (p.name, *p.aliases)}
    if wanted not in known:
        raise UsageError(f"unknown protocol of {card.name}", value=wanted, hint=nearest(wanted, known))
    return known[wanted]


def folds_of(protocol: Protocol) -> tuple[int, ...]:
    """Return the fold numbers of a protocol, from 1; protocols without folds have the fold 1."""
    return tuple(range(1, protocol.split.k + 1)) if isinstance(protocol.split, Folds) else (1,)


def deal_folds(subjects: Iterable[str], rule: Folds, dataset: str = "NAME") -> dict[str, int]:
    """Return the fold (from 1) of each subject.

    Args:
        subjects: Ids of the subjects that have a label; order and repetition do not matter.
        rule: Number of folds and how sorted subjects are assigned to them.
        dataset: Name for the message.

    Raises:
        DataError: Fewer subjects than folds.
    """
    ordered = sorted(set(subjects))
    if len(ordered) < rule.k:
        raise DataError(
            f"{rule.k} folds need at least {rule.k} labelled subjects",
            value=len(ordered),
            hint=f"the dataset may be incomplete: fer-bench data verify --dataset {dataset}; or choose a "
            f"protocol with fewer folds: fer-bench data describe {dataset}",
        )
    if rule.rule == "interleaved":
        return {subject: position % rule.k + 1 for position, subject in enumerate(ordered)}
    cuts = np.array_split(np.arange(len(ordered)), rule.k)
    return {ordered[i]: fold for fold, block in enumerate(cuts, start=1) for i in block}


def unit_interval(keys: Sequence[str], salt: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) per key that depends only on the key and the salt (SHA-256)."""
    digests = (hashlib.sha256(f"{salt}\x1f{key}".encode()).digest()[:8] for key in keys)
    return np.fromiter((int.from_bytes(d, "big") / 2**64 for d in digests), np.float64, len(keys))


def in_label_set(index: pd.DataFrame, protocol: Protocol) -> NDArray[np.bool_]:
    """Return which rows have a label of the protocol's set and belong to its variants.

    The neutral first frame of a sequence belongs to the set only with the sequence's expression.
    """
    keep = index["label"].isin([e.value for e in protocol.label_set]).to_numpy()
    others = [e.value for e in NEVER_TRANSFERRED if e not in protocol.label_set]
    return keep & _of_variants(index, protocol) & ~_neutral_of(index, others)


def _neutral_of(index: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows are the neutral first frame of a sequence that has one of the labels."""
    sequences = index["sequence"][index["label"].isin(labels)].dropna().unique().tolist()
    lone = index["is_neutral_frame"] & index["sequence"].isin(sequences)
    return np.asarray(lone.to_numpy(), bool)


def _of_variants(index: pd.DataFrame, protocol: Protocol) -> NDArray[np.bool_]:
    if not protocol.variants:
        return np.ones(len(index), bool)
    return index["variant"].isin(list(protocol.variants)).to_numpy()


def assign_roles(index: pd.DataFrame, card: Card, protocol: Protocol, fold: int = 1) -> NDArray[np.str_]:
    """Return the role of every row: `train`, `val`, `test` or the empty string.

    Rows of the protocol's variants without a label but with valence, arousal or action units have the role of
    their group, so that multi-task and semi-supervised methods can use them.

    Args:
        index: The dataset's index.
        card: Its card; the split seed is the dataset's name.
        protocol: Label set and split rule.
        fold: Fold number from 1.

    Returns:
        Array of roles [N], aligned with the index.

    Raises:
        UsageError: The fold does not exist.
        DataError: A role that the protocol needs is empty.
    """
    if fold not in folds_of(protocol):
        raise UsageError(
            f"no such fold of {card.name}/{protocol.name}", value=fold, hint=f"1 to {len(folds_of(protocol))}"
        )
    labelled = in_label_set(index, protocol)
    split = protocol.split
    if isinstance(split, Folds):
        roles = _by_folds(index, split, fold, _of_variants(index, protocol), card.name)
    elif isinstance(split, Official):
        roles = _official(index, card, split, labelled)
    elif isinstance(split, HashSplit):
        place = unit_interval(index["group"].tolist(), f"split/{card.name}")
        roles = np.where(
            place < split.train, "train", np.where(place < split.train + split.val, "val", "test")
        )
    else:
        roles = _stratified(index, card, split, labelled)
    extra = _has_affect(index) & index["label"].isna().to_numpy()
    usable = (labelled | extra) & _of_variants(index, protocol)
    roles = np.where(usable, roles, "")
    _refuse_empty(roles, labelled, card, protocol)
    return roles


def refuse_untrainable(index: pd.DataFrame, roles: NDArray[np.str_], card: Card, protocol: Protocol) -> None:
    """Refuse training rows from which nothing can be learnt: fewer than two rows, or one class only.

    Args:
        index: The dataset's index.
        roles: Role of every row.
        card: Its card.
        protocol: Label set and split rule.

    Raises:
        DataError: The training rows have fewer than two classes.
    """
    labels = index["label"][(roles == "train") & in_label_set(index, protocol)]
    present = sorted(set(labels))
    if len(present) < 2:
        raise DataError(
            f"{card.name}/{protocol.name} has one class to train, and a classifier needs two",
            value=present[0] if present else None,
            hint=f"add another class, or take a protocol that has one: fer-bench data describe {card.name}",
        )


def target_rows(index: pd.DataFrame, card: Card, protocol: Protocol) -> NDArray[np.bool_]:
    """Return the rows on which models of other datasets are tested.

    These are all labelled rows and neutral first frames of the protocol's variants for lab datasets, and the
    test rows of the protocol's split for the others; in both cases with any label, because the label set of a
    pair is applied in scoring.
    """
    has_label = index["label"].notna().to_numpy() & _of_variants(index, protocol)
    if card.as_target == "all":
        # The neutral frame of a contempt sequence is left out with it: CK+ has 309 x (3 + 1) rows.
        return np.asarray(has_label & ~_neutral_of(index, [e.value for e in NEVER_TRANSFERRED]), bool)
    every = protocol.model_copy(update={"label_set": tuple(Emotion)})
    return np.asarray(has_label & (assign_roles(index, card, every) == "test"), bool)


def member_protocol(card: Card, protocol: Protocol) -> Protocol:
    """Return the protocol of a member of a union: its own, with the union's label set.

    Args:
        card: The member's card.
        protocol: A protocol of the union.
    """
    own = find_protocol(card, None, quick=protocol.name.endswith(QUICK))
    return own.model_copy(update={"label_set": protocol.label_set})


def evaluation_rows(
    index: pd.DataFrame,
    card: Card,
    trained: Protocol | None,
    *,
    fold: int = 1,
    quick: bool = False,
    with_affect: bool = False,
) -> tuple[Protocol, NDArray[np.int64]]:
    """Return the rows of a dataset on which a model is tested, in runs and in submissions.

    Args:
        index: The target's index.
        card: Its card.
        trained: Protocol of the model's training: one of the target's, or one of a union with it; None for
            models of other datasets.
        fold: Fold that is tested, in-domain; a member without folds has one.
        quick: Whether models of other datasets are tested under the protocol of the `quick` profile.
        with_affect: Whether test rows with valence, arousal or action units but without a label are
            included in-domain, for methods that predict them.

    Returns:
        The protocol that these rows follow, and index positions, ascending.

    Raises:
        UsageError: No such fold.
        DataError: A role that the protocol needs is empty.
    """
    if trained is None:
        other = find_protocol(card, None, quick=quick)
        return other, np.flatnonzero(target_rows(index, card, other)).astype(np.int64)
    if fold not in folds_of(trained):
        known = f"1 to {len(folds_of(trained))}"
        raise UsageError(f"no such fold of {card.name}/{trained.name}", value=fold, hint=known)
    own = trained if trained in card.protocols else member_protocol(card, trained)
    rows = assign_roles(index, card, own, fold if len(folds_of(own)) > 1 else 1) == "test"
    if not with_affect:
        rows &= in_label_set(index, own)
    return own, np.flatnonzero(rows).astype(np.int64)


def units_of(index: pd.DataFrame, card: Card) -> list[str]:
    """Return what varies as a whole in intervals and tests: subjects in the lab, else groups.

    Groups are videos, photos or images.
    """
    units: list[str] = index["subject" if card.unit == "subject" else "group"].tolist()
    return units


def _has_affect(index: pd.DataFrame) -> NDArray[np.bool_]:
    va = index["valence"].notna().to_numpy() & index["arousal"].notna().to_numpy()
    return va | (stack_au(index) >= 0).any(axis=1)


def _by_folds(
    index: pd.DataFrame, split: Folds, fold: int, rows: NDArray[np.bool_], dataset: str
) -> NDArray[np.str_]:
    """Assign subjects with a labelled row of the protocol's variants to folds, whatever the label set is."""
    coded = rows & index["label"].notna().to_numpy() & ~index["is_neutral_frame"].to_numpy()
    unknown = coded & index["subject"].isna().to_numpy()
    if unknown.any():
        first = index[unknown].iloc[0]
        raise DataError(
            "folds by subject need a subject for every row",
            file=first["path"],
            value=first["sample_id"],
            hint=f"the reader must name the subject: fer-bench check dataset {dataset}",
        )
    fold_of = deal_folds(index["subject"][coded].tolist(), split, dataset)
    number = index["subject"].map(fold_of).fillna(0).to_numpy(int)
    following = fold % split.k + 1
    roles = np.where(number == fold, "test", np.where(number == 0, "", "train"))
    if split.validation == "next":
        roles = np.where(number == following, "val", roles)
    return roles


def _official(
    index: pd.DataFrame, card: Card, split: Official, labelled: NDArray[np.bool_]
) -> NDArray[np.str_]:
    official = index["split"].to_numpy(str)
    roles = np.where(official == split.test, "test", np.where(official == "train", "train", ""))
    if split.validation == "official":
        return np.where(official == "val", "val", roles)
    train = roles == "train"
    if split.carve == "label":
        carved = _carve_by_label(index, train & labelled, split.fraction, f"carve/{card.name}")
    else:
        carved = _carve_by_group(index, train, split.fraction, f"carve/{card.name}")
    return np.where(carved, "val", roles)


def _carve_by_label(
    index: pd.DataFrame, rows: NDArray[np.bool_], fraction: float, salt: str
) -> NDArray[np.bool_]:
    carved = np.zeros(len(index), bool)
    place = unit_interval(index["sample_id"].tolist(), salt)
    labels = index["label"].to_numpy(object)
    for emotion in Emotion:
        members = np.flatnonzero(rows & (labels == emotion.value))
        count = min(max(1, round(fraction * len(members))), len(members) - 1) if len(members) else 0
        carved[members[np.argsort(place[members], kind="stable")[:count]]] = True
    return carved


def _carve_by_group(
    index: pd.DataFrame, rows: NDArray[np.bool_], fraction: float, salt: str
) -> NDArray[np.bool_]:
    sizes = index["group"][rows].value_counts()
    groups = sorted(sizes.index)
    place = unit_interval(groups, salt)
    chosen: set[str] = set()
    reached = 0
    for position in np.argsort(place, kind="stable"):
        if reached >= fraction * rows.sum() or len(chosen) == len(groups) - 1:
            break
        chosen.add(groups[position])
        reached += int(sizes[groups[position]])
    return rows & index["group"].isin(chosen).to_numpy()


def _stratified(
    index: pd.DataFrame, card: Card, split: Stratified, labelled: NDArray[np.bool_]
) -> NDArray[np.str_]:
    roles = np.full(len(index), "", dtype="<U5")
    place = unit_interval(index["group"].tolist(), f"split/{card.name}")
    labels = index["label"].to_numpy(object)
    if split.by == "group":
        groups = index["group"].to_numpy(object)
        first = np.flatnonzero(labelled & ~pd.Series(groups).where(labelled).duplicated().to_numpy())
        role_of = {
            groups[row]: role
            for role, rows in zip(ROLES, _shares(first, place, split), strict=True)
            for row in rows
        }
        return np.array([role_of.get(group, "") for group in groups], dtype="<U5")
    for emotion in Emotion:
        members = np.flatnonzero(labelled & (labels == emotion.value))
        for role, rows in zip(ROLES, _shares(members, place, split), strict=True):
            roles[rows] = role
    return roles


def _shares(
    members: NDArray[np.int64], place: NDArray[np.float64], split: Stratified
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which of the given rows train, validate and test, by their places in [0, 1)."""
    ordered = members[np.argsort(place[members], kind="stable")]
    n = len(ordered)
    val = min(max(1, round(split.val * n)), n - 2) if n > 2 else 0
    test = min(max(1, round((1 - split.train - split.val) * n)), n - val - 1) if n > 1 else 0
    train = n - test - val
    return ordered[:train], ordered[train : train + val], ordered[train + val :]


def _refuse_empty(
    roles: NDArray[np.str_], labelled: NDArray[np.bool_], card: Card, protocol: Protocol
) -> None:
    needed = ["train", "test"]
    if not (isinstance(protocol.split, Folds) and protocol.split.validation == "none"):
        needed.append("val")
    for role in needed:
        if not (labelled & (roles == role)).any():
            raise DataError(
                f"{card.name}/{protocol.name} leaves no labelled row to {role}",
                hint=f"fer-bench data verify --dataset {card.name}",
            )
