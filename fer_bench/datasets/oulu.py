"""Oulu-CASIA NIR&VIS: six expressions of 80 people under two cameras and three illuminations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    Protocol,
    Quirk,
    TreeEntry,
    fold_protocols,
    native_classes,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.notes import counted, listed
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import matching, neutral_and_peak, subfolders
from fer_bench.emotions import BASIC_SIX, LABEL_SETS, Emotion
from fer_bench.errors import DataError, nearest

_MODALITIES = ("NI", "VL")
_ILLUMINATIONS = ("Strong", "Weak", "Dark")
_CAMERAS = {"VL": "visible", "NI": "near infrared"}
_EMOTIONS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
_SUBJECTS = tuple(f"P{number:03d}" for number in range(1, 81))
_PREPROCESSED = re.compile(r"pre[ _]?process([ _]?img)?", re.IGNORECASE)


def _protocols() -> tuple[Protocol, ...]:
    """Return the visible, strongly lit protocols, and the ten folds of every other camera and light."""
    label_sets = {"6": BASIC_SIX, "7n": LABEL_SETS["7"]}
    main = fold_protocols(label_sets, variants=("VL/Strong",), contiguous=True)
    found = [p.model_copy(update={"aliases": (f"{p.name}-vl-strong",)}) for p in main]
    for camera in ("VL", "NI"):
        for light in _ILLUMINATIONS:
            if (camera, light) == ("VL", "Strong"):
                continue
            found += [
                p.model_copy(
                    update={
                        "name": f"{p.name}-{camera}-{light}".lower(),
                        "note": f"{p.note}; {_CAMERAS[camera]}, {light.lower()} light",
                    }
                )
                for p in fold_protocols(label_sets, variants=(f"{camera}/{light}",))
                if p.name.endswith("-10fold")
            ]
    return tuple(found)


CARD = Card(
    name="oulu",
    title="Oulu-CASIA",
    setting="lab",
    citation=(
        "G. Zhao, X. Huang, M. Taini, S. Z. Li and M. Pietikäinen (2011). Facial expression recognition "
        "from near-infrared videos. Image and Vision Computing. doi:10.1016/j.imavis.2011.07.002"
    ),
    licence="Signed end-user licence agreement with the University of Oulu; research only.",
    obtain=(
        "Ask the University of Oulu (CMVS) for the agreement; original and preprocessed pictures are "
        "separate archives."
    ),
    classes=native_classes(_EMOTIONS, _EMOTIONS),
    tree=(
        TreeEntry(
            "[B_OriginalImg/[B_OriginalImg/]]OriginalImg/<VL>/<Strong>/<P001>/<Anger>/<000>.jpeg",
            "frames from neutral to apex; NI and VL; Strong, Weak and Dark",
        ),
        TreeEntry(
            "PreProcess Img/<VL>_Acropped/<Strong>/<P001>/<Anger>/<000>.jpeg",
            "the licensor's face crops, read instead of OriginalImg where they exist",
            required=False,
        ),
    ),
    protocols=_protocols(),
    default_protocol="6-10fold",
    quick_protocol="6-4fold",
    counts=(
        ExpectedCount(
            split="none",
            code=None,
            unit="subjects",
            n=80,
            trust="secondary",
            source="paperswithcode dataset page quoting Zhao et al. 2011",
        ),
        ExpectedCount(
            split="none",
            code=None,
            unit="sequences",
            n=480,
            trust="inferred",
            source="80 people times 6 emotions, in each camera and illumination, so in VL/Strong",
        ),
    ),
    quirks=(
        Quirk(
            "The archive wraps OriginalImg in up to two folders B_OriginalImg: all nestings are read.",
            "code",
            "public loader",
        ),
        Quirk(
            "The preprocessed folder is spelled PreProcess Img, PreProcess_Img, PreProcessImg or "
            "PreProcess. Where it exists, its crops are read and the original pictures are not.",
            "code",
            "public loader",
        ),
        Quirk(
            "There is no neutral folder: the first frame of every sequence is its neutral face, so each "
            "person has six neutral faces.",
            "code",
            "public loaders",
        ),
        Quirk(
            "Copies lack sequences (one published list has 479 of 480): gaps are counted and named, not "
            "refused.",
            "code",
            "public loader",
        ),
        Quirk(
            "Two fold rules are in use, interleaved and contiguous, and give different numbers: both are "
            "protocols, interleaved is the default.",
            "code",
            "public loader (interleaved), SCAN-CCI-FER fold list (contiguous)",
        ),
        Quirk(
            "Near-infrared pictures are read as grey ones, replicated to three channels.",
            "code",
            "public loader",
        ),
    ),
    unit="subject",
    variant_parts=("camera", "illumination"),
    has_reference=True,
    as_target="all",
)


class OuluCASIA(FaceDataset):
    """Read Oulu-CASIA in its official layout, cropped or original.

    Every sequence of every camera and illumination present gives its last three frames with the emotion and
    its first frame as neutral (`is_neutral_frame`, no native label); all four have the first frame as
    `reference_id`, missing where the sequence has one frame only. `variant` is camera and illumination.
    """

    card = CARD
    keeps_index = True
    folder_names = ("oulu_casia", "oulucasia", "oulu-casia nir&vis", "oulu_casia_nir_vis")

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self.crop = "whole" if _cropped(self.base) else "detect"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder when it is or holds an original or a preprocessed tree, else None."""
        return folder if _cropped(folder) or _original(folder) else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of all sequences.

        Raises:
            DataError: A folder among a subject's emotions is none of the six.
        """
        tree = _cropped(self.base)
        if tree:
            left = "; the original pictures are not read" if _original(self.base) else ""
            self.notes.append(f"the preprocessed (cropped) pictures are read{left}")
        else:
            tree = _original(self.base)
        met: defaultdict[str, list[str]] = defaultdict(list)
        for variant, folder in tree.items():
            present: set[str] = set()
            for subject in matching(folder, self.base, r"P\d{3}", folders=True):
                for emotion in self._emotions(folder / subject.string):
                    sequence = f"{subject.string}/{emotion}"
                    present.add(sequence)
                    yield from self._sequence(folder / sequence, variant, met)
            missing = [f"{s}/{e}" for s in _SUBJECTS for e in _EMOTIONS if f"{s}/{e}" not in present]
            if missing:
                expected = len(_SUBJECTS) * len(_EMOTIONS)
                self.notes.append(
                    f"{variant}: {expected - len(missing)} of {expected} sequences are there; missing: "
                    f"{listed(missing)}"
                )
        self.notes += counted(met)

    def _emotions(self, subject: Path) -> list[str]:
        names = [match.string for match in matching(subject, self.base, r"[^.].*", folders=True)]
        for name in sorted(set(names) - set(_EMOTIONS)):
            problem = "this folder is none of the six emotions"
            hint = f"{nearest(name, _EMOTIONS)}\n  fer-bench data verify --dataset oulu"
            raise_or_collect(DataError(problem, file=subject / name, value=name, hint=hint))
        return [name for name in names if name in _EMOTIONS]

    def _sequence(self, folder: Path, variant: str, met: dict[str, list[str]]) -> Iterator[Mapping[str, Any]]:
        subject, emotion = folder.parts[-2:]
        sequence = f"{variant}/{subject}/{emotion}"
        # Reversed, so that of 000.jpeg and 000.jpg the official name comes last and is kept.
        files = {int(m[1]): m.string for m in reversed(matching(folder, self.base, rf"(\d{{3}}){ENDING}"))}
        if not files:
            met["emotion folders without a frame"].append(sequence)
            return
        if len(files) < 4:
            met["sequences shorter than 4 frames"].append(sequence)
        first, tail = neutral_and_peak(sorted(files))
        for number in tail if first is None else (first, *tail):
            neutral = number == first
            label = Emotion.NEUTRAL if neutral else CARD.emotion_of(emotion)
            yield {
                "sample_id": f"{sequence}/{number:03d}",
                "path": (folder / files[number]).relative_to(self.base).as_posix(),
                "native_label": None if neutral else emotion,
                "label": label,
                "subject": subject,
                "sequence": sequence,
                "group": subject,
                "variant": variant,
                "is_neutral_frame": neutral,
                "reference_id": None if first is None else f"{sequence}/{first:03d}",
            }


def _original(folder: Path) -> dict[str, Path]:
    """Return the illumination folders of the original tree by variant, such as `VL/Strong`."""
    inner = folder / "B_OriginalImg"
    for place in (
        folder,
        folder / "OriginalImg",
        inner / "OriginalImg",
        inner / "B_OriginalImg" / "OriginalImg",
    ):
        if found := _variants(place, ""):
            return found
    return {}


def _cropped(folder: Path) -> dict[str, Path]:
    """Return the illumination folders of the preprocessed tree by variant, under any spelling of its name."""
    spelled = [child for child in subfolders(folder) if _PREPROCESSED.fullmatch(child.name)]
    for place in (folder, *spelled):
        if found := _variants(place, "_Acropped"):
            return found
    return {}


def _variants(place: Path, ending: str) -> dict[str, Path]:
    candidates = {f"{m}/{i}": place / f"{m}{ending}" / i for m in _MODALITIES for i in _ILLUMINATIONS}
    for folder in candidates.values():
        note_read(folder)
    return {v: folder for v, folder in candidates.items() if folder.is_dir() and any(subfolders(folder))}
