"""The model card: what others should know before they use a checkpoint or an export. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from fer_bench.schema import Frozen

if TYPE_CHECKING:
    from fer_bench.inference.card import DeploymentCard
    from fer_bench.results.record import Record, Score
    from fer_bench.results.scores import Groups

INTENDED = (
    "Research on facial expression recognition: comparing methods under a written protocol.",
    "Testing, on labelled pictures of one's own, whether such a model works there at all: "
    "fer-bench evaluate CHECKPOINT --dataset folder:DIR.",
)
FORBIDDEN = (
    "A predicted expression is not a felt emotion: conclude nothing about what a person feels or intends.",
    "No decision about a person: hiring, grading, policing, medical or financial ones.",
    "The EU AI Act (Art. 5(1)(f)) forbids inferring emotions in the workplace and in education, with medical "
    "and safety exceptions, and treats other emotion recognition as high-risk.",
)
CODE_LICENCE = "MIT"
DRAWN_LICENCE = "drawn by this package (MIT); no pictures of people"


class CardMetric(Frozen):
    """A score as the card shows it.

    Attributes:
        title: Name of the metric.
        value: The score, null where it is undefined.
        interval: 95 % interval over test units of this one run, null with too few of them.
        text: Value and interval as text.
    """

    title: str
    value: float | None
    interval: tuple[float, float] | None
    text: str


class CardGap(Frozen):
    """The widest gap between the groups of an attribute.

    Attributes:
        compared: Number of groups compared.
        lowest: Group with the lowest UAR, and that UAR.
        highest: Group with the highest UAR, and that UAR.
        rows: Rows of these two.
        gap: Difference of the two.
        classes: Classes of which every compared group has enough rows.
    """

    compared: int
    lowest: tuple[str, float]
    highest: tuple[str, float]
    rows: tuple[int, int]
    gap: float
    classes: tuple[str, ...]


class CardScore(Frozen):
    """How the checkpoint did on one dataset.

    Attributes:
        target: Dataset.
        in_domain: Whether it was trained on this dataset, on other people or pictures.
        n: Rows scored.
        classes: Classes scored.
        units: People, videos or pictures with a scored row; null in records of older versions.
        metrics: By name.
        worst_class: Class with the lowest recall, and that recall.
        calibration: Calibration error (`ece`), Brier score and negative log-likelihood.
        affect: Mean concordance of valence and arousal (`va_ccc`), mean F1 of the action units (`au_f1`) and
            the sum of the ABAW challenge (`abaw`), where there are any.
        gaps: Widest gap by attribute of the people or the recording.
        note: How the copy of the data differs from the official release, or how faces were found.
    """

    target: str
    in_domain: bool
    n: int
    classes: tuple[str, ...]
    units: int | None = None
    metrics: dict[str, CardMetric]
    worst_class: tuple[str, float] | None = None
    calibration: dict[str, float] = {}
    affect: dict[str, float] = {}
    gaps: dict[str, CardGap] = {}
    note: str = ""


class CardData(Frozen):
    """A dataset that the weights learned from.

    Attributes:
        name: Short name.
        title: Full name.
        citation: Paper.
        licence: Terms.
    """

    name: str
    title: str
    citation: str
    licence: str


class Int8Report(Frozen):
    """What static quantisation to 8 bits cost and gained, measured in one process on one machine.

    Attributes:
        calibration_rows: Training rows of the source from which the ranges of activations were taken.
        validation_rows: Validation rows of the source on which answers were compared.
        size: Bytes of the float32 file and of this one.
        accuracy: Accuracy of float32 and of int8.
        accuracy_change: Change of accuracy, and its 95 % interval where there are enough units.
        uar: UAR of float32 and of int8.
        uar_change: Change of UAR, and its 95 % interval.
        same_answer: Share of rows with the same answer.
        latency: Median time of int8 divided by that of float32, by batch size.
        processor: Where the latency was measured, and threads.
    """

    calibration_rows: int
    validation_rows: int
    size: tuple[int, int]
    accuracy: tuple[float, float]
    accuracy_change: tuple[float, tuple[float, float] | None]
    uar: tuple[float, float]
    uar_change: tuple[float, tuple[float, float] | None]
    same_answer: float
    latency: dict[int, float]
    processor: str


class ModelCard(Frozen):
    """Everything that a model card says, as plain values.

    Attributes:
        schema_version: Version of this layout.
        name: What was trained on what.
        method: Method, in one line.
        source: Its paper.
        classes: Class names in the order of the outputs.
        outputs: What it answers besides.
        crop: How faces are cropped, in words.
        key: Run key; empty for imported weights.
        weights: SHA-256 of the weights.
        data: What it was trained on.
        data_kind: Whether these faces were photographed or drawn.
        generator: Which drawing, for drawn faces.
        protocol: Protocol, fold and seed, in words.
        rows: Rows per role.
        settings: Settings that differ from those of the profile.
        profile: Profile.
        parameters: Number of trained parameters; 0 where unknown.
        multiply_adds: Of one picture; 0 where unknown.
        pretrained: What pretrained weights it starts from had seen, by part of the network.
        scores: In-domain first, then cross-dataset.
        intended: Intended uses.
        forbidden: Uses that are forbidden or not intended.
        licences: Of `code` and `weights`.
        warnings: What a reader of the scores should know.
        versions: Software that trained it.
        int8: Cost and gain of quantisation, for a quantised export.
    """

    schema_version: Literal[1] = 1
    name: str
    method: str
    source: str = ""
    classes: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    crop: str
    key: str = ""
    weights: str
    data: tuple[CardData, ...] = ()
    data_kind: Literal["real", "synthetic", "unknown"]
    generator: dict[str, Any] | None = None
    protocol: str = ""
    rows: dict[str, int] = {}
    settings: dict[str, str] = {}
    profile: str = ""
    parameters: int = 0
    multiply_adds: int = 0
    pretrained: dict[str, str] = {}
    scores: tuple[CardScore, ...] = ()
    intended: tuple[str, ...] = INTENDED
    forbidden: tuple[str, ...] = FORBIDDEN
    licences: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    int8: Int8Report | None = None


def model_card(card: DeploymentCard, record: Record | None) -> ModelCard:
    """Return the model card of a checkpoint.

    Args:
        card: What predicting needs to know.
        record: The run that trained it; None for imported weights.
    """
    from fer_bench import methods

    entry = methods.entry(card.method)
    outputs = [text for text, there in _OUTPUTS if getattr(card, there)]
    known: dict[str, Any] = {
        "name": card.name,
        "method": f"{card.method}: {entry.title}",
        "source": entry.source,
        "classes": card.classes,
        "outputs": tuple(outputs),
        "crop": card.recipe.text,
        "key": card.key,
        "weights": card.weights,
        "data_kind": card.data_kind,
    }
    if record is None:
        licences = {
            "code": CODE_LICENCE,
            "weights": "unknown: these weights were imported; ask who trained them",
        }
        warnings = ("imported weights: this package did not train them and has no score of them",)
        return ModelCard(**known, licences=licences, warnings=warnings)
    data = _data(record)
    fold = f", fold {record.fold} of {record.folds}" if record.folds > 1 else ""
    return ModelCard(
        **known,
        data=data,
        generator=record.generator,
        protocol=f"{record.dataset}/{record.protocol}{fold}, seed {record.seed}; epoch chosen by "
        + ("validation UAR" if card.selection == "val" else f"`{card.selection}`"),
        rows=record.rows,
        settings=record.varied,
        profile=record.profile,
        parameters=record.parameters,
        multiply_adds=record.multiply_adds,
        pretrained={part: told.text for part, told in record.pretrained.items()},
        scores=_scores(record, card.selection),
        licences={"code": CODE_LICENCE, "weights": _weights_licence(record, data)},
        warnings=record.warnings,
        versions={name: str(record.environment[name]) for name in _SOFTWARE if name in record.environment},
    )


_OUTPUTS = (("valence and arousal in [-1, 1]", "has_va"), ("twelve action units", "has_au"))
_SOFTWARE = ("fer_bench", "commit", "python", "torch", "timm")


def _data(record: Record) -> tuple[CardData, ...]:
    from fer_bench import datasets

    found = []
    for name in datasets.members_of(record.dataset):
        card = datasets.get(name).card
        licence = DRAWN_LICENCE if record.data_kind == "synthetic" else card.licence
        title = f"drawn faces in the layout of {card.title}" if licence is DRAWN_LICENCE else card.title
        citation = "" if licence is DRAWN_LICENCE else card.citation
        found.append(CardData(name=name, title=title, citation=citation, licence=licence))
    return tuple(found)


def _weights_licence(record: Record, data: tuple[CardData, ...]) -> str:
    """Return under which terms the weights may be used, as far as anybody can say."""
    if record.data_kind == "synthetic":
        terms = "made from drawn faces of this package (MIT)"
    else:
        terms = (
            f"made from {' and '.join(each.name for each in data)}, whose terms apply to what is made of it"
        )
    started = [f"{part}: weights trained on {told.text}" for part, told in record.pretrained.items()]
    return "; ".join([terms, *started, *(["the terms of those weights apply as well"] if started else [])])


def _scores(record: Record, selection: str) -> tuple[CardScore, ...]:
    """Return the scores of the checkpoint, in-domain first."""
    from fer_bench.datasets import members_of

    own = members_of(record.dataset)
    scores = [score for score in record.scores if score.selection == selection]
    scores.sort(key=lambda score: (score.target not in own, score.target))
    return tuple(_score(score, record, in_domain=score.target in own) for score in scores)


def _score(score: Score, record: Record, *, in_domain: bool) -> CardScore:
    from fer_bench.evaluation import metrics

    found, shown = score.breakdown, metrics.shown_in("cli", ranking_first=True)
    intervals = {} if found is None else found.intervals
    target = record.targets.get(score.target)
    notes = [] if target is None else [target.copy_note]
    if target is not None:
        missed = target.faces_missed or 0.0
        notes += [f"no face was found in {missed:.0%} of the pictures"] if missed else []
        weak = target.faces_weak - missed
        notes += [f"{weak:.0%} of the faces were found by a weak detector"] if weak > 0 else []
    return CardScore(
        target=score.target,
        in_domain=in_domain,
        n=score.n,
        classes=score.label_set,
        units=None if found is None else found.units,
        metrics={
            m.name: CardMetric(
                title=m.title,
                value=score.metrics.get(m.name),
                interval=intervals.get(m.name),
                text=_text(m, score.metrics.get(m.name), intervals.get(m.name)),
            )
            for m in shown
            if not in_domain or m.name != "transfer"
        },
        worst_class=None if found is None else (found.worst_class, found.worst_recall),
        calibration={}
        if found is None
        else {name: getattr(found.calibration, name) for name in ("ece", "brier", "nll")},
        affect={}
        if found is None
        else {n: v for n in ("va_ccc", "au_f1", "abaw") if (v := getattr(found, n)) is not None},
        gaps={} if found is None else _gaps(found.groups),
        note="; ".join(note for note in notes if note),
    )


def _text(metric: Any, value: float | None, interval: tuple[float, float] | None) -> str:
    text = str(metric.text(value))
    return text if interval is None else f"{text} [{', '.join(map(metric.number, interval))}]"


def _gaps(groups: Mapping[str, Groups]) -> dict[str, CardGap]:
    """Return the widest gap of each attribute; single people are left out, and not named in public."""
    from fer_bench.evaluation.groups import SUBJECT

    found = {name: _gap(each) for name, each in groups.items() if name != SUBJECT}
    return {name: gap for name, gap in found.items() if gap is not None}


def _gap(groups: Groups) -> CardGap | None:
    if groups.lowest is None or groups.highest is None or groups.gap is None:
        return None
    ends = [groups.groups[name] for name in (groups.lowest, groups.highest)]
    low, high = (each.uar for each in ends)
    if low is None or high is None:
        return None
    return CardGap(
        compared=groups.compared,
        lowest=(groups.lowest, low),
        highest=(groups.highest, high),
        rows=(ends[0].n, ends[1].n),
        gap=groups.gap,
        classes=groups.classes,
    )
