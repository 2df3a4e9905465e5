"""Synthetic datasets on disk, each in the official layout of the real one.

One function per dataset plans its files as independent tasks; `write` runs them, in one process or several,
and puts the finished folder in place. Identifiers, splits and labels are made up by the generator; only the
form of files and names, and the quirks that trip up readers, follow the originals.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import BASIC_SIX, LABEL_SETS, Emotion
from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.face import FACE_AUS, Picture, Pose
from fer_bench.synthetic.population import (
    STYLES,
    Expression,
    Person,
    Population,
    PopulationName,
    at_strength,
    behind_label,
    coded_units,
    valence_arousal,
    votes,
    with_cloth,
)
from fer_bench.synthetic.shots import Shot, arrange, backdrop, shoot, without_colour

Size = Literal["tiny", "quick", "full"]
SIZES: tuple[Size, ...] = ("tiny", "quick", "full")
MARKER = "synthetic.json"
NOTICE = "SYNTHETIC.txt"

Array = NDArray[np.float64]
Counts = Mapping[Emotion, int]
Rng = np.random.Generator


@dataclass(frozen=True)
class Task:
    """A part of a dataset that can be written on its own.

    Attributes:
        pictures: Number of pictures it draws.
        run: Writes them and returns the lines that belong into the dataset's lists.
    """

    pictures: int
    run: Callable[[], list[str]]


@dataclass(frozen=True)
class Plan:
    """All tasks of a dataset and what is written when they are done.

    Attributes:
        tasks: Independent of each other and of their order.
        finish: Writes the lists from the lines of every task, in the order of the tasks.
    """

    tasks: Sequence[Task]
    finish: Callable[[list[list[str]]], None] = lambda lines: None


Writer = Callable[[Path, Population, Size], Plan]


# --- The frame: tasks, processes, marker


def names() -> tuple[str, ...]:
    """Return the datasets that can be written."""
    return tuple(_WRITERS)


def write(
    dataset: str,
    out: Path,
    *,
    size: Size = "quick",
    population: PopulationName = "benchmark",
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a synthetic dataset and return its folder `out/<dataset>`.

    The folder appears complete or not at all. One that was written with the same version, size, population
    and seed is left as it is; another synthetic one is replaced; a folder without the marker is not touched.

    Args:
        dataset: One of `names()`.
        out: Data root to write into; created if missing.
        size: `tiny` (tests), `quick` (minutes on a CPU) or `full` (counts in the order of the real ones).
        population: `benchmark`, or `development` with other people and cameras.
        seed: Seed of everything.
        jobs: Number of processes; the bytes do not depend on it.
        progress: Called with (pictures drawn, pictures in all).

    Raises:
        UsageError: No such dataset or size.
        DataError: The folder holds something that is not a synthetic dataset, or cannot be written.
    """
    if dataset not in _WRITERS:
        raise UsageError(
            "no synthetic version of this dataset", value=dataset, hint=nearest(dataset, names())
        )
    if size not in SIZES:
        raise UsageError("unknown size", value=size, hint=nearest(size, SIZES))
    target = Path(out) / dataset
    marker = {
        "synthetic": True,
        "generator_version": GENERATOR_VERSION,
        "dataset": dataset,
        "size": size,
        "population": population,
        "seed": seed,
    }
    if _is_current(target, marker):
        return target
    scratch = target.with_name(f".{dataset}.{os.getpid()}.partial")
    _sweep(scratch)
    try:
        scratch.mkdir(parents=True)
        plan = _WRITERS[dataset](scratch, Population(dataset, population, seed), size)
        plan.finish(_run(plan.tasks, jobs, progress))
        _mark(scratch, marker)
        _put_in_place(scratch, target, marker)
    except OSError as error:
        raise DataError(f"the synthetic data cannot be written: {error.strerror}", file=target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _sweep(scratch: Path) -> None:
    """Remove a leftover of this process number, and what killed writers left more than a day ago."""
    shutil.rmtree(scratch, ignore_errors=True)
    for leftover in scratch.parent.glob(f".{scratch.name.split('.')[1]}.*.partial*"):
        if time.time() - leftover.stat().st_mtime > 86400:
            shutil.rmtree(leftover, ignore_errors=True)


def read_marker(folder: Path) -> dict[str, Any] | None:
    """Return the marker of a synthetic dataset folder, or None when the folder has none."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("synthetic") is True else None


def _is_current(target: Path, marker: dict[str, Any]) -> bool:
    if not target.exists():
        return False
    found = read_marker(target)
    if found is None:
        raise DataError(
            "this folder holds no synthetic data and is left alone",
            file=target,
            hint="choose another output folder",
        )
    return found == marker


def _mark(folder: Path, marker: dict[str, Any]) -> None:
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    (folder / NOTICE).write_text(
        f"SYNTHETIC DATA. Every face in this folder was drawn by fer-bench (generator version "
        f"{marker['generator_version']}, size {marker['size']}, population {marker['population']}, seed "
        f"{marker['seed']}).\nOnly the layout of the files is that of {marker['dataset']}; none of it is "
        "from the real dataset,\nand results on it say nothing about results on the real one.\n",
        encoding="utf-8",
    )


def _put_in_place(scratch: Path, target: Path, marker: dict[str, Any]) -> None:
    if target.exists():
        outdated = scratch.with_name(f"{scratch.name}.old")
        os.rename(target, outdated)
        shutil.rmtree(outdated, ignore_errors=True)
    try:
        os.rename(scratch, target)
    except OSError:
        # Another process may have put the same data there in the meantime, which is as good.
        if read_marker(target) != marker:
            raise


_adopted: Sequence[Task] = ()


def _adopt(tasks: Sequence[Task]) -> None:
    global _adopted
    _adopted = tasks
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive a fork.


def _run_adopted(number: int) -> list[str]:
    return _adopted[number].run()


def _run(tasks: Sequence[Task], jobs: int, progress: Callable[[int, int], None] | None) -> list[list[str]]:
    total, done = sum(task.pictures for task in tasks), 0
    results: list[list[str]] = []

    def note(lines: list[str]) -> None:
        nonlocal done
        done += tasks[len(results)].pictures
        results.append(lines)
        if progress is not None:
            progress(done, total)

    if jobs <= 1 or len(tasks) < 2:
        for task in tasks:
            note(task.run())
        return results
    # Forked workers inherit the tasks, which are closures and could not be pickled.
    context = multiprocessing.get_context("fork")
    with context.Pool(min(jobs, len(tasks)), initializer=_adopt, initargs=(tasks,)) as pool:
        for lines in pool.imap(_run_adopted, range(len(tasks))):
            note(lines)
    return results


# --- Files


# On noisy pictures Huffman coding of horizontal differences is several times as fast as the default.
_PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB),
]


def _save(file: Path, picture: Picture, *, quality: int = 92, grey: bool = False) -> None:
    """Write an RGB picture as its suffix says; `grey` keeps one channel."""
    data = picture[:, :, 0] if grey else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    png = file.suffix == ".png"
    options = _PNG_OPTIONS if png else [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".png" if png else ".jpg", data, options)
    file.write_bytes(encoded.tobytes())


def _save_video(file: Path, frames: Sequence[Picture], *, rate: float) -> None:
    """Write RGB frames as a motion JPEG in an AVI container."""
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(file), cv2.CAP_OPENCV_MJPEG, code, rate, (width, height))
    if not writer.isOpened():
        raise DataError("the video cannot be opened for writing", file=file)
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 85)
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def _write_lines(file: Path, lines: Sequence[str], *, final_newline: bool = True) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + ("\n" if final_newline else ""), encoding="utf-8")


def _scientific(values: Sequence[float]) -> str:
    return "".join(f"   {value:.7e}" for value in values)


# --- Who shows what


@dataclass(frozen=True)
class _Recording:
    """Who shows what in a sequence: person, emotion, number of frames, and the sequence's own number."""

    person: int
    emotion: Emotion
    frames: int
    serial: int


def _deal(counts: Counts, people: int, rng: Rng) -> list[list[Emotion]]:
    """Return the emotions of each person, so that nobody has one twice and all have about as many.

    Raises:
        ValueError: An emotion is wanted more often than there are people.
    """
    hands: list[list[Emotion]] = [[] for _ in range(people)]
    for emotion in sorted(counts, key=lambda e: -counts[e]):
        if counts[emotion] > people:
            raise ValueError(f"{counts[emotion]} x {emotion} for {people} people")
        luck = rng.random(people)
        order = sorted(range(people), key=lambda i: (len(hands[i]), luck[i]))
        for i in order[: counts[emotion]]:
            hands[i].append(emotion)
    return hands


def _shuffled(counts: Counts, rng: Rng) -> list[Emotion]:
    """Return every emotion as often as wanted, in random order."""
    everything = [emotion for emotion, count in counts.items() for _ in range(count)]
    return [everything[i] for i in rng.permutation(len(everything))]


def _scaled(counts: Counts, factor: float, least: int) -> dict[Emotion, int]:
    return {emotion: max(least, round(count * factor)) for emotion, count in counts.items()}


def _counts(*numbers: int, order: Sequence[Emotion] = LABEL_SETS["7"]) -> dict[Emotion, int]:
    """Return counts by emotion, given in the order of the label set."""
    return dict(zip(order, numbers, strict=True))


def _rise(frames: int) -> Array:
    """Return how much of the apex each frame of a neutral-to-apex sequence shows: 0 first, 1 last."""
    t = np.linspace(0, 1, frames)
    return np.minimum(1.0, 1.12 * t * t * (3 - 2 * t))


def _swell(frames: int) -> tuple[Array, int, int]:
    """Return the shares of an onset-apex-offset clip and the first and last frame (from 0) of the apex."""
    first, last = max(1, round(0.38 * frames)), min(frames - 2, round(0.66 * frames))
    t = np.arange(frames)
    rise, fall = np.clip(t / first, 0, 1), np.clip((frames - 1 - t) / (frames - 1 - last), 0, 1)
    ramp = np.minimum(rise, fall)
    return ramp * ramp * (3 - 2 * ramp), first, last


# --- CK+

_CK_ORDER = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_CK_CODES = {Emotion(name): code for code, name in enumerate(_CK_ORDER, start=1)}
_CK_COUNTS: dict[Size, Counts] = {
    "tiny": dict.fromkeys(_CK_CODES, 2),
    "quick": dict(zip(_CK_CODES, (24, 12, 31, 14, 36, 15, 44), strict=True)),
    "full": dict(zip(_CK_CODES, (45, 18, 59, 25, 69, 28, 83), strict=True)),
}
_CK_PEOPLE: dict[Size, tuple[int, int, int]] = {"tiny": (6, 1, 1), "quick": (44, 2, 8), "full": (118, 5, 256)}
_CK_FRAMES: dict[Size, tuple[int, int]] = {"tiny": (4, 6), "quick": (5, 8), "full": (10, 30)}


def ckplus(root: Path, population: Population, size: Size) -> Plan:
    """Plan CK+: png sequences from neutral to apex, landmarks, FACS codes, emotions of a part of them."""
    rng = population.rng("plan")
    labelled, unlabelled, more = _CK_PEOPLE[size]
    ids = np.sort(rng.choice(np.arange(5, 1000), labelled + unlabelled, replace=False))
    bare = set(rng.choice(labelled + unlabelled, unlabelled, replace=False).tolist())
    hands = iter(_deal(_CK_COUNTS[size], labelled, rng))
    sessions: list[tuple[int, Emotion, bool]] = []
    for person in range(labelled + unlabelled):
        shown = [(e, True) for e in next(hands)] if person not in bare else [(BASIC_SIX[person % 6], False)]
        sessions += [(person, e, has_label) for e, has_label in shown]
    for _ in range(more):
        sessions.append((int(rng.integers(labelled + unlabelled)), BASIC_SIX[int(rng.integers(6))], False))
    sessions.sort(key=lambda s: s[0])
    images = "cohn-kanade-images" if population.name == "benchmark" else "extended-cohn-kanade-images"
    tasks, session, last_person = [], 0, -1
    for number, (person, emotion, has_label) in enumerate(sessions):
        session = (session if person == last_person else 0) + int(rng.integers(1, 3))
        last_person = person
        low, high = _CK_FRAMES[size]
        frames = int(rng.integers(low, high))
        where = (f"S{ids[person]:03d}", f"{session:03d}")
        label = _CK_CODES[emotion] if has_label else None
        what = _Recording(person, emotion, frames, number)
        tasks.append(Task(frames, _ck_sequence(root, images, population, what, where, label)))
    return Plan(tasks)


def _ck_sequence(
    root: Path,
    images: str,
    population: Population,
    what: _Recording,
    where: tuple[str, str],
    label: int | None,
) -> Callable[[], list[str]]:
    def run() -> list[str]:
        number, emotion, frames, serial = what.person, what.emotion, what.frames, what.serial
        rng = population.rng("sequence", serial)
        camera = camera_of(population)
        person = population.person(number)
        size = (490, 640) if population.rng("format", number).random() < 0.7 else (480, 640)
        scene = arrange(camera, size, rng)
        expression = person.express(rng, emotion, STYLES["ckplus"])
        folders = {
            kind: root / kind / where[0] / where[1] for kind in (images, "Landmarks", "FACS", "Emotion")
        }
        for kind, folder in folders.items():
            # Unlabelled sequences have an empty emotion folder or none at all.
            if kind != "Emotion" or label is not None or serial % 2:
                folder.mkdir(parents=True, exist_ok=True)
        stem = ""
        for i, share in enumerate(_rise(frames), start=1):
            stem = f"{where[0]}_{where[1]}_{i:08d}"
            shot = shoot(
                camera, scene, person.identity, at_strength(person.rest, expression.au, float(share)), rng
            )
            _save(folders[images] / f"{stem}.png", shot.picture, grey=scene.grey)
            points = shot.landmarks + rng.normal(0, 0.4, (68, 2))
            _write_lines(
                folders["Landmarks"] / f"{stem}_landmarks.txt", [_scientific(p) for p in points.tolist()]
            )
        _write_lines(folders["FACS"] / f"{stem}_facs.txt", _facs_lines(expression, rng))
        if label is not None:
            _write_lines(folders["Emotion"] / f"{stem}_emotion.txt", [_scientific([label])])
        return []

    return run


def _facs_lines(expression: Expression, rng: Rng) -> list[str]:
    """Return one line per visible unit: its number and its intensity 1 to 5, or 0 where none was scored."""
    lines = []
    for number, level in zip(FACE_AUS, expression.au.max(axis=1), strict=True):
        if level >= 0.3:
            intensity = 0 if rng.random() < 0.25 else int(np.clip(np.ceil(level * 5), 1, 5))
            lines.append(_scientific([number, intensity]))
    return lines


# --- MMI

_MMI_CODES = {
    Emotion(name): code
    for code, name in enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise"), start=1)
}
_MMI_COUNTS: dict[Size, Counts] = {
    "tiny": dict.fromkeys(_MMI_CODES, 3),
    "quick": dict(zip(_MMI_CODES, (28, 28, 26, 34, 28, 32), strict=True)),
    "full": dict(zip(_MMI_CODES, (31, 31, 28, 31, 31, 31), strict=True)),
}
_MMI_PEOPLE: dict[Size, int] = {"tiny": 6, "quick": 44, "full": 31}
_MMI_FRAMES: dict[Size, tuple[int, int]] = {"tiny": (8, 10), "quick": (12, 17), "full": (40, 80)}
_MMI_OTHER: dict[Size, int] = {"tiny": 1, "quick": 3, "full": 30}


def mmi(root: Path, population: Population, size: Size) -> Plan:
    """Plan MMI: onset-apex-offset clips in numbered sessions, some stored sideways or in other views."""
    rng = population.rng("plan")
    people = _MMI_PEOPLE[size]
    ids = np.sort(rng.choice(np.arange(1, 200), people, replace=False))
    hands = _deal(_MMI_COUNTS[size], people, rng)
    clips: list[tuple[int, Emotion, int, str]] = []
    for person, hand in enumerate(hands):
        clips += [(person, emotion, _MMI_CODES[emotion], "frontal") for emotion in hand]
    for view in ("profile", "dual", "unscored"):
        for _ in range(_MMI_OTHER[size]):
            emotion = BASIC_SIX[int(rng.integers(6))]
            code = int(rng.integers(7, 13)) if view == "unscored" else _MMI_CODES[emotion]
            clips.append((int(rng.integers(people)), emotion, code, view))
    day = "2019-05-07_10_22_41" if population.name == "benchmark" else "2020-02-11_16_05_09"
    sessions = root / f"mmi-facial-expression-database_download_{day}" / "Sessions"
    session_ids = rng.choice(np.arange(1, 3000), len(clips), replace=False)
    taken: dict[int, int] = {}
    tasks = []
    for serial, (person, emotion, code, view) in enumerate(clips):
        taken[person] = taken.get(person, 0) + int(rng.integers(1, 4))
        low, high = _MMI_FRAMES[size]
        frames = int(rng.integers(low, high))
        stem = f"S{ids[person]:03d}-{taken[person]:03d}"
        folder = sessions / str(session_ids[serial])
        what = _Recording(person, emotion, frames, serial)
        tasks.append(Task(frames, _mmi_clip(folder, stem, population, what, code, view)))
    return Plan(tasks)


def _mmi_clip(
    folder: Path, stem: str, population: Population, what: _Recording, code: int, view: str
) -> Callable[[], list[str]]:
    def run() -> list[str]:
        number, emotion, frames, serial = what.person, what.emotion, what.frames, what.serial
        rng = population.rng("clip", serial)
        camera = camera_of(population)
        person = with_cloth(population.person(number), population.rng("cloth", number, serial % 2))
        expression = person.express(rng, emotion, STYLES["mmi"])
        sideways = view == "profile" or (view in ("frontal", "unscored") and serial % 6 == 2)
        size = {"dual": (576, 360)}.get(view, (720, 576) if sideways else (480, 640))
        scene = arrange(camera, size, rng)
        if view == "profile":
            scene = replace(scene, pose=replace(scene.pose, yaw=48.0))
        shares, first, last = _swell(frames)
        pictures = []
        for share in shares:
            au = at_strength(person.rest, expression.au, float(share))
            pictures.append(shoot(camera, scene, person.identity, au, rng).picture)
            if view == "dual":
                turned = replace(scene, pose=replace(scene.pose, yaw=48.0 if serial % 2 else -48.0))
                profile = shoot(camera, turned, person.identity, au, rng).picture
                pictures[-1] = np.hstack([pictures[-1], profile] if serial % 2 else [profile, pictures[-1]])
        if sideways:
            turn = cv2.ROTATE_90_CLOCKWISE if view == "profile" else cv2.ROTATE_90_COUNTERCLOCKWISE
            pictures = [np.asarray(cv2.rotate(picture, turn), np.uint8) for picture in pictures]
        folder.mkdir(parents=True)
        _save_video(folder / f"{stem}.avi", pictures, rate=24.0)
        _write_lines(folder / "session.xml", _session_xml({"profile": 1, "dual": 2}.get(view, 0), stem))
        _write_lines(folder / f"{stem}.xml", _clip_xml(stem, number, code))
        if rng.random() < 0.4:
            _write_lines(folder / f"{stem}-oao_aucs.xml", _oao_xml(expression, frames, first, last))
        return []

    return run


def _session_xml(view: int, stem: str) -> list[str]:
    return [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<session subject="{stem.split("-")[0]}">',
        f'  <track view="{view}" filename="{stem}.avi" type="video"/>',
        "</session>",
    ]


def _clip_xml(stem: str, subject: int, code: int) -> list[str]:
    return [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<Metadata>",
        f'  <Metatag Name="Subject" Value="{subject}"/>',
        f'  <Metatag Name="Recording" Value="{stem}"/>',
        f'  <Metatag Name="Emotion" Value="{code}"/>',
        "</Metadata>",
    ]


def _oao_xml(expression: Expression, frames: int, first: int, last: int) -> list[str]:
    """Return onset (1), apex (2), offset (3) and neutral (0) of every visible unit; frames count from 1."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<AnnotationFile>"]
    for number, level in zip(FACE_AUS, expression.au.max(axis=1), strict=True):
        if level >= 0.3:
            marks = ((1, 0), (2, 1), (first + 1, 2), (last + 2, 3), (frames, 0))
            lines.append(f'  <ActionUnit Number="{number}">')
            lines += [f'    <Marker Frame="{frame}" Type="{kind}"/>' for frame, kind in marks]
            lines.append("  </ActionUnit>")
    return [*lines, "</AnnotationFile>"]


# --- Oulu-CASIA

_OULU_PEOPLE: dict[Size, int] = {"tiny": 6, "quick": 44, "full": 80}
_OULU_FRAMES: dict[Size, tuple[int, int]] = {"tiny": (4, 6), "quick": (6, 9), "full": (15, 30)}
_OULU_LIGHT = {"Strong": 1.0, "Weak": 0.55, "Dark": 0.22}


def oulu(root: Path, population: Population, size: Size) -> Plan:
    """Plan Oulu-CASIA: jpeg sequences from neutral to apex, the original frames and the crops of them.

    `quick` has visible light and strong illumination only, `tiny` a little of the other conditions, `full`
    all six.
    """
    people = _OULU_PEOPLE[size]
    lost = int(population.rng("plan").integers(people))
    every = [(m, light) for m in ("VL", "NI") for light in _OULU_LIGHT]
    tasks = []
    for person in range(people):
        conditions = every if size == "full" or (size == "tiny" and person == 0) else [("VL", "Strong")]
        for modality, light in conditions:
            for which, emotion in enumerate(BASIC_SIX):
                if size == "tiny" and (modality, light) != ("VL", "Strong") and which:
                    continue
                if person == lost and which == person % 6 and size != "tiny":
                    continue  # One sequence of the collection is known to be missing.
                low, high = _OULU_FRAMES[size]
                frames = int(population.rng("length", person, which).integers(low, high))
                tasks.append(
                    Task(frames, _oulu_sequence(root, population, person, emotion, modality, light, frames))
                )

    def finish(lines: list[list[str]]) -> None:
        _write_lines(root / "PreProcess Img" / "change_log.txt", ["faces cropped from OriginalImg"])

    return Plan(tasks, finish)


def _oulu_sequence(
    root: Path, population: Population, number: int, emotion: Emotion, modality: str, light: str, frames: int
) -> Callable[[], list[str]]:
    def run() -> list[str]:
        which = BASIC_SIX.index(emotion)
        condition = (("VL", "NI").index(modality), list(_OULU_LIGHT).index(light))
        rng = population.rng("sequence", number, which, *condition)
        person = population.person(number)
        # The cameras stand side by side: all conditions of a sequence show the same expression.
        expression = person.express(population.rng("expression", number, which), emotion, STYLES["oulu"])
        camera = camera_of(population)
        if modality == "NI":
            camera = replace(camera, mode="nir", noise=(1.0, 2.5))
        scene = arrange(camera, (240, 320), rng)
        dim = _OULU_LIGHT[light] if modality == "VL" else 0.5 + 0.5 * _OULU_LIGHT[light]
        scene = replace(
            scene, gains=_times(scene.gains, dim), noise=scene.noise * (1.5 if dim < 0.5 else 1.0)
        )
        place = Path(light) / f"P{number + 1:03d}" / emotion.value.capitalize()
        original = root / "B_OriginalImg" / "OriginalImg" / modality / place
        cropped = root / "PreProcess Img" / f"{modality}_Acropped" / place
        original.mkdir(parents=True)
        cropped.mkdir(parents=True)
        window: tuple[int, int, int] | None = None
        for i, share in enumerate(_rise(frames)):
            shot = shoot(
                camera, scene, person.identity, at_strength(person.rest, expression.au, float(share)), rng
            )
            picture = np.asarray(
                cv2.convertScaleAbs(shot.picture, alpha=dim if scene.grey else 1.0), np.uint8
            )
            window = window or _crop_window(shot, picture.shape[:2], rng)
            x, y, side = window
            _save(original / f"{i:03d}.jpeg", picture, grey=scene.grey)
            _save(cropped / f"{i:03d}.jpeg", picture[y : y + side, x : x + side], grey=scene.grey)
        return []

    return run


def _times(gains: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return gains[0] * factor, gains[1] * factor, gains[2] * factor


def _crop_window(shot: Shot, shape: Sequence[int], rng: Rng) -> tuple[int, int, int]:
    """Return x, y and side of a face detector's window, a little off as they are, inside the picture."""
    x0, y0, x1, _ = shot.box
    side = min(round((x1 - x0) * float(rng.uniform(1.0, 1.12))), *shape)
    off = rng.normal(0, 0.02, 2) * side
    x = round((x0 + x1 - side) / 2 + float(off[0]))
    y = round(y0 - 0.05 * side + float(off[1]))
    return int(np.clip(x, 0, shape[1] - side)), int(np.clip(y, 0, shape[0] - side)), side


# --- RAF-DB

_RAF_ORDER = tuple(
    Emotion(e) for e in ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
)
_RAF_TRAIN = _counts(110, 60, 80, 270, 140, 80, 160, order=_RAF_ORDER)
_RAF_TEST = _counts(36, 24, 28, 84, 46, 28, 54, order=_RAF_ORDER)
_RAF_FULL_TRAIN = _counts(1290, 281, 717, 4772, 1982, 705, 2524, order=_RAF_ORDER)
_RAF_FULL_TEST = _counts(329, 74, 160, 1185, 478, 162, 680, order=_RAF_ORDER)
_RAF_COUNTS: dict[Size, tuple[Counts, Counts]] = {
    "tiny": (_scaled(_RAF_TRAIN, 0.05, 4), _scaled(_RAF_TEST, 0.05, 2)),
    "quick": (_RAF_TRAIN, _RAF_TEST),
    "full": (_RAF_FULL_TRAIN, _RAF_FULL_TEST),
}
_CHUNK = 20


def rafdb(root: Path, population: Population, size: Size) -> Plan:
    """Plan RAF-DB basic: original pictures, 100 x 100 aligned faces, attributes, boxes and the label list."""
    base = root / "basic"
    for folder in (
        "EmoLabel",
        "Image/original",
        "Image/aligned",
        "Annotation/auto",
        "Annotation/manual",
        "Annotation/boundingbox",
    ):
        (base / folder).mkdir(parents=True)
    rng = population.rng("plan")
    faces = []
    for split, counts in zip(("train", "test"), _RAF_COUNTS[size], strict=True):
        for i, label in enumerate(_shuffled(counts, rng), start=1):
            faces.append((f"train_{i:05d}" if split == "train" else f"test_{i:04d}", label))
    tasks = _chunked(faces, lambda serial, face: _raf_face(base, population, serial, *face))

    def finish(lines: list[list[str]]) -> None:
        flat = [line.split("|") for chunk in lines for line in chunk]
        _write_lines(base / "EmoLabel" / "list_patition_label.txt", [a for a, _ in flat], final_newline=False)
        _write_lines(base / "EmoLabel" / "distribution_basic.txt", [b for _, b in flat])

    return Plan(tasks, finish)


def _chunked(items: Sequence[Any], run: Callable[[int, Any], str]) -> list[Task]:
    """Return tasks of up to 20 pictures each, every picture giving one line."""

    def task(start: int) -> Task:
        part = items[start : start + _CHUNK]
        return Task(len(part), lambda: [run(start + i, item) for i, item in enumerate(part)])

    return [task(start) for start in range(0, len(items), _CHUNK)]


def _wild(population: Population, serial: int, label: Emotion) -> tuple[Rng, Person, Expression]:
    """Return chance, person and expression of a picture from the web."""
    rng = population.rng("photo", serial)
    person = population.person(serial)
    style = STYLES[population.dataset]
    return rng, person, person.express(rng, behind_label(rng, label, style), style)


def _raf_face(base: Path, population: Population, serial: int, stem: str, label: Emotion) -> str:
    rng, person, expression = _wild(population, serial, label)
    camera = camera_of(population)
    side = int(rng.integers(110, 190))
    wide = int(side * rng.uniform(1.0, 1.3))
    scene = arrange(replace(camera, face=_times2(camera.face, 0.85)), (side, wide), rng)
    shot = shoot(camera, scene, person.identity, expression.au, rng)
    points = shot.landmarks.astype(np.float64)
    five = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), *points[[30, 48, 54]]])
    five += rng.normal(0, 0.006 * side, five.shape)
    _save(base / "Image" / "original" / f"{stem}.jpg", shot.picture)
    _save(base / "Image" / "aligned" / f"{stem}_aligned.jpg", _raf_align(shot.picture, five))
    gender = 2 if rng.random() < 0.05 else ("male", "female").index(person.gender)
    race = ("caucasian", "african", "asian").index(person.race)
    age = int(np.searchsorted([4, 20, 40, 70], person.years, side="right"))
    separator = "\t" if serial % 2 else " "
    lines = [f"{x:.4f}{separator}{y:.4f}" for x, y in five.tolist()]
    _write_lines(
        base / "Annotation" / "manual" / f"{stem}_manu_attri.txt", [*lines, str(gender), str(race), str(age)]
    )
    auto = shot.landmarks[
        [*range(0, 17, 2), *range(17, 27, 2), 27, 30, 33, *range(36, 48), *range(48, 60, 2), 62, 66]
    ]
    _write_lines(
        base / "Annotation" / "auto" / f"{stem}_auto_attri.txt",
        [f"{x:.2f}\t{y:.2f}" for x, y in auto.tolist()],
    )
    low, high = np.minimum(shot.box[:2], five.min(axis=0) - 1), np.maximum(shot.box[2:], five.max(axis=0) + 1)
    edges = [*np.maximum(low, 0), min(high[0], wide), min(high[1], side)]
    _write_lines(
        base / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt", [" ".join(f"{v:.4f}" for v in edges)]
    )
    shares = votes(rng, label, expression.clarity, _RAF_ORDER)
    code = _RAF_ORDER.index(label) + 1
    return f"{stem}.jpg {code}|{stem}.jpg " + "".join(f"{share:.4f} " for share in shares)


