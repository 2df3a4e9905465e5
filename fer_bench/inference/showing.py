"""What a call shows of its predictions besides the table: a gallery, plots over time, annotated videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fer_bench.errors import DataError, UsageError, counted
from fer_bench.inference.annotate import annotate_video
from fer_bench.inference.gallery import MOST, Gallery, Maps
from fer_bench.inference.inputs import Inputs, Item, unique_stems
from fer_bench.inference.predictor import Predictor
from fer_bench.inference.timeline import write_timeline

PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Showing:
    """What is shown, and where it is written.

    Attributes:
        gallery: HTML page of faces.
        blur: Whether its faces are made unrecognisable.
        most: Faces on it at most.
        plot: PNG of a video's probabilities over time, or a folder for those of several.
        annotate: MP4 of a video with answers drawn into it, or a folder for several.
        maps: Pictures that explain the answers in the gallery.
    """

    gallery: Path | None = None
    blur: bool = False
    most: int = MOST
    plot: Path | None = None
    annotate: Path | None = None
    maps: Maps | None = None

    def check(self, inputs: Inputs) -> None:
        """Refuse what could not be shown, before anything is predicted.

        Raises:
            UsageError: A camera, a plot without a video, one file for several videos, a file of another kind,
                or a file that is predicted itself.
        """
        if self.blur and self.gallery is None:
            problem = "only the faces of a gallery can be blurred"
            raise UsageError(problem, value="--blur", hint="--gallery FILE")
        wanted = {"--gallery": self.gallery, "--plot": self.plot, "--annotate": self.annotate}
        given = {option: file for option, file in wanted.items() if file is not None}
        if given and inputs.cameras:
            raise UsageError(
                "what a camera sees is not kept, so it cannot be shown",
                value=", ".join(given),
                hint="record a video first, and predict that",
            )
        if self.gallery is not None and self.gallery.suffix.casefold() not in PAGES:
            problem = "a gallery is an HTML page"
            raise UsageError(problem, value=f"--gallery {self.gallery}", hint="--gallery faces.html")
        for option, place, ending in (("--plot", self.plot, ".png"), ("--annotate", self.annotate, ".mp4")):
            if place is None:
                continue
            videos = [item for item in inputs.items if item.kind == "video"]
            if not videos:
                raise UsageError("none of these files is a video", value=f"{option} {place}")
            if place.suffix and (len(videos) > 1 or place.suffix.casefold() != ending):
                several = f"{len(videos)} videos need a folder" if len(videos) > 1 else ""
                problem = several or f"it is written as {ending}"
                raise UsageError(problem, value=f"{option} {place}", hint=f"{option} {place.with_suffix('')}")
        taken = {item.path.resolve() for item in inputs.items}
        for place in [self.gallery, *(file for _, file in self._of_videos(inputs))]:
            if place is not None and place.resolve() in taken:
                raise UsageError("this file is an input and would be overwritten", value=str(place))

    def write(self, predictor: Predictor, table: pd.DataFrame, inputs: Inputs) -> Iterator[str]:
        """Write everything, and yield what was written, or why it was not, one line each.

        Args:
            predictor: What predicted.
            table: The predictions.
            inputs: The files that they come from.

        Raises:
            StoreError: A file cannot be written.
            UsageError: A missing package.
        """
        card = predictor.card
        if self.gallery is not None:
            page = Gallery(card, predictor.finder, self.blur, self.most, self.maps)
            count = page.write(table, inputs.items, self.gallery)
            yield f"wrote {self.gallery}: {counted(count, 'face')}"
        for item, place in self._of_videos(inputs):
            try:
                if place.suffix == ".png":
                    write_timeline(table, item.name, card, place)
                else:
                    annotate_video(table, item, card, place)
                yield f"wrote {place}"
            except DataError as error:
                yield f"not written: {place}: {error.message}"

    def _of_videos(self, inputs: Inputs) -> Iterator[tuple[Item, Path]]:
        """Yield each plot and annotated video: of what, and where."""
        videos = [item for item in inputs.items if item.kind == "video"]
        stems = unique_stems(videos)
        for place, ending in ((self.plot, ".png"), (self.annotate, ".mp4")):
            for item in videos if place is not None else ():
                assert place is not None
                yield item, place if place.suffix else place / f"{stems[item.name]}{ending}"
