"""Train the arms of an audit and score its habits on the same rows as the honest protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import datasets
from fer_bench.audit.habits import HONEST, Habit, arms_of
from fer_bench.config import RunOptions, SweepConfig
from fer_bench.data.card import Protocol
from fer_bench.data.packs.pack import Pack
from fer_bench.data.protocols import find_protocol
from fer_bench.errors import FerBenchError, StoreError, UsageError
from fer_bench.evaluation.contributions import by_unit
from fer_bench.evaluation.estimates import estimate, uar_of_answers
from fer_bench.evaluation.intervals import Value, change, difference
from fer_bench.evaluation.statistics import Answers, Interval, find_units
from fer_bench.files import write_json
from fer_bench.inference.face_model import FaceModel
from fer_bench.inference.opening import open_face_model
from fer_bench.leaderboard.in_domain import pool
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record, Selection
from fer_bench.results.store import MARK, Store
from fer_bench.runs.sweep import PlannedSweep, Show, carry_out, open_sweep
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Announce, Workspace

AT_ONCE = 128
"""Pictures that are predicted at once."""
DRAWS = 2000
"""Draws of test units for the interval of the best seed."""
Own = list[tuple[Record, Predictions]]
"""Runs of one dataset with their answers on its test rows."""


@dataclass(frozen=True)
class Bought:
    """What a habit adds to a score.

    Attributes:
        habit: The habit.
        dataset: Trained and tested on.
        honest: UAR without the habit.
        score: UAR with it.
        gain: Difference, with an interval over test units and training seeds; over test units for `best`.
        rows: Test rows, the same with and without.
        units: People, videos or pictures that they are of.
        seeds: Seeds.
        why_not: Why it was not measured, empty if it was.
    """

    habit: Habit
    dataset: str
    honest: Value | None = None
    score: Value | None = None
    gain: Value | None = None
    rows: int = 0
    units: int = 0
    seeds: int = 0
    why_not: str = ""


class Audit:
    """The trainings of an audit of one method.

    Args:
        sweep: One method, the datasets, seeds and settings; folds and targets are the audit's.
        habits: What to measure.
        roots: Where data are.
        options: How runs are launched.
        root: Folder of the stores, one per arm, so that no board mixes them with honest runs.
        announce: Called while data are prepared.

    Raises:
        UsageError: A name or setting that does not exist, a union, or no habit that applies.
        DataError: A dataset cannot be used.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        habits: Sequence[Habit],
        roots: DataRoots,
        options: RunOptions,
        root: Path,
        announce: Announce | None = None,
    ) -> None:
        self.sweep, self.habits, self.root = sweep, list(habits), root
        base = {"targets": "none", "folds": "all"}
        honest = open_sweep(
            sweep.model_copy(update={**base, "track_peek": True}), roots, options, announce=announce
        )
        if honest.missing:
            name, why = next(iter(honest.missing.items()))
            raise UsageError(f"{name} cannot be audited: {why}", value=name, hint="fer-bench doctor")
        self.plans: dict[str, PlannedSweep] = {HONEST: honest}
        self.names = list(dict.fromkeys(run.config.dataset for run in honest.runs))
        for name in self.names:
            if len(datasets.members_of(name)) > 1:
                raise UsageError("the audit takes single datasets", value=name, hint="--dataset of a member")
        for arm in arms_of(habits):
            able = [name for name in self.names if not arm.refuses(self.protocol(name))]
            if arm.name == HONEST or not able:
                continue
            config = sweep.model_copy(update={**base, "datasets": tuple(able)})
            alter = arm.under(quick=self.profile == "quick")
            self.plans[arm.name] = open_sweep(config, roots, options, announce=announce, alter=alter)

    @property
    def workspace(self) -> Workspace:
        """The data as they are."""
        return self.plans[HONEST].workspace

    @property
    def profile(self) -> str:
        """The profile of the runs."""
        return self.plans[HONEST].runs[0].config.profile

    @property
    def kind(self) -> str:
        """Whether the data are `real` or `synthetic`."""
        return self.plans[HONEST].runs[0].data_kind

    def protocol(self, name: str) -> Protocol:
        """Return the protocol under which a dataset is trained on and tested."""
        return find_protocol(self.workspace.source(name).dataset.card, None, quick=self.profile == "quick")

    def store(self, arm: str) -> Store:
        """Return the store of an arm."""
        return Store(self.root / arm)

    def train(self, show: Show | None = None) -> None:
        """Bring every run to its end; what is finished is not repeated.

        Args:
            show: Displays the runs that start.

        Raises:
            FerBenchError: A run did not end well; the others are kept.
        """
        for name, planned in self.plans.items():
            store = self.store(name)
            store.root.mkdir(parents=True, exist_ok=True)
            if name != HONEST:
                write_json(store.root / MARK, {"why": f"trained for the protocol audit with {name}"})
            result = carry_out(planned, store, show=show)
            for bad in result.bad_endings:
                raise FerBenchError(
                    f"a run of the audit is {bad.status}: {bad.run.name}: {bad.message}",
                    file=bad.folder.log_file,
                    hint="the same command goes on after the cause is mended",
                )

    def measure(self, device: str = "auto") -> list[Bought]:
        """Score every habit on every dataset, in the order of both.

        Args:
            device: Where pictures are predicted again: `auto`, `cpu` or `cuda`.

        Raises:
            StoreError: A record or predictions are damaged.
        """
        found = []
        for name in self.names:
            own: dict[tuple[str, Selection | None], Own] = {}
            for habit in self.habits:
                refused = [why for arm in arms_of([habit]) if (why := arm.refuses(self.protocol(name)))]
                if refused:
                    found.append(Bought(habit, name, why_not=refused[0]))
                else:
                    found.append(self._bought(habit, name, own, device))
        return found

    def _bought(
        self, habit: Habit, name: str, known: dict[tuple[str, Selection | None], Own], device: str
    ) -> Bought:
        def of(arm: str, selection: Selection | None = None) -> Own:
            if (arm, selection) not in known:
                known[arm, selection] = self._answers(arm, name, selection)
            return known[arm, selection]

        honest, seeds = of(habit.against), len(self.sweep.seeds)
        classes = honest[0][0].classes
        if habit.scored == "best":
            if seeds < 2:
                return Bought(habit, name, why_not="one seed")
            return _best_seed(habit, name, pool(honest, classes))
        if habit.scored == "peek":
            with_habit = of(habit.arm, "peek")
        elif habit.scored in ("flip", "bgr"):
            with_habit = [(r, self._shown(r, p, habit.scored, device)) for r, p in honest]
        elif habit.scored == "order":
            order = foreign_order(name, classes)
            if order is None:
                return Bought(habit, name, why_not="no other dataset has its classes in another order")
            with_habit = [(r, reordered(p, order)) for r, p in honest]
        else:
            with_habit = of(habit.arm)
        before = pool(honest, classes)
        after = pool(with_habit, classes)
        one, two = (estimate(list(given.values()), name, seeds=list(given)) for given in (before, after))
        # The same weights, or a neighbouring epoch of the same training, share what the seed does.
        apart = change if habit.arm == habit.against else difference
        gain = apart(two.values["uar"], one.values["uar"])
        return Bought(habit, name, one.values["uar"], two.values["uar"], gain, one.n, one.units, len(before))

    def _answers(self, arm: str, name: str, selection: Selection | None) -> Own:
        """Return runs with their answers on the rows of the dataset as it is, with its units."""
        store, planned = self.store(arm), self.plans[arm]
        dataset = self.workspace.source(name).dataset
        units = dict(
            zip(
                dataset.index["sample_id"],
                dataset.index["subject" if dataset.card.unit == "subject" else "group"],
                strict=True,
            )
        )
        found: Own = []
        for run in planned.runs:
            if run.config.dataset != name:
                continue
            record = run.folder(store).read_record()
            if record is None or record.status != "done":
                raise StoreError("a run of the audit is not finished", file=run.folder(store).path)
            predictions = store.predictions(record, name, selection or record.headline)
            frame = predictions.frame
            frame = frame[frame["sample_id"].isin(list(units))].reset_index(drop=True)
            frame["unit"] = frame["sample_id"].map(units)
            found.append((record, replace(predictions, frame=frame)))
        return found

    def _shown(self, record: Record, predictions: Predictions, how: str, device: str) -> Predictions:
        """Return the answers of a run's checkpoint for its test pictures, shown in another way."""
        store = self.store(HONEST)
        model = open_face_model(store.run_dir(record.method, record.dataset, record.key).path, device)
        pack = self.workspace.pack(record.dataset, record.key_fields["crop"]["size"])
        dataset = self.workspace.source(record.dataset).dataset
        rows = pd.Index(dataset.index["sample_id"]).get_indexer(pd.Index(predictions.frame["sample_id"]))
        logits = shown_logits(model, pack, rows.astype(np.int64), how)
        frame = predictions.frame.copy()
        for at, name in enumerate(predictions.meta.classes):
            frame[f"logit_{name}"] = logits[:, at]
        return replace(predictions, frame=frame)