def _times2(bounds: tuple[float, float], factor: float) -> tuple[float, float]:
    return bounds[0] * factor, bounds[1] * factor


def _raf_align(picture: Picture, five: Array) -> Picture:
    """Return the 100 x 100 face after the similarity that fits both eyes and the middle of the mouth."""
    source = np.stack([five[0], five[1], five[3:].mean(axis=0)])
    target = np.array([(31.0, 40.0), (69.0, 40.0), (50.0, 78.0)])
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    norm = float((a**2).sum())
    cosine = float((a * b).sum()) / norm
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / norm
    turn = np.array([(cosine, -sine), (sine, cosine)])
    shift = target.mean(axis=0) - turn @ source.mean(axis=0)
    matrix = np.hstack([turn, shift[:, None]])
    aligned = cv2.warpAffine(
        picture, matrix, (100, 100), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(aligned, np.uint8)


# --- AffectNet

_AFFECTNET_TRAIN = _counts(200, 230, 120, 100, 80, 70, 110, 50, order=LABEL_SETS["8"])
_AFFECTNET_COUNTS: dict[Size, tuple[Counts, Counts]] = {
    "tiny": (_scaled(_AFFECTNET_TRAIN, 0.05, 4), dict.fromkeys(LABEL_SETS["8"], 3)),
    "quick": (_AFFECTNET_TRAIN, dict.fromkeys(LABEL_SETS["8"], 40)),
    "full": (
        _counts(74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750, order=LABEL_SETS["8"]),
        dict.fromkeys(LABEL_SETS["8"], 500),
    ),
}


def affectnet7(root: Path, population: Population, size: Size) -> Plan:
    """Plan AffectNet, the layout with 224 x 224 crops and one npy file per annotation; contempt is in it."""
    rng = population.rng("plan")
    faces = []
    for split, counts in zip(("train_set", "val_set"), _AFFECTNET_COUNTS[size], strict=True):
        for folder in ("images", "annotations"):
            (root / split / folder).mkdir(parents=True)
        labels = _shuffled(counts, rng)
        # Numbers have gaps and start anew in each split.
        numbers = np.cumsum(rng.choice([1, 1, 1, 2, 5], len(labels))) - 1
        faces += [(root / split, int(number), label) for number, label in zip(numbers, labels, strict=True)]
    return Plan(_chunked(faces, lambda serial, face: _affectnet_face(population, serial, *face)))


def _affectnet_face(population: Population, serial: int, folder: Path, number: int, label: Emotion) -> str:
    rng, person, expression = _wild(population, serial, label)
    camera = camera_of(population)
    shot = shoot(camera, arrange(camera, (224, 224), rng), person.identity, expression.au, rng)
    _save(folder / "images" / f"{number}.jpg", shot.picture)
    valence, arousal = _rated(expression.au, rng, 0.08)
    values: dict[str, NDArray[Any]] = {
        "exp": np.array(str(LABEL_SETS["8"].index(label))),
        "val": np.array(f"{valence:.6f}"),
        "aro": np.array(f"{arousal:.6f}"),
        "lnd": shot.landmarks.astype(np.float64).reshape(-1),
    }
    for name, value in values.items():
        np.save(folder / "annotations" / f"{number}_{name}.npy", value, allow_pickle=False)
    return ""


def _rated(au: Array, rng: Rng, doubt: float) -> tuple[float, float]:
    """Return valence and arousal as a rater gives them, in [-1, 1]."""
    valence, arousal = np.clip(np.array(valence_arousal(au)) + rng.normal(0, doubt, 2), -1, 1)
    return float(valence), float(arousal)


# --- ExpW

_EXPW_ORDER = tuple(
    Emotion(e) for e in ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
)
_EXPW_QUICK = _counts(100, 90, 60, 350, 170, 120, 310, order=_EXPW_ORDER)
_EXPW_COUNTS: dict[Size, Counts] = {
    "tiny": _scaled(_EXPW_QUICK, 0.06, 8),
    "quick": _EXPW_QUICK,
    "full": _counts(3671, 3995, 1088, 30537, 10559, 7060, 34883, order=_EXPW_ORDER),
}
_EXPW_QUERY = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "calm")
_EXPW_ROLE = ("dancer", "teacher", "farmer", "nurse", "singer", "waiter")
_WINDOW = 130


