"""The bad habits that the audit measures, and the trainings that it takes to measure them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fer_bench.audit.rows import add_augmented, deal_frames, keep_training_rows, leak_test_rows
from fer_bench.data.card import Folds, HashSplit, Official, Protocol
from fer_bench.data.protocols import find_protocol
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import UsageError, nearest

Alter = Callable[[FaceDataset], FaceDataset]
HONEST = "honest"
"""The arm that nothing is changed in."""


@dataclass(frozen=True)
class Arm:
    """Trainings whose rows are dealt in one way.

    Attributes:
        name: Its name, and the folder of its run store.
        alter: Returns the dataset that is trained on, given the dataset and the protocol; None changes
            nothing.
        refuses: Returns why a dataset cannot be dealt so under a protocol, an empty text if it can.
    """

    name: str
    alter: Callable[[FaceDataset, Protocol], FaceDataset] | None = None
    refuses: Callable[[Protocol], str] = lambda protocol: ""

    def under(self, *, quick: bool) -> Alter | None:
        """Return what alters an opened dataset, None where nothing does.

        Args:
            quick: Whether the protocol is that of the profile `quick`.
        """
        return None if self.alter is None else partial(_altered, self.alter, quick)


def _altered(
    alter: Callable[[FaceDataset, Protocol], FaceDataset], quick: bool, dataset: FaceDataset
) -> FaceDataset:
    return alter(dataset, find_protocol(dataset.card, None, quick=quick))


def _no_folds(protocol: Protocol) -> str:
    return "" if isinstance(protocol.split, Folds) else "no folds by subject"


def _fixed_shares(protocol: Protocol) -> str:
    known = isinstance(protocol.split, Folds | Official | HashSplit)
    return "" if known else "its rows are dealt by shares of the whole, which copies would change"


def _frames(dataset: FaceDataset, protocol: Protocol) -> FaceDataset:
    return deal_frames(dataset)


def _training(dataset: FaceDataset, protocol: Protocol) -> FaceDataset:
    return keep_training_rows(dataset)


ARMS = {
    arm.name: arm
    for arm in (
        Arm(HONEST),
        Arm("frame-folds", _frames, _no_folds),
        Arm("copies-kept", partial(add_augmented, kept="with their picture"), _fixed_shares),
        Arm("copies-anywhere", partial(add_augmented, kept="anywhere"), _fixed_shares),
        Arm("leaked-test", leak_test_rows, _fixed_shares),
        Arm("no-validation", _training, _no_folds),
    )
}


@dataclass(frozen=True)
class Habit:
    """A way to report more than a method can do.

    Attributes:
        name: Name on the command line.
        title: A few words for the table.
        does: What is done here.
        arm: Trainings that have the habit.
        against: Trainings that it is compared with.
        scored: What the scoring does besides: `peek` and `last` take another checkpoint, `flip` and `bgr`
            show other pictures, `order` reads the answers in another order, `best` reports the best seed.
    """

    name: str
    title: str
    does: str
    arm: str = HONEST
    against: str = HONEST
    scored: str = ""


HABITS = {
    habit.name: habit
    for habit in (
        Habit(
            "frame-folds",
            "folds by frame",
            "frames are dealt to the folds, so that frames of one clip train and test; people should be",
            arm="frame-folds",
        ),
        Habit(
            "peek",
            "epoch chosen on the test rows",
            "the epoch with the best test UAR is reported, instead of the best on validation rows",
            scored="peek",
        ),
        Habit(
            "augment-first",
            "augmented before the split",
            "a brighter copy of every picture is dealt on its own, so that copies of test pictures train; "
            "compared with copies that stay with their picture",
            arm="copies-anywhere",
            against="copies-kept",
        ),
        Habit(
            "flip-test",
            "flip at test time",
            "answers for the picture and its mirror image are averaged",
            scored="flip",
        ),
        Habit(
            "leaked-test",
            "test pictures in training",
            "8 % of the test pictures are also training pictures, as in FER2013's private test part",
            arm="leaked-test",
        ),
        Habit(
            "bgr",
            "BGR for RGB",
            "the test pictures come with red and blue exchanged, as OpenCV reads them",
            scored="bgr",
        ),
        Habit(
            "class-order",
            "another dataset's class order",
            "outputs are read in the order of another dataset's label codes",
            scored="order",
        ),
        Habit(
            "train9",
            "no validation, last epoch",
            "all folds but the tested one train and the last epoch is reported, instead of one fold for "
            "validation; papers without validation do so",
            arm="no-validation",
            scored="last",
        ),
        Habit(
            "best-seed",
            "best of the seeds",
            "the seed with the best test UAR is reported, instead of the mean",
            scored="best",
        ),
    )
}


def chosen_habits(names: Sequence[str]) -> list[Habit]:
    """Return habits by name, all without one.

    Raises:
        UsageError: No such habit.
    """
    for name in names:
        if name not in HABITS:
            raise UsageError("unknown habit", value=name, hint=nearest(name, HABITS))
    return [habit for habit in HABITS.values() if not names or habit.name in names]


def arms_of(habits: Sequence[Habit]) -> list[Arm]:
    """Return the arms that some habits are measured with, the honest one first."""
    needed = {name for habit in habits for name in (habit.arm, habit.against)}
    return [arm for name, arm in ARMS.items() if name in needed]