def shown_logits(model: FaceModel, pack: Pack, rows: NDArray[np.int64], how: str) -> NDArray[np.float32]:
    """Return the logits of crops that are shown in another way, float32 [n, K].

    Args:
        model: The model.
        pack: The crops.
        rows: Their index positions [n].
        how: `flip`: the mean over a crop and its mirror image; `bgr`: red and blue exchanged.
    """
    parts: list[NDArray[np.float32]] = []
    for start in range(0, len(rows), AT_ONCE):
        crops = np.asarray(pack.pixels[rows[start : start + AT_ONCE]])
        if how == "bgr":
            parts.append(model.answer(np.ascontiguousarray(crops[..., ::-1])).logits)
        else:
            mirrored = model.answer(np.ascontiguousarray(crops[:, :, ::-1])).logits
            parts.append((model.answer(crops).logits + mirrored) / np.float32(2))
    return np.concatenate(parts)


def foreign_order(name: str, classes: Sequence[str]) -> tuple[str, list[int]] | None:
    """Return another dataset with other label codes, and which class each output then stands for.

    Args:
        name: The dataset trained on.
        classes: Its classes, in the order of its label codes.

    Returns:
        The other dataset and, for every output, the position of the class that it is read as; None where all
        other datasets of the board have these classes in the same order.
    """
    own = _by_code(name, classes)
    for other in datasets.MAIN_SEVEN:
        theirs = _by_code(other, classes)
        if other != name and len(theirs) == len(own) and theirs != own:
            read_as = dict(zip(own, theirs, strict=True))
            return other, [list(classes).index(read_as[one]) for one in classes]
    return None