def expw(root: Path, population: Population, size: Size) -> Plan:
    """Plan ExpW: photos with one to three faces, and one list of boxes and labels."""
    images = root / "image" / "origin"
    images.mkdir(parents=True)
    rng = population.rng("plan")
    labels = _shuffled(_EXPW_COUNTS[size], rng)
    photos: list[tuple[str, list[Emotion]]] = []
    while labels:
        count = int(rng.choice([1, 2, 3], p=[0.78, 0.16, 0.06]))
        shown, labels = labels[:count], labels[count:]
        query = _EXPW_QUERY[_EXPW_ORDER.index(shown[0])]
        photos.append(
            (
                f"{query}_{_EXPW_ROLE[int(rng.integers(6))]}_{len(photos) * 2 + int(rng.integers(2))}.jpg",
                shown,
            )
        )
    for extra in range(max(2, len(photos) // 50)):
        photos.append((f"crowd_{extra}.jpg", []))  # Photos without a line in the list exist.
    tasks = _chunked(photos, lambda serial, photo: _expw_photo(images, population, serial, *photo))

    def finish(lines: list[list[str]]) -> None:
        flat = [line for chunk in lines for text in chunk for line in text.splitlines()]
        _write_lines(root / "label" / "label.lst", flat)

    return Plan(tasks, finish)


def _expw_photo(
    images: Path, population: Population, serial: int, name: str, labels: Sequence[Emotion]
) -> str:
    rng = population.rng("layout", serial)
    camera = camera_of(population)
    places = max(1, len(labels))
    height, width = _WINDOW + int(rng.integers(10, 60)), _WINDOW * places + int(rng.integers(10, 70))
    first = arrange(camera, (_WINDOW, _WINDOW), rng)
    photo = backdrop(camera, (height, width), first.backdrop).copy()
    lines, face_id = [], 0
    for place, label in enumerate(labels or [Emotion.NEUTRAL]):
        chance, person, expression = _wild(population, 4 * serial + place, label)
        own = arrange(camera, (_WINDOW, _WINDOW), chance)
        # Faces of one photo share its light and its camera.
        scene = replace(
            own, light=first.light, gains=first.gains, gamma=first.gamma, grey=first.grey, noise=first.noise,
            coarse=first.coarse, blur=first.blur, jpeg=first.jpeg,
        )  # fmt: skip
        x, y = place * _WINDOW + int(rng.integers(0, 10)), height - _WINDOW
        region = np.ascontiguousarray(photo[y : y + _WINDOW, x : x + _WINDOW])
        shot = shoot(camera, scene, person.identity, expression.au, chance, behind=region)
        photo[y : y + _WINDOW, x : x + _WINDOW] = shot.picture
        if labels:
            face_id += int(rng.choice([0, 1, 3], p=[0.75, 0.15, 0.10]))
            top, left, right, bottom = _square(shot, x, y, height, width)
            score = float(np.clip(rng.gamma(3.0, 20.0), 0.3, 137.0))
            code = _EXPW_ORDER.index(label)
            lines.append(f"{name} {face_id} {top} {left} {right} {bottom} {score:.4f} {code}")
            face_id += 1
    if first.grey:
        photo = without_colour(photo)
    _save(images / name, photo)
    return "\n".join(lines)


def _square(shot: Shot, x: int, y: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, right, bottom of the face's square box inside a photo."""
    x0, y0, x1, _ = shot.box
    side = min(round(x1 - x0), height, width)
    left = int(np.clip(round(x0) + x, 0, width - side))
    top = int(np.clip(round(y0) + y, 0, height - side))
    return top, left, left + side, top + side


# --- Aff-Wild2

_AFFWILD_ORDER = tuple(
    Emotion(e) for e in ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
)
_AFFWILD_VIDEOS: dict[Size, tuple[tuple[int, int], tuple[int, int]]] = {
    "tiny": ((6, 10), (4, 8)),
    "quick": ((64, 15), (28, 12)),
    "full": ((240, 590), (67, 400)),
}
_AFFWILD_SEGMENT = 5


def affwild2(root: Path, population: Population, size: Size) -> Plan:
    """Plan Aff-Wild2 in the form of the ABAW4 multi-task challenge: 112 x 112 frames and two lists."""
    rng = population.rng("plan")
    numbers = iter(rng.permutation(np.arange(1, 900)).tolist())
    tasks: list[Task] = []
    train_tasks = 0
    for split, (videos, frames) in zip(("train", "val"), _AFFWILD_VIDEOS[size], strict=True):
        segments = -(-frames // _AFFWILD_SEGMENT)
        shown = [_AFFWILD_ORDER[i % 8] for i in range(videos * segments)]
        shown = [shown[i] for i in rng.permutation(len(shown))]
        stem = ""
        for video in range(videos):
            number = next(numbers)
            # Every sixth video shows a second person of the one before.
            stem = (
                f"{stem}_right"
                if video % 6 == 5
                else (f"video{number}" if video % 3 else f"{number}-30-1280x720")
            )
            part = shown[video * segments : (video + 1) * segments]
            tasks.append(
                Task(frames, _affwild_video(root, population, len(tasks), stem, part, frames, split))
            )
        train_tasks = train_tasks or len(tasks)
    header = "image,valence,arousal,expression,aus"

    def finish(lines: list[list[str]]) -> None:
        for file, part in (("training_set", lines[:train_tasks]), ("validation_set", lines[train_tasks:])):
            _write_lines(
                root / f"{file}_annotations.txt", [header, *(line for video in part for line in video)]
            )

    return Plan(tasks, finish)


def _affwild_video(
    root: Path,
    population: Population,
    serial: int,
    stem: str,
    shown: Sequence[Emotion],
    frames: int,
    split: str,
) -> Callable[[], list[str]]:
    def run() -> list[str]:
        rng = population.rng("video", serial)
        camera, style = camera_of(population), STYLES["affwild2"]
        person = population.person(serial)
        scene = arrange(camera, (112, 112), rng)
        folder = root / "cropped_aligned" / stem
        folder.mkdir(parents=True)
        apexes = [person.express(rng, behind_label(rng, emotion, style), style).au for emotion in shown]
        lines, number, au = [], 0, person.rest
        for i in range(frames):
            segment = i // _AFFWILD_SEGMENT
            number += int(rng.choice([1, 2, 6]))
            au = at_strength(au, apexes[segment], 0.7 if i % _AFFWILD_SEGMENT == 0 else 0.8)
            drift = replace(scene, pose=_drifted(scene.pose, camera.yaw, i / frames, serial))
            shot = shoot(camera, drift, person.identity, au, rng)
            if rng.random() >= 0.02:  # Frames without a detected face are listed but have no picture.
                _save(folder / f"{number:05d}.jpg", shot.picture, quality=88)
            lines.append(_affwild_line(f"{stem}/{number:05d}.jpg", shown[segment], au, rng, split))
        return lines

    return run


def _drifted(pose: Pose, spread: float, time: float, serial: int) -> Pose:
    """Return the pose as the head turns slowly through a video."""
    return replace(
        pose, yaw=float(np.clip(pose.yaw + 0.6 * spread * np.sin(2 * np.pi * time + serial), -38, 38))
    )


def _affwild_line(name: str, emotion: Emotion, au: Array, rng: Rng, split: str) -> str:
    """Return a line of the list; any of the three tasks may be unlabelled, in training also all of them."""
    has_va, has_expression, has_au = rng.random(3) < (
        (0.85, 0.78, 0.85) if split == "train" else (1.0, 0.85, 1.0)
    )
    valence, arousal = _rated(au, rng, 0.06)
    va = f"{valence:.3f},{arousal:.3f}" if has_va else str(rng.choice(["-5,-5", "-5.0,-5.0"]))
    expression = _AFFWILD_ORDER.index(emotion) if has_expression else -1
    units = coded_units(au) if has_au else np.full(12, -1)
    return ",".join([name, va, str(expression), *(str(unit) for unit in units)])


# --- FER2013

_FER_QUICK = _counts(120, 60, 120, 220, 140, 100, 140, order=_EXPW_ORDER)
_FER_COUNTS: dict[Size, tuple[Counts, Counts, Counts]] = {
    "tiny": (_scaled(_FER_QUICK, 0.06, 2), _scaled(_FER_QUICK, 0.02, 2), _scaled(_FER_QUICK, 0.02, 2)),
    "quick": (_FER_QUICK, _scaled(_FER_QUICK, 0.25, 10), _scaled(_FER_QUICK, 0.25, 10)),
    "full": (
        _counts(3995, 436, 4097, 7215, 4830, 3171, 4965, order=_EXPW_ORDER),
        _counts(467, 56, 496, 895, 653, 415, 607, order=_EXPW_ORDER),
        _counts(491, 55, 528, 879, 594, 416, 626, order=_EXPW_ORDER),
    ),
}


def fer2013(root: Path, population: Population, size: Size) -> Plan:
    """Plan FER2013: one csv file with 48 x 48 grey pixels as text."""
    rng = population.rng("plan")
    faces = []
    for usage, counts in zip(("Training", "PublicTest", "PrivateTest"), _FER_COUNTS[size], strict=True):
        faces += [(usage, label) for label in _shuffled(counts, rng)]

    def run(serial: int, face: tuple[str, Emotion]) -> str:
        usage, label = face
        chance, person, expression = _wild(population, serial, label)
        camera = camera_of(population)
        shot = shoot(camera, arrange(camera, (96, 96), chance), person.identity, expression.au, chance)
        small = np.asarray(cv2.resize(shot.picture[:, :, 0], (48, 48), interpolation=cv2.INTER_AREA))
        return f"{_EXPW_ORDER.index(label)},{' '.join(map(str, small.reshape(-1).tolist()))},{usage}"

    def finish(lines: list[list[str]]) -> None:
        rows = [line for chunk in lines for line in chunk]
        _write_lines(root / "fer2013.csv", ["emotion,pixels,Usage", *rows])

    return Plan(_chunked(faces, run), finish)


_WRITERS: dict[str, Writer] = {
    "ckplus": ckplus,
    "mmi": mmi,
    "oulu": oulu,
    "rafdb": rafdb,
    "affectnet7": affectnet7,
    "expw": expw,
    "affwild2": affwild2,
    "fer2013": fer2013,
}
