"""A cell of the board: all folds and seeds of one method on one source under one protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer_bench.datasets import members_of
from fer_bench.emotions import BASIC_SIX
from fer_bench.errors import StoreError
from fer_bench.evaluation.components import Combined
from fer_bench.evaluation.estimates import Estimate, answers, estimate, uar_of_answers
from fer_bench.evaluation.exposure import Seen, seen_before
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.scoring import outdated_metrics
from fer_bench.evaluation.statistics import Answers
from fer_bench.evaluation.stored import read_scored
from fer_bench.evaluation.transfer import (
    Generalisation,
    counted_targets,
    generalisation,
    retention,
    share_pictures,
)
from fer_bench.leaderboard.in_domain import InDomain, score_in_domain, score_on_label_sets
from fer_bench.leaderboard.learning import Epoch, learning_curves
from fer_bench.leaderboard.mistakes import worst_of
from fer_bench.leaderboard.parts import Part, SubsetModels
from fer_bench.leaderboard.robustness import Robustness, measured
from fer_bench.leaderboard.variants import whole_seeds
from fer_bench.results.mistakes import Mistake
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import LOGGER_FAILED, Record, Score, Selection
from fer_bench.results.scores import Breakdown
from fer_bench.results.store import Store


@dataclass(frozen=True)
class Problem:
    """Something in the store that cannot be used.

    Attributes:
        file: Its path below the store.
        message: The problem.
    """

    file: str
    message: str

    @classmethod
    def of(cls, store: Store, error: StoreError) -> Problem:
        """Return the problem that an error reports about a file of the store."""
        path = Path(str(error.file))
        line = "" if error.line is None else f"row {error.line}: "
        value = "" if error.value is None else f" (found {error.value!r})"
        file = path.relative_to(store.root).as_posix() if path.is_relative_to(store.root) else path.name
        return cls(file, f"{line}{error.message}{value}")


@dataclass(frozen=True)
class Cell:
    """All folds and seeds of one method on one source under one protocol.

    Attributes:
        method: Registry name of the method.
        label: The method's name, with the settings that differ from the section's usual ones.
        usual: Whether these are the usual settings; others are shown but not compared.
        dataset: Source dataset.
        protocol: Protocol within it.
        headline: Whether this is the source's main protocol in the section.
        records: Finished runs of the seeds that have all folds that any seed has.
        partial: Folds of the seeds that lack some; they are left out.
        ahead: Folds of the other seeds that are left out, since too few seeds have them.
        mixed: Datasets that the runs were tested on in several versions or crops; they are left out.
        selection: Which checkpoint is shown.
        in_domain: Score on the source, None when its predictions cannot be used.
        cross: Estimate per target.
        inside: Estimate per member of a union, which is not another dataset.
        parts: Estimates on named subsets of rows.
        generalisation: Mean transfer over the named targets.
        six: The same over the six basic emotions alone.
        retention: Share of the in-domain score that is retained on other datasets.
        counted: Targets over which generalisation is averaged.
        seen: What the models saw before, of the source and of each target.
        outdated: Metrics whose value in a record is not what its predictions give today: the scoring rules
            changed since.
        robustness: What corruptions of the test rows cost, per target, where that was measured.
        learning: What its runs logged after each epoch.
        mistakes: On drawn faces, the worst mistake of each class on its own test rows, per target.
    """

    method: str
    label: str
    usual: bool
    dataset: str
    protocol: str
    headline: bool
    records: tuple[Record, ...]
    partial: Mapping[int, tuple[int, ...]]
    ahead: Mapping[int, tuple[int, ...]]
    mixed: tuple[str, ...]
    selection: Selection
    in_domain: InDomain | None
    cross: Mapping[str, Estimate]
    inside: Mapping[str, Estimate]
    parts: tuple[Part, ...]
    generalisation: Generalisation
    six: Generalisation
    retention: Value | None
    counted: tuple[str, ...] = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    outdated: tuple[str, ...] = ()
    robustness: tuple[Robustness, ...] = ()
    learning: tuple[Epoch, ...] = ()
    mistakes: Mapping[str, tuple[Mistake, ...]] = field(default_factory=dict)

    @property
    def apart_in_domain(self) -> Seen | None:
        """Return why the in-domain score is not compared with others, or None."""
        return self.seen.get(self.dataset)

    @property
    def apart_elsewhere(self) -> Seen | None:
        """Return why generalisation is not compared with others, or None."""
        return next((self.seen[name] for name in self.counted if name in self.seen), None)

    @property
    def source(self) -> str:
        """Return the dataset, with the protocol unless that is the main one."""
        return self.dataset if self.headline else f"{self.dataset}/{self.protocol}"

    @property
    def folds(self) -> tuple[int, ...]:
        """Return the folds that are finished."""
        return tuple(sorted({r.fold for r in self.records}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds that are finished."""
        return tuple(sorted({r.seed for r in self.records}))

    @property
    def adapted(self) -> str | None:
        """Return how the method is adapted to the dataset, or None."""
        return next((r.adapted for r in self.records if r.adapted), None)

    def scores(self, target: str, selection: Selection | None = None) -> list[Score]:
        """Return the scores of its runs on a target.

        Args:
            target: A dataset.
            selection: Which checkpoint, the cell's by default.
        """
        found = (r.score(target, selection or self.selection) for r in self.records)
        return [score for score in found if score is not None]

    def breakdowns(self, target: str, selection: Selection | None = None) -> list[Breakdown]:
        """Return what these scores are made of, without those of older versions that do not say it."""
        return [s.breakdown for s in self.scores(target, selection) if s.breakdown is not None]

    @property
    def seed_sd(self) -> float | None:
        """Return the standard deviation (ddof 1) of generalisation over the seeds, None for a single one."""
        mean = self.generalisation.mean
        return None if mean is None else mean.seed_sd

    @property
    def comparable(self) -> Combined | None:
        """Return generalisation as it is compared, None unless every target was scored."""
        general = self.generalisation
        return general.mean.combined if general.complete and general.mean is not None else None

    @property
    def own(self) -> Combined | None:
        """Return in-domain UAR as it is compared, None without it."""
        return None if self.in_domain is None else self.in_domain.estimate.values["uar"].combined

    @property
    def is_union(self) -> bool:
        """Return whether several datasets were trained on."""
        return len(members_of(self.dataset)) > 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the cell's numbers should know, from its records."""
        return tuple(sorted({w for r in self.records for w in r.warnings if not w.startswith(LOGGER_FAILED)}))


