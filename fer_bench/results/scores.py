"""What the score of a record is made of: classes, groups, votes, calibration, affect."""

from __future__ import annotations

from fer_bench.schema import Frozen


class ClassScore(Frozen):
    """One scored class; undefined values are null.

    Attributes:
        n: Its rows.
        answered: Rows that got it as answer.
        recall: Share of its rows answered right.
        precision: Share of its answers that are right.
        f1: Harmonic mean of both, 0 without a right answer, null without rows and answers.
    """

    n: int
    answered: int
    recall: float | None
    precision: float | None
    f1: float | None


class Bin(Frozen):
    """One point of the reliability curve.

    Attributes:
        n: Rows.
        confidence: Mean probability of the answer.
        accuracy: Share answered right.
    """

    n: int
    confidence: float
    accuracy: float


class Calibration(Frozen):
    """Calibration of the softmax over the scored classes.

    Attributes:
        ece: Expected calibration error of the answer, 15 bins of equal width.
        ece_adaptive: The same with bins of equal numbers of rows.
        ece_classwise: The same of every class's probability, averaged over classes.
        brier: Mean squared distance to the one-hot truth, in [0, 2].
        nll: Mean negative log-likelihood in nats.
        curve: Bins of equal width that hold a row.
    """

    ece: float
    ece_adaptive: float
    ece_classwise: float
    brier: float
    nll: float
    curve: tuple[Bin, ...]


class DimensionScore(Frozen):
    """Valence or arousal.

    Attributes:
        n: Rows with a truth.
        ccc: Concordance correlation (population moments).
        pcc: Pearson correlation.
        rmse: Root mean squared error.
        sign_agreement: Share of rows with the right sign.
    """

    n: int
    ccc: float | None
    pcc: float | None
    rmse: float
    sign_agreement: float


class UnitScore(Frozen):
    """One action unit.

    Attributes:
        n: Rows with a truth.
        positives: Rows that show it.
        f1: F1 with a threshold of probability 1/2; null where no row shows it and none was said to.
        ap: Average precision, null where no row shows it.
    """

    n: int
    positives: int
    f1: float | None
    ap: float | None


class GroupScore(Frozen):
    """One group of rows.

    Attributes:
        n: Scored rows.
        k: Scored classes with a row.
        accuracy: Share answered right.
        uar: Mean recall over the classes of which all compared groups have at least five rows; null for a
            group that is not compared.
    """

    n: int
    k: int
    accuracy: float
    uar: float | None


class Groups(Frozen):
    """The groups of one attribute.

    Attributes:
        count: Number of groups.
        compared: Those with at least ten rows that share two classes or more.
        classes: Classes of which all compared groups have at least five rows.
        missing: Scored rows without a value.
        lowest: Compared group with the lowest UAR.
        highest: The one with the highest.
        gap: Difference of the two.
        groups: Every group by value; with more than twenty, lowest and highest only.
    """

    count: int
    compared: int
    classes: tuple[str, ...]
    missing: int
    lowest: str | None
    highest: str | None
    gap: float | None
    groups: dict[str, GroupScore]


class VoteScore(Frozen):
    """Scores against the votes of several people.

    Attributes:
        n: Rows with at least two votes, one of them for a scored class.
        votes: Mean votes per row, for any class.
        agreement: Probability that a random vote names the model's answer.
        cross_entropy: Cross-entropy of the votes for scored classes and the model in nats.
        human_accuracy: Expected accuracy of one held-out vote against the majority of the rest.
        human_uar: Its expected UAR.
    """

    n: int
    votes: float
    agreement: float
    cross_entropy: float
    human_accuracy: float
    human_uar: float


class Breakdown(Frozen):
    """What a score is made of.

    Attributes:
        classes: Scored classes in the model's order.
        confusion: Rows are true classes, columns answers.
        per_class: Per scored class.
        worst_class: Present class with the lowest recall.
        worst_recall: That recall.
        units: Units with a scored row.
        intervals: 95 % intervals of this run's metrics, by name; empty with under ten units.
        calibration: Calibration of the answers.
        va: `valence` and `arousal`, where the model and the data have them.
        va_ccc: Mean concordance of the two.
        au: Per action unit, `au_<n>`.
        au_f1: Mean F1 of the action units; a unit that no row shows and that is never answered counts as 0.
        abaw: The sum of the ABAW challenge, in-domain with all three outputs and a row of each
            expression, see `affect.abaw_sum`.
        groups: Per attribute of the index.
        votes: Scores against votes.
    """

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    per_class: dict[str, ClassScore]
    worst_class: str
    worst_recall: float
    units: int
    intervals: dict[str, tuple[float, float]] = {}
    calibration: Calibration
    va: dict[str, DimensionScore] = {}
    va_ccc: float | None = None
    au: dict[str, UnitScore] = {}
    au_f1: float | None = None
    abaw: float | None = None
    groups: dict[str, Groups] = {}
    votes: VoteScore | None = None


class Change(Frozen):
    """A score before and after training, on the same rows.

    Attributes:
        before: Of the weights that the run started from.
        after: Of the weights that tables show.
        difference: After minus before.
        low: Lower end of the 95 % interval of the difference, paired by unit; null with under ten units.
        high: Its upper end.
    """

    before: float
    after: float
    difference: float
    low: float | None = None
    high: float | None = None


class BeforeAfter(Frozen):
    """What training added to the checkpoint that a run started from, on the run's own test rows.

    Attributes:
        target: The run's dataset, or a member of its union.
        method: Method of the checkpoint.
        weights: SHA-256 of its weights.
        trained_on: What these were trained on, in words.
        classes: Its ordered classes.
        label_set: Classes that both networks know; answers are restricted to them. With fewer than two there
            are no changes.
        n: Rows of these classes.
        units: Their units.
        unit: What a unit is, see `Card`.
        changes: Per metric that has intervals.
    """

    target: str
    method: str
    weights: str
    trained_on: str
    classes: tuple[str, ...]
    label_set: tuple[str, ...] = ()
    n: int = 0
    units: int = 0
    unit: str = "image"
    changes: dict[str, Change] = {}