def _by_code(name: str, classes: Sequence[str]) -> list[str]:
    """Return those of some classes that a dataset has, in the order of its own classes."""
    natives = (native.emotion for native in datasets.get(name).card.classes)
    return [one.value for one in dict.fromkeys(natives) if one is not None and one.value in classes]


def reordered(predictions: Predictions, order: tuple[str, list[int]]) -> Predictions:
    """Return answers that are read in the class order of another dataset; see `foreign_order`."""
    classes, frame = predictions.meta.classes, predictions.frame.copy()
    for at, read_as in enumerate(order[1]):
        frame[f"logit_{classes[read_as]}"] = predictions.frame[f"logit_{classes[at]}"].to_numpy()
    return replace(predictions, frame=frame)


def _best_seed(habit: Habit, name: str, pooled: Mapping[int, Answers]) -> Bought:
    """Return the best seed's UAR beside the mean, with an interval over test units for these trainings."""
    given = list(pooled.values())
    uar = [uar_of_answers(one) for one in given]
    units, k = find_units(given), len(given[0].classes)
    count = len(units.names)
    counts = [by_unit(one, unit, count, k) for one, unit in zip(given, units.of_rows, strict=True)]
    right, held = (np.stack(side) for side in zip(*counts, strict=True))  # [S, units, K]
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    with np.errstate(invalid="ignore"):
        recalls = np.einsum("du,suk->dsk", draws, right) / np.einsum("du,suk->dsk", draws, held)
    drawn = np.nanmean(recalls, axis=-1)  # [draws, S]
    low, high = np.quantile(drawn.max(axis=1) - drawn.mean(axis=1), (0.025, 0.975))
    mean, best = float(np.mean(uar)), float(np.max(uar))
    gain = Value(best - mean, Interval(float(low), float(high)))
    return Bought(
        habit, name, Value(mean, None), Value(best, None), gain, len(given[0].truth), count, len(given)
    )
