"""Dataset cards: the facts about a dataset, shared by documentation, checks and the synthetic stand-in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from fer_bench.emotions import Emotion, LabelSet, match_emotion
from fer_bench.schema import Frozen

SplitName = Literal["train", "val", "test", "none"]
Trust = Literal["page", "code", "secondary", "inferred"]

CountUnit = Literal["images", "sequences", "subjects", "faces", "rows", "clips", "videos"]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class NativeClass:
    """One class as the licensor codes it.

    Attributes:
        code: The code on disk, as text (`"5"`, `"Happiness"`).
        name: The licensor's name of the class.
        emotion: The canonical emotion, or None when rows of this class are dropped.
    """

    code: str
    name: str
    emotion: Emotion | None


class ExpectedCount(Frozen):
    """How many rows of a split and class the official release holds.

    Attributes:
        split: Official split, `none` for a dataset without splits.
        code: Native class code, or None for the total of the split.
        unit: What is counted.
        n: The number.
        trust: How well the number is known (never `memory`).
        source: Where it was read.
        layout: The official layout it is of, as the reader's `layout` names it; empty for all.
    """

    split: SplitName
    code: str | None
    unit: CountUnit
    n: int
    trust: Trust
    source: str
    layout: str = ""


@dataclass(frozen=True, config=_STRICT)
class TreeEntry:
    """One line of the official folder tree.

    Attributes:
        path: Path below the root, with `<...>` for what varies.
        what: What it is.
        required: Whether reading fails without it.
    """

    path: str
    what: str
    required: bool = True


@dataclass(frozen=True, config=_STRICT)
class Quirk:
    """A property of the official files that trips up readers.

    Attributes:
        text: The quirk, and what the reader does about it.
        trust: How well it is known.
        source: Where it was read.
    """

    text: str
    trust: Trust
    source: str


class Folds(Frozen):
    """Subject-independent cross-validation.

    Subjects with at least one labelled (non-neutral-frame) row are sorted; `interleaved` puts the subject at
    position p into fold p mod k, `contiguous` cuts the sorted list into k blocks. Fold i is tested; the next
    fold validates.

    Attributes:
        k: Number of folds.
        rule: How sorted subjects are dealt to folds.
        validation: `next` fold, or `none` (nine of ten folds train, the last epoch is reported).
    """

    kind: Literal["folds"] = "folds"
    k: int = Field(default=10, ge=2)
    rule: Literal["interleaved", "contiguous"] = "interleaved"
    validation: Literal["next", "none"] = "next"


class Official(Frozen):
    """The licensor's own split.

    Attributes:
        test: Official split whose rows are the test rows.
        validation: `official` uses the official `val` rows; `carved` takes a seeded part of training.
        fraction: Share of training rows that is carved.
        carve: `label` carves the same share of every class, `group` carves whole groups.
    """

    kind: Literal["official"] = "official"
    test: Literal["test", "val"] = "test"
    validation: Literal["official", "carved"] = "carved"
    fraction: float = Field(default=0.10, gt=0, lt=1)
    carve: Literal["label", "group"] = "label"

    @model_validator(mode="after")
    def _one_part_one_role(self) -> Official:
        if self.test == "val" and self.validation == "official":
            raise ValueError("the official val part cannot both validate and test")
        return self


class _Shares(Frozen):
    """Shares of groups or rows: `train` and `val`; the rest tests."""

    train: float = Field(default=0.70, gt=0, lt=1)
    val: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _leave_a_test_part(self) -> Self:
        if self.train + self.val >= 1:
            raise ValueError(f"shares of {self.train} and {self.val} leave nothing to test")
        return self


class HashSplit(_Shares):
    """A split by a hash of each row's group, for datasets without an official one.

    Attributes:
        train: Share of groups that trains.
        val: Share that validates; the rest tests.
    """

    kind: Literal["hash"] = "hash"


class Stratified(_Shares):
    """A seeded split of single rows with the same shares of every class.

    A class with one row trains, one with two trains and tests, a larger one has a row in every role.

    Attributes:
        train: Share of rows that trains.
        val: Share that validates; the rest tests.
        by: `group` deals whole groups instead, at least one to every role where there are three; classes
            then have about the same shares.
    """

    kind: Literal["stratified"] = "stratified"
    by: Literal["row", "group"] = "row"


Split = Annotated[Folds | Official | HashSplit | Stratified, Field(discriminator="kind")]


class Protocol(Frozen):
    """Which rows train, validate and test, and on which classes.

    Attributes:
        name: Name within the dataset, for example `7-10fold`.
        label_set: Ordered classes of the model.
        split: The rule that deals rows.
        variants: Index variants that take part (`VL/Strong`, `frontal`); empty means all.
        note: One line for the documentation.
        aliases: Other names that are accepted; records and keys contain only `name`.
    """

    name: str
    label_set: LabelSet
    split: Split
    variants: tuple[str, ...] = ()
    note: str = ""
    aliases: tuple[str, ...] = ()


class Card(Frozen):
    """What is known about a dataset before any file is opened.

    Attributes:
        name: Short name, if possible that of its module.
        title: Full name.
        setting: `lab`, `wild` (still images) or `video`.
        citation: Author-year reference, with DOI or arXiv id if known.
        licence: Terms in one or two sentences.
        obtain: How to get the data.
        classes: Native classes in the licensor's order.
        tree: The official folder tree.
        protocols: Protocols by name.
        default_protocol: Name of the protocol used when none is asked for.
        quick_protocol: Name of the protocol of the `quick` profile.
        counts: Trusted counts.
        quirks: Known properties that trip up readers.
        unit: What varies as a whole in intervals and tests.
        has_va: Whether rows carry valence and arousal.
        has_au: Whether rows carry action units.
        has_reference: Whether rows carry a neutral frame of the same person and sequence.
        as_target: Rows that test models of other datasets: `test` rows of the default protocol, or `all`
            labelled rows and neutral first frames (lab datasets).
        fold_sizes: Published number of sequences per fold of the default protocol, checked on real data.
        shares_pixels_with: Datasets with the same pictures; never counted as cross-dataset.
        variant_parts: Names of the parts of the index column `variant`, which `/` separates: `pose`,
            `camera`, `illumination`. Scores are given per value of each. Empty if variants are not recording
            conditions.
        version: Raised when the card or the reader changes rows, labels or decoded pixels.
    """

    name: str
    title: str
    setting: Literal["lab", "wild", "video"]
    citation: str
    licence: str
    obtain: str
    classes: tuple[NativeClass, ...]
    tree: tuple[TreeEntry, ...]
    protocols: tuple[Protocol, ...]
    default_protocol: str
    quick_protocol: str
    counts: tuple[ExpectedCount, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    unit: Literal["subject", "video", "image"]
    has_va: bool = False
    has_au: bool = False
    has_reference: bool = False
    as_target: Literal["test", "all"] = "test"
    fold_sizes: tuple[int, ...] = ()
    shares_pixels_with: tuple[str, ...] = ()
    variant_parts: tuple[str, ...] = ()
    version: int = 1

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        names = [name for p in self.protocols for name in (p.name, *p.aliases)]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: protocol names repeat: {names}")
        for wanted in (self.default_protocol, self.quick_protocol):
            if wanted not in [p.name for p in self.protocols]:
                raise ValueError(f"{self.name}: no protocol {wanted!r} among {names}")
        for protocol in self.protocols:
            labels = protocol.label_set
            if not labels:
                raise ValueError(f"{self.name}/{protocol.name} has no class")
            if len(set(labels)) != len(labels) or not set(labels) <= set(self.emotions):
                raise ValueError(
                    f"{self.name}/{protocol.name}: classes repeat or are not the dataset's: {labels}"
                )
        codes = [c.code for c in self.classes]
        if len(set(codes)) != len(codes):
            raise ValueError(f"{self.name}: class codes repeat: {codes}")
        return self

    @property
    def emotions(self) -> LabelSet:
        """Canonical emotions that rows of this dataset can have, in canonical order."""
        known = {c.emotion for c in self.classes if c.emotion is not None}
        if self.has_reference:
            known.add(Emotion.NEUTRAL)
        return tuple(e for e in Emotion if e in known)

    def emotion_of(self, code: str) -> Emotion | None:
        """Return the canonical emotion of a native code, None if its rows are dropped.

        Raises:
            KeyError: The code is not one of the card's.
        """
        for native in self.classes:
            if native.code == code:
                return native.emotion
        raise KeyError(code)

    def deciding_fields(self) -> dict[str, object]:
        """Return the fields that decide rows and labels; run keys depend on them."""
        return self.model_dump(
            mode="json", include={"name", "classes", "version", "as_target", "unit", "has_reference"}
        )


def native_classes(
    names: Sequence[str], codes: Iterable[str] | None = None, *, first: int = 0
) -> tuple[NativeClass, ...]:
    """Return classes with the emotions that their names mean, see `match_emotion`; others are dropped.

    Args:
        names: The licensor's names, in the licensor's order.
        codes: Their codes on disk; None for numbers.
        first: The first number.
    """
    numbers = map(str, range(first, first + len(names)))
    pairs = zip(numbers if codes is None else codes, names, strict=True)
    return tuple(NativeClass(code, name, match_emotion(name)) for code, name in pairs)


def class_counts(
    codes: Sequence[str],
    numbers: Mapping[SplitName, Sequence[int]],
    *,
    trust: Trust,
    source: str,
    unit: CountUnit = "images",
    totals: bool = True,
    layout: str = "",
) -> tuple[ExpectedCount, ...]:
    """Return the counts of every class and split that one source gives.

    Args:
        codes: Native class codes.
        numbers: For each split, one number per class.
        trust: How well the numbers are known.
        source: Where they were read.
        unit: What is counted.
        totals: Also add the sum of each split; not if it has other rows, or if another source gives it.
        layout: The official layout they are of; empty for all.
    """
    found: list[ExpectedCount] = []
    for split, each in numbers.items():
        pairs: list[tuple[str | None, int]] = list(zip(codes, each, strict=True))
        for code, n in [*pairs, (None, sum(each))] if totals else pairs:
            found.append(
                ExpectedCount(
                    split=split, code=code, unit=unit, n=n, trust=trust, source=source, layout=layout
                )
            )
    return tuple(found)


def fold_protocols(
    label_sets: dict[str, LabelSet], *, variants: tuple[str, ...] = (), contiguous: bool = False
) -> tuple[Protocol, ...]:
    """Return the usual family of lab protocols for each label set.

    For a label-set name `7` these are `7-10fold` (default rule), `7-10fold-train9` (nine folds train, no
    validation, last epoch) and `7-4fold` (the `quick` profile), and `7-contiguous` if asked for.

    Args:
        label_sets: Label sets by the name that starts the protocol's name.
        variants: Index variants that take part.
        contiguous: Also add the contiguous variant.
    """
    protocols: list[Protocol] = []
    for name, label_set in label_sets.items():
        family = [
            ("10fold", Folds(), "10 subject-independent folds, interleaved over sorted subjects"),
            ("10fold-train9", Folds(validation="none"), "nine folds train, no validation, last epoch"),
            ("4fold", Folds(k=4), "4 folds by the same rule, for the quick profile"),
        ]
        if contiguous:
            family.append(("contiguous", Folds(rule="contiguous"), "10 folds of neighbouring subjects"))
        protocols += [
            Protocol(name=f"{name}-{suffix}", label_set=label_set, split=split, variants=variants, note=note)
            for suffix, split, note in family
        ]
    return tuple(protocols)
