"""The cropped faces of Aff-Wild2: a folder of frames per video, distributed in two archives."""

from __future__ import annotations

from pathlib import Path

from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import Listing, list_folder
from fer_bench.data.reading.formats import USUAL_ENDINGS
from fer_bench.data.reading.missing import refuse_absent_videos, refuse_dangling
from fer_bench.data.reading.sequences import subfolders

PICTURES = "cropped_aligned"
"""Folder of the first archive of cropped faces."""
SECOND = "cropped_aligned_new_50_vids"
"""Folder of the second archive, with the videos of later competitions."""


def crop_folders(folder: Path) -> list[Path]:
    """Return the folders of cropped faces at or one level below a folder, the first archive first."""
    outer = [child for child in subfolders(folder) if child.name not in (PICTURES, SECOND)]
    places = [place / name for name in (PICTURES, SECOND) for place in (folder, folder / PICTURES, *outer)]
    for place in places:
        note_read(place)
    return [place for place in places if place.is_dir()]


class Crops:
    """The cropped faces on disk; each folder is listed once.

    Args:
        base: The dataset's base folder.

    Raises:
        DataError: A folder cannot be listed or leaves the base folder.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._archives = [list_folder(folder, base) for folder in crop_folders(base)]
        self._videos: dict[str, Listing | None] = {}

    def of(self, video: str, *, file: Path | None = None) -> Listing | None:
        """Return the folder of a video, None if no archive at hand has a picture of it.

        Raises:
            DataError: The folder leaves the base folder, or has links that lead nowhere.
        """
        if video not in self._videos:
            self._videos[video] = self._find(video, file)
        return self._videos[video]

    def path(self, listing: Listing, name: str) -> str:
        """Return the path of a picture relative to the base folder."""
        return f"{listing.folder.relative_to(self._base).as_posix()}/{name}"

    def refuse_absent(
        self, absent: dict[str, int], *, videos: int, frames: int, file: Path, dataset: str
    ) -> None:
        """Refuse lists with videos that have no picture at all, see `refuse_absent_videos`."""
        folder = self._archives[0].folder
        refuse_absent_videos(
            absent, videos=videos, frames=frames, file=file, folder=folder, dataset=dataset, archive=SECOND
        )

    def _find(self, video: str, file: Path | None) -> Listing | None:
        for archive in self._archives:
            if archive.has_folder(video, file=file):
                found = list_folder(archive.folder / video, self._base)
                refuse_dangling(
                    found.folder, [n for n in found.dangling if n.casefold().endswith(USUAL_ENDINGS)]
                )
                if found.pictures:
                    return found
        return None