def build_cell(
    store: Store,
    label: str,
    usual: bool,
    finished: Sequence[Record],
    headline: Mapping[str, str],
    named: tuple[str, ...],
    excluded: frozenset[frozenset[str]],
) -> tuple[Cell, list[Problem]]:
    """Compute a cell from stored predictions.

    Args:
        store: Where they are.
        label: What the method is called.
        usual: Whether these are its usual settings.
        finished: Finished runs that belong together, from `variants`.
        headline: Main protocol of each source.
        named: Target list of the generalisation score.
        excluded: Pairs of datasets that share pictures.

    Returns:
        The cell, and predictions that cannot be used.
    """
    whole = whole_seeds(finished)
    records = whole.records
    first, mixed = records[0], _mixed_targets(records)
    own: list[tuple[Record, Predictions]] = []
    cross: dict[str, list[_Answered]] = {}
    problems: list[Problem] = []
    named_rows = SubsetModels(store)
    outdated: set[str] = set()
    for record in records:
        for score in record.scores:
            target = score.target
            if score.selection != first.headline or target in mixed:
                continue
            if target != record.dataset and share_pictures(record.dataset, target, excluded):
                continue
            try:
                predictions, changed = _read(store, record, score)
            except StoreError as error:
                problems.append(Problem.of(store, error))
                continue
            outdated |= changed
            named_rows.add(record, score, predictions)
            if target == record.dataset:
                own.append((record, predictions))
            else:
                cross.setdefault(target, []).append(_Answered.of(record, score, predictions))
    robustness, unusable = measured(store, records)
    mistakes, damaged = worst_of(store, records)
    problems += [Problem.of(store, error) for error in (*unusable, *damaged)]
    training = _training(records)
    crops = {name: crop_way(data.recipe) for name, data in first.targets.items()}
    estimates = {
        target: _estimate([m.all for m in models], target, models, training, crops)
        for target, models in sorted(cross.items())
        if len(models) == len(records)  # a mean over some of the folds is not comparable
    }
    in_domain = None
    try:
        if len(own) == len(records):
            in_domain = score_in_domain(store, own, training)
    except StoreError as error:
        problems.append(Problem(f"{first.method}/{first.dataset}", Problem.of(store, error).message))
    members = members_of(first.dataset)
    inside = {target: estimates.pop(target) for target in members if target in estimates}
    wanted = counted_targets(first.dataset, named, excluded)
    if first.is_outside:  # not compared with others, so its mean may cover fewer targets
        wanted = tuple(target for target in wanted if seen_before(first, target) is None)
    scored = {t: estimates[t] for t in wanted if t in estimates and "transfer" in estimates[t].values}
    base = score_on_label_sets(own, [e.label_set for e in scored.values()], training) if in_domain else None
    general = generalisation({t: e.values["transfer"] for t, e in scored.items()}, wanted, base)
    six = {t: _over_six(t, cross[t], whole, training, crops) for t, whole in scored.items()}
    cell = Cell(
        method=first.method,
        label=label,
        usual=usual,
        dataset=first.dataset,
        protocol=first.protocol,
        headline=headline[first.dataset] == first.protocol,
        records=records,
        partial=whole.partial,
        ahead=whole.ahead,
        mixed=mixed,
        selection=first.headline,
        in_domain=in_domain,
        cross=estimates,
        inside=inside,
        parts=named_rows.estimates(len(records)),
        generalisation=general,
        six=generalisation({t: v for t, v in six.items() if v is not None}, wanted),
        retention=retention([general]),
        counted=wanted,
        seen={
            name: seen
            for name in (first.dataset, *wanted, *estimates)
            if (seen := seen_before(first, name)) is not None
        },
        outdated=tuple(sorted(outdated)),
        robustness=tuple(robustness),
        learning=learning_curves(store, records),
        mistakes=mistakes,
    )
    return cell, problems


