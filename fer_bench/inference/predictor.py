"""From pictures, videos and cameras to a table of predictions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer_bench import allocator
from fer_bench.data.crops.detectors import Detector
from fer_bench.errors import UsageError
from fer_bench.files import expand_home
from fer_bench.inference.arrays import checked, placed
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.face_model import Answers, Crops, FaceModel
from fer_bench.inference.faces import FaceFinder, FacesWanted, finder_for, read_recipe
from fer_bench.inference.inputs import Item, find_inputs
from fer_bench.inference.opening import open_face_model
from fer_bench.inference.output import Output, replaces
from fer_bench.inference.pipeline import Job, Pipeline, Stages, jobs_of
from fer_bench.inference.table import Row, as_table, face_row, reason_row
from fer_bench.inference.video import Every, read_every

if TYPE_CHECKING:
    from fer_bench.inference.enrolment import Enrolment
    from fer_bench.inference.features import FeatureReader

BATCH = 64
"""Faces per call of a network."""
Progress = Callable[["Done"], None]


@dataclass(frozen=True)
class Done:
    """How far a call is.

    Attributes:
        items: Files that are finished.
        pictures: Pictures and frames that are finished.
        current: The file that is worked on.
    """

    items: int
    pictures: int
    current: str


class Predictor:
    """A trained model with all that it takes to predict pictures of one's own.

    Args:
        model: A checkpoint, a run's folder or key, an exported ONNX file, or an opened model.
        device: `auto`, `cpu` or `cuda`.
        faces: Which faces of a picture: `largest`, `best` (the detector is surest of it), `all`, or `whole`,
            which takes the pictures as crops.
        crop: How faces are cropped (`similarity+0.1`), instead of how those were that the model learned from.
        detector: What searches, instead of what searched then.
        least_score: Detector's score below which a face does not count.
        abstain_below: Top probability below which an answer is marked as abstained.
        every: Which frames of videos: `10` is every tenth, `0.5s` one each half second.
        batch_size: Faces per call of the network.
        runs_dir: The run store in which a key is looked up.
        neutral: Neutral pictures or clips for gcn, as `FILE` or `PERSON=FILE`, see
            `fer_bench.inference.enrolment`.
        features: Whether to keep what the last linear layer of a checkpoint sees, as `feature_<n>`.

    Attributes:
        model: The opened model.
        enrolment: The neutral faces of persons, None without any.
        finder: How faces are found and cropped.
        kept: Files that the last call of `write` did not repeat.

    Raises:
        UsageError: No such model or device, or an option that is not written as it should be.
        StoreError: The model cannot be read.
    """

    def __init__(
        self,
        model: str | Path | FaceModel,
        *,
        device: str = "auto",
        faces: FacesWanted = "largest",
        crop: str | None = None,
        detector: Detector | None = None,
        least_score: float = 0.0,
        abstain_below: float = 0.0,
        every: str | int = 1,
        batch_size: int = BATCH,
        runs_dir: str | Path = "runs",
        neutral: Sequence[str] = (),
        features: bool = False,
    ) -> None:
        if batch_size < 1 or not 0 <= abstain_below <= 1 or not 0 <= least_score <= 1:
            raise UsageError(
                "a batch has at least one face, and shares are from 0 to 1",
                value=f"batch_size={batch_size}, abstain_below={abstain_below}, least_score={least_score}",
            )
        allocator.keep_memory()  # each batch takes the same blocks
        if not isinstance(model, FaceModel):
            recipe = None if crop is None else read_recipe(crop)
            model = open_face_model(model, device, recipe=recipe, runs_dir=runs_dir)
        self.model = model
        self.finder = finder_for(
            model.card.recipe,
            model.card.framing,
            wanted=faces,
            crop=crop,
            detector=detector,
            least_score=least_score,
        )
        self.every: Every = read_every(str(every))
        self.enrolment = _enrolment(neutral, model, self.finder, self.every) if neutral else None
        self._reader = _reader(model, self.enrolment) if features else None
        self.abstain_below, self.batch_size = abstain_below, batch_size
        self.pipeline = Pipeline(self.finder)
        self.kept = 0

    @property
    def stages(self) -> Stages:
        """Seconds spent per stage so far."""
        return self.pipeline.stages

    @property
    def card(self) -> DeploymentCard:
        """What the model is."""
        return self.model.card

    @property
    def call(self) -> dict[str, Any]:
        """What decides the predictions of a file, as plain values."""
        return {
            "model": self.card.name,
            "weights": self.model.sha256,
            "temperature": self.card.temperature,
            "offsets": list(self.card.offsets),
            "faces": self.finder.text,
            "abstain_below": self.abstain_below,
            "every": self.every.text,
            **({} if self.enrolment is None else {"neutral": self.enrolment.document}),
            **({} if self._reader is None else {"features": self._reader.layer}),
        }

    def predict(self, what: Any) -> pd.DataFrame:
        """Predict pictures, videos or frames.

        Args:
            what: A path or several (pictures, folders, videos, patterns); a picture uint8 [H, W, 3] or
                several [N, H, W, 3], RGB; or frames, one after the other, of any source, as such arrays or as
                pairs of seconds and array.

        Returns:
            One row per face, and one with a reason for what has no face or cannot be read, see
            `fer_bench.inference.table.columns_of`.

        Raises:
            UsageError: Something else was given, or the detector is not installed.
            DataError: A path does not exist, or nothing below it can be predicted.
        """
        if isinstance(what, str | Path):
            return self._all(find_inputs([what]).items)
        if isinstance(what, np.ndarray):
            pictures = what[None] if what.ndim == 3 else what
            places: Iterator[dict[str, Any]] = ({"file": f"picture {n}"} for n in range(len(pictures)))
            return self._frames(zip(places, pictures, strict=True))
        if isinstance(what, Sequence) and what and all(isinstance(each, str | Path) for each in what):
            return self._all(find_inputs(what).items)
        if isinstance(what, Iterable):
            return self._frames(placed(what))
        raise UsageError("a path, paths, a picture or frames can be predicted", value=type(what).__name__)

    def write(
        self,
        items: Sequence[Item],
        out: str | Path,
        *,
        force: bool = False,
        on_progress: Progress | None = None,
        seconds: float | None = None,
    ) -> pd.DataFrame:
        """Predict into a file: CSV, Parquet, JSON or JSON lines, by its ending.

        Nothing is repeated: a call that was stopped goes on where it was, also within a video, and files that
        are new or changed since then are added. What a camera saw before its call was killed is written by
        the next call, which then ends.

        Args:
            items: From `find_inputs`.
            out: The file.
            force: Begin anew, whatever is there.
            on_progress: See `stream`.
            seconds: See `stream`.

        Returns:
            All predictions in the file.

        Raises:
            UsageError: An unknown ending, or what is there is of another model, other options or a camera.
            DataError: What is there is damaged, or see `stream`.
            StoreError: The file cannot be written; what was predicted before that is kept.
        """
        path = expand_home(out)
        cameras = [item for item in items if item.kind == "camera"]
        never = "what a camera saw is never added to a file"
        if cameras and path.exists() and not force and not replaces(path):
            raise UsageError(never, value=str(path), hint="--force, or another --out")
        output = Output(path, self.card, self.call, force=force)
        if any(output.next_frame(item) for item in cameras):
            output.finish(list(items), cut_off=cameras)
            said = "what the camera saw before the last call was stopped has been written now"
            raise UsageError(f"{said}, and {never}", value=str(path), hint="another --out")
        left = [item for item in items if not output.is_done(item)]
        self.kept = len(items) - len(left)
        begun = {item: output.next_frame(item) for item in left}
        try:
            for item, rows, following in self.pieces(left, on_progress, seconds=seconds, begun=begun):
                with self.stages.counted("write"):
                    output.add(item, rows, following)
        except BaseException:
            output.flush()
            raise
        with self.stages.counted("write"):
            return output.finish(list(items))

    def stream(
        self, items: Sequence[Item], on_progress: Progress | None = None, *, seconds: float | None = None
    ) -> Iterator[tuple[Item, list[Row]]]:
        """Yield each item with its rows as soon as it is finished, in the order given.

        Args:
            items: From `find_inputs`. Ctrl-C ends a camera; anything else it interrupts.
            on_progress: Called as work goes on.
            seconds: When a camera stops.

        Raises:
            DataError: A camera cannot be opened.
            DetectorError: The detector cannot be used, whatever the picture.
        """
        rows: list[Row] = []
        for item, some, following in self.pieces(items, on_progress, seconds=seconds):
            rows += some
            if following is None:
                yield item, rows
                rows = []

    def pieces(
        self,
        items: Sequence[Item],
        on_progress: Progress | None = None,
        *,
        seconds: float | None = None,
        begun: Mapping[Item, int] | None = None,
    ) -> Iterator[tuple[Item, list[Row], int | None]]:
        """Yield rows as soon as they are there, with the frame that follows; None where the item is finished.

        Args:
            items: See `stream`.
            on_progress: See `stream`.
            seconds: See `stream`.
            begun: Frames of videos before which nothing is predicted.

        Raises:
            DataError: See `stream`.
            DetectorError: See `stream`.
        """
        stop = threading.Event()
        before, finished = self.stages.pictures, 0
        rows: list[Row] = []
        watching = any(item.kind == "camera" for item in items)
        coming = jobs_of(items, self.every, begun=begun or {}, seconds=seconds, stop=stop.is_set)
        for jobs in self.pipeline.run(coming, stop if watching else None):
            for job, some in self._answered(jobs):
                item = items[job.item]
                rows += some
                if job.ending is not None:
                    if job.ending.reason is not None:
                        rows.append(reason_row({"file": item.name}, job.ending.reason))
                    finished += 1
                    yield item, rows, None
                    rows = []
            if jobs[-1].ending is None:
                yield items[jobs[-1].item], rows, int(jobs[-1].place["frame"]) + 1
                rows = []
            if on_progress is not None:
                on_progress(Done(finished, self.stages.pictures - before, items[jobs[-1].item].name))

    def _all(self, items: Sequence[Item]) -> pd.DataFrame:
        return as_table(self.card, [row for _, rows in self.stream(items) for row in rows])

    def _frames(self, frames: Iterable[tuple[Row, Any]]) -> pd.DataFrame:
        jobs = (Job(0, place, checked(image)) for place, image in frames)
        found = [rows for some in self.pipeline.run(jobs) for _, rows in self._answered(some)]
        return as_table(self.card, [row for rows in found for row in rows])

    def _answered(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Row]]]:
        """Yield each job with its rows."""
        answers, at = self._answer(jobs), 0
        for job in jobs:
            yield job, self._rows(job, answers, at)
            at += len(job.faces)

    def _answer(self, jobs: Sequence[Job]) -> Answers:
        """Return the answers for all faces of some jobs, in their order."""
        crops = [face.crop for job in jobs for face in job.faces]
        files = [str(job.place["file"]) for job in jobs for _ in job.faces]
        self.stages.pictures += sum(job.ending is None or job.path is not None for job in jobs)
        self.stages.faces += len(crops)
        size = self.batch_size
        with self.stages.counted("network"):
            parts = [
                self._answer_some(np.stack(crops[at : at + size]), files[at : at + size])
                for at in range(0, len(crops), size)
            ]
        if not parts:
            return Answers(np.empty((0, len(self.card.classes)), np.float32))
        return Answers.joined(parts)

    def _answer_some(self, crops: Crops, files: Sequence[str]) -> Answers:
        if self._reader is not None:
            return self._reader.answer(crops)
        if self.enrolment is None:
            return self.model.answer(crops)
        return self.enrolment.answer(crops, files)

    def _rows(self, job: Job, answers: Answers, at: int) -> list[Row]:
        """Return the rows of a picture or frame, whose faces begin at a position of the answers."""
        if job.reason is not None and not job.faces:
            return [reason_row(job.place, job.reason)]
        return [
            face_row(
                self.card,
                job.place,
                number,
                cropped.face,
                answers,
                at + number,
                abstain_below=self.abstain_below,
                note=job.note,
            )
            for number, cropped in enumerate(job.faces)
        ]


def _enrolment(neutral: Sequence[str], model: FaceModel, finder: FaceFinder, every: Every) -> Enrolment:
    from fer_bench.inference.enrolment import enrol  # torch is needed only for this

    return enrol(neutral, model, finder, every)


def _reader(model: FaceModel, enrolment: Enrolment | None) -> FeatureReader:
    """Return the model with its features.

    Raises:
        UsageError: It has none, or faces are compared with neutral ones.
    """
    if enrolment is not None:
        raise UsageError("features are those without a neutral picture", value="--features with --neutral")
    from fer_bench.inference.features import FeatureReader

    return FeatureReader(model)
