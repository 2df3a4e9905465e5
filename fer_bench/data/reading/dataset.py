"""The base class of readers: what the file of a dataset must provide."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.card import Card, Protocol
from fer_bench.data.index import NoRowsError, build_index
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.data.reading.decoder_messages import captured_messages
from fer_bench.data.reading.links import following
from fer_bench.data.reading.missing import excusing
from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.errors import DataError, DatasetNotFoundError, UsageError

if TYPE_CHECKING:
    from fer_bench.data.crops.detectors import Detector
    from fer_bench.data.crops.recipe import CropKind

SoftLabels = Literal["probability", "votes"]


class FaceDataset(ABC):
    """A dataset in its official layout: where it is, which faces it has and how to decode them.

    A subclass is one file in `fer_bench/datasets`: a `card`, `locate` and `rows`. It imports no torch, which
    takes seconds and is not needed to describe and verify data.

    Args:
        root: The data root, or the dataset's own folder.

    Raises:
        DatasetNotFoundError: The folder does not exist or does not have the dataset's official layout.
    """

    card: Card
    """Set by the class; an instance of `folder` has its own, with the classes and splits that it found."""
    folder_names: ClassVar[tuple[str, ...]] = ()
    """Further folder names, case-folded, under which people keep this dataset below a root."""
    left_out: Sequence[str] = ()
    """Notes on rows that the user left out."""
    follow_links: bool = False
    """Whether links in the dataset's folder may lead out of it."""
    keeps_index: ClassVar[bool] = False
    """Whether the index is kept in the cache. Such a reader must report with `note_read` whatever it reads by
    other means than `numbered_lines`, `list_folder` and `matching`."""
    soft_label_kinds: ClassVar[tuple[SoftLabels, ...]] = ()
    """Soft labels that `soft_labels` can make from votes; empty if faces have one label each."""
    crop: CropKind = "whole"
    """How faces are cropped, see `fer_bench.data.crops.recipe.CropRecipe`; an instance may differ."""
    margin: float | None = None
    """Margin of the crops as a share of their side, None for the recipe's default."""
    detector: Detector = "mtcnn"
    """What searches for faces where the crop needs it, see `fer_bench.data.crops.detectors`."""
    is_official: ClassVar[bool] = True
    """Whether there is an official release; the user's own pictures have none."""
    layout: str = ""
    """Which official layout is read, where their published counts differ; see `ExpectedCount`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        found = self.find(self.root)
        if found is None:
            raise self._not_found(self.root)
        self.base: Path = found
        self.notes: list[str] = []
        """What the reader tolerated (missing sequences, skipped rows), one sentence each."""
        self.warnings: list[str] = []
        """What the reader left out that may matter, one sentence each."""
        self.make_index: Callable[[], pd.DataFrame] = self.read_index
        """Returns the index for `index`; `data.packs.index_cache.keep_index` sets one that uses the cache."""

    @classmethod
    @abstractmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the base folder if `folder` itself holds this dataset's official tree, else None.

        It looks only at names (never reads labels) and accepts every known spelling. Paths in the index are
        relative to the returned folder.
        """

    @classmethod
    def is_surely(cls, base: Path) -> bool:
        """Return whether a base folder is this dataset's beyond doubt, for guesses about unnamed folders.

        Args:
            base: What `locate` returned.
        """
        return True

    @abstractmethod
    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one mapping per usable face with the columns of `fer_bench.data.index`.

        Raises:
            DataError: A file that does not follow the official format, with file, line and value.
        """

    @classmethod
    def find(cls, root: Path) -> Path | None:
        """Return the dataset's base folder, given its own folder or a root with one folder per dataset."""
        if not root.is_dir():
            return None
        own = root / cls.card.name
        if own.is_dir() and (found := cls.locate(own)) is not None:
            return found
        if (found := cls.locate(root)) is not None:
            return found
        for child in cls.named_folders(root):
            if (found := cls.locate(child)) is not None:
                return found
        return None

    @classmethod
    def named_folders(cls, root: Path) -> list[Path]:
        """Return the folders below a root that are named like this dataset, whatever they contain."""
        aliases = {cls.card.name, cls.card.title.casefold(), *cls.folder_names}
        try:
            children = sorted(root.iterdir())
        except OSError:
            return []
        return [child for child in children if child.name.casefold() in aliases and child.is_dir()]

    def read_index(self) -> pd.DataFrame:
        """Read all rows and return the validated index.

        Raises:
            DataError: The files are not as documented, or no row is usable.
        """
        with following(self.follow_links):
            try:
                return build_index(self.rows(), self.card.name)
            except NoRowsError as error:
                if not self.notes:
                    raise
                found = "\n  ".join(self.notes)
                raise NoRowsError(f"{error.message}:\n  {found}", file=self.base, hint=error.hint) from None

    @cached_property
    def index(self) -> pd.DataFrame:
        """The validated index, see `fer_bench.data.index`; read on first use."""
        try:
            with captured_messages():  # some readers decode pictures, see `data verify`
                return self.make_index()
        except DataError as error:
            if error.hint is not None:
                raise
            hint = (
                f"compare with the official layout: fer-bench data describe {self.card.name}\n"
                f"  list all faults at once: fer-bench data verify --dataset {self.card.name}"
            )
            raise DataError(
                error.message, file=error.file, line=error.line, value=error.value, hint=hint
            ) from error

    def roles(self, protocol: Protocol | str | None = None, fold: int = 1) -> NDArray[np.str_]:
        """Return the role of every row of the index: `train`, `val`, `test` or the empty string.

        Args:
            protocol: A protocol of the card or its name, None for the default.
            fold: Fold from 1.

        Raises:
            UsageError: No such protocol or fold.
            DataError: A role that the protocol needs is empty.
        """
        return assign_roles(self.index, self.card, self.protocol(protocol), fold)

    def protocol(self, given: Protocol | str | None) -> Protocol:
        """Return a protocol of the card by its name, None for the default.

        Raises:
            UsageError: No such protocol.
        """
        return given if isinstance(given, Protocol) else find_protocol(self.card, given)

    def soft_labels(self, kind: SoftLabels) -> NDArray[np.float32]:
        """Return soft labels made from votes, one per row of the index.

        Args:
            kind: `probability`: the distribution that the dataset's authors train on; `votes`: the shares of
                all votes for emotions.

        Returns:
            float32 [N, 9] in the order of `Emotion`; rows sum to one, or are zero without soft label.

        Raises:
            UsageError: The dataset has no such votes.
        """
        has = ", ".join(("none", *self.soft_label_kinds))
        raise UsageError(
            f"{self.card.title} has no votes of several people on each face; train.soft_labels can be {has}",
            value=f"train.soft_labels={kind}",
            hint="--set train.soft_labels=none; the dataset ferplus has votes for the faces of FER2013",
        )

    def leave_out(self, names: Iterable[str]) -> int:
        """Drop rows by sample id or path, and return how many.

        Args:
            names: Sample ids, and paths of pictures or folders; listed pictures may be absent.

        Raises:
            DataError: A name is neither a sample nor a path of this dataset, or nothing would be left.
        """
        wanted = {name.rstrip("/") for name in names}
        with excusing(wanted, self.base) as absent:
            index = self.index
        hit = (index["sample_id"].isin(list(wanted)) | index["path"].isin(list(wanted))).to_numpy()
        unknown = wanted - set(index["sample_id"]) - set(index["path"]) - absent
        for folder in sorted(unknown):
            below = index["path"].str.startswith(f"{folder}/").to_numpy(bool)
            if below.any():
                hit |= below
                unknown.discard(folder)
        if unknown:
            raise DataError(
                f"{self.card.name} has no such sample or file to leave out",
                value=min(unknown),
                hint=f"a new list: fer-bench data verify --dataset {self.card.name} --write-exclude FILE",
            )
        if hit.all():
            raise DataError(
                f"leaving these rows out leaves nothing of {self.card.name}",
                value=len(wanted),
                hint=f"fer-bench data verify --dataset {self.card.name}",
            )
        kept = index[~hit].reset_index(drop=True)
        lost = ~kept["reference_id"].isin(kept["sample_id"])
        kept.loc[lost, "reference_id"] = None
        self.__dict__["index"] = kept
        gone = absent - set(index["path"])
        texts = [f"{int(hit.sum())} row(s)"] * bool(hit.any())
        texts += [f"{len(gone)} absent file(s) or folder(s)"] * bool(gone)
        if texts:
            self.left_out = [f"{' and '.join(texts)} left out by name"]
            self.notes += self.left_out
        return int(hit.sum())

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Decode frames of one file, in the coordinates that boxes and landmarks use.

        Args:
            path: Path of the index, relative to `base`.
            frames: Frame numbers of that file that are wanted; `[-1]` for a picture.

        Returns:
            One RGB uint8 array [H, W, 3] per wanted frame.

        Raises:
            DataError: The file is missing or cannot be decoded.
        """
        if any(frame != -1 for frame in frames):
            raise DataError("a picture has no frames", file=self.base / path, value=list(frames))
        return [read_picture(os.path.join(self.base, path))] * len(frames)

    @classmethod
    def known_copy(cls, folder: Path) -> tuple[str, str] | None:
        """Return what a public copy in another layout is and has lost, and what to do instead.

        It is asked of folders that `locate` refuses; None for unknown ones.
        """
        return None

    @classmethod
    def _not_found(cls, root: Path) -> DataError:
        card = cls.card
        hint = f"fer-bench data describe {card.name}"
        if not root.exists():
            return DatasetNotFoundError(f"the data root for {card.name} does not exist", file=root, hint=hint)
        tree = "\n".join(f"    {entry.path}" for entry in card.tree if entry.required)
        own = next(iter(cls.named_folders(root)), None)
        for place in (root, *cls.named_folders(root)):
            if (copy := cls.known_copy(place)) is not None:
                what, todo = copy
                return DatasetNotFoundError(
                    f"this is not {card.title} in its official layout but {what}",
                    file=place,
                    hint=f"{todo}\n  {hint} says how to get the official files; as pictures of your own: "
                    f"fer-bench run --method resemotenet --dataset folder:{place}",
                )
        where = f", in this folder or in {card.name}/ below it" if own is None else " in this folder"
        return DatasetNotFoundError(
            f"{card.title} was not found here in its official layout. Expected{where}:\n{tree}\n"
            f"  The folder contains: {_content(own or root)}",
            file=own or root,
            hint=hint,
        )


def _content(folder: Path, most: int = 8) -> str:
    """Return the first names in a folder for a message; bytes that are not UTF-8 are shown as escapes."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name + ("/" if e.is_dir() else "") for e in entries)
    except OSError as error:
        return f"nothing that can be listed ({error.strerror})"
    shown = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "nothing"