@dataclass(frozen=True)
class _Answered:
    """One model's answers on another dataset.

    Attributes:
        seed: Its seed.
        all: Its answers over all scored classes.
        six: Its answers over the six basic emotions.
    """

    seed: int
    all: Answers
    six: Answers

    @classmethod
    def of(cls, record: Record, score: Score, predictions: Predictions) -> _Answered:
        six = [name for name in score.label_set if name in BASIC_SIX]
        return cls(record.seed, answers(predictions, score.label_set), answers(predictions, six))


def _estimate(
    answered: Sequence[Answers],
    target: str,
    models: Sequence[_Answered],
    training: str,
    crops: Mapping[str, str],
) -> Estimate:
    seeds = [m.seed for m in models]
    return estimate(answered, target, seeds=seeds, training=training, condition=crops.get(target, ""))


def _over_six(
    target: str, models: Sequence[_Answered], whole: Estimate, training: str, crops: Mapping[str, str]
) -> Value | None:
    """Return the transfer score over the six basic emotions, None with fewer than two of them.

    Args:
        target: Dataset tested on.
        models: The models.
        whole: Their estimate over all scored classes.
        training: Names what was trained.
        crops: How faces of each target are cropped.
    """
    if set(whole.label_set) <= set(BASIC_SIX):
        return whole.values["transfer"]
    if not all(len(m.six.truth) for m in models):
        return None
    found = _estimate([m.six for m in models], target, models, training, crops)
    return found.values.get("transfer")


def _mixed_targets(records: Sequence[Record]) -> tuple[str, ...]:
    versions: dict[str, set[tuple[str, str, str]]] = {}
    for r in records:
        for name, data in r.targets.items():
            versions.setdefault(name, set()).add((data.fingerprint, data.pixels, data.recipe))
    return tuple(sorted(name for name, found in versions.items() if len(found) > 1))


def _training(records: Sequence[Record]) -> str:
    """Return what two methods must share of their training to be compared: source, folds and crops."""
    first = records[0]
    folds = sorted({r.fold for r in records})
    names = [name for name in members_of(first.dataset) if name in first.targets]
    crops = "; ".join(f"{name} {crop_way(first.targets[name].recipe)}" for name in names)
    return f"{first.dataset} {first.protocol} folds {folds} {crops}"


def crop_way(recipe: str) -> str:
    """Return how faces are cut out, without the size, in which methods may differ."""
    return re.sub(r" \d+px\b", "", recipe)


def _read(store: Store, record: Record, score: Score) -> tuple[Predictions, set[str]]:
    """Read the predictions of a score and make sure that they still give it.

    Returns:
        The predictions, and metrics that the score does not hold as they give them today.

    Raises:
        StoreError: They are absent, damaged, of another run or data, or do not give the record's score.
    """
    predictions = read_scored(store, record, score.target, score.selection)
    given = answers(predictions, score.label_set)
    if len(given.truth) != score.n or not np.isclose(uar_of_answers(given), score.uar, rtol=0, atol=1e-6):
        run = store.run_dir(record.method, record.dataset, record.key)
        file = run.predictions_file(score.target, score.selection)
        raise StoreError("the predictions do not give the record's score", file=file, value=score.uar)
    return predictions, outdated_metrics(given, score)
