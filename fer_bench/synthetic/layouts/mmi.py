"""The synthetic MMI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from fer_bench.emotions import BASIC_SIX, Emotion
from fer_bench.synthetic.anatomy import FACE_AUS
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES, Expression, at_strength
from fer_bench.synthetic.layouts.casting import Counts, Recording, deal, planted, swell
from fer_bench.synthetic.layouts.files import save, save_video, write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import DrawingJob, Plan, Size
from fer_bench.synthetic.population import Population, with_cloth
from fer_bench.synthetic.shots import arrange, shoot
from fer_bench.synthetic.truth import Box, FaceTruth, face_row

_CODES = {
    Emotion(name): code
    for code, name in enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise"), start=1)
}
_COUNTS: dict[Size, Counts] = {
    "tiny": dict.fromkeys(_CODES, 3),
    "quick": dict(zip(_CODES, (36, 36, 34, 42, 36, 40), strict=True)),
    "full": dict(zip(_CODES, (31, 32, 28, 42, 32, 40), strict=True)),
}
_PEOPLE: dict[Size, int] = {"tiny": 6, "quick": 44, "full": 31}
_FRAMES: dict[Size, tuple[int, int]] = {"tiny": (8, 10), "quick": (12, 17), "full": (40, 80)}
_OTHER: dict[Size, dict[str, int]] = {
    "tiny": {"profile": 1, "dual": 1, "unscored": 2, "still": 1},
    "quick": {"profile": 3, "dual": 3, "unscored": 6, "still": 2},
    "full": {"profile": 4, "dual": 4, "unscored": 113, "still": 8},
}
_SIDEWAYS = 1 / 6


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan MMI: onset-apex-offset clips in numbered sessions, some stored sideways or in other views."""
    rng = population.rng("plan")
    people = _PEOPLE[size]
    ids = np.sort(rng.choice(np.arange(1, 200), people, replace=False))
    hands = deal(_COUNTS[size], people, rng)
    clips: list[tuple[int, Emotion, int, str]] = []
    for person, hand in enumerate(hands):
        clips += [(person, emotion, _CODES[emotion], "frontal") for emotion in hand]
    frontal = len(clips)
    for view, count in _OTHER[size].items():
        for i in range(count):
            emotion = BASIC_SIX[int(rng.integers(6))]
            code = _CODES[emotion]
            if view == "unscored":  # not one of the six, or no emotion tag at all
                code = int(rng.integers(7, 13)) if i % 2 else 0
            clips.append((int(rng.integers(people)), emotion, code, view))
    turned = planted(frontal, _SIDEWAYS, rng, least=1)
    day = "2019-05-07_10_22_41" if population.name == "benchmark" else "2020-02-11_16_05_09"
    sessions = root / f"mmi-facial-expression-database_download_{day}" / "Sessions"
    session_ids = rng.choice(np.arange(1, 3000), len(clips), replace=False)
    taken: dict[int, int] = {}
    jobs = []
    for serial, (person, emotion, code, view) in enumerate(clips):
        taken[person] = taken.get(person, 0) + int(rng.integers(1, 4))
        low, high = _FRAMES[size]
        frames = int(rng.integers(low, high))
        stem = f"S{ids[person]:03d}-{taken[person]:03d}"
        folder = sessions / str(session_ids[serial])
        if view == "still":
            frames = 1
        what = Recording(person, emotion, frames, serial)
        clip = _Clip(folder.relative_to(root).as_posix(), stem, code, view, serial in turned)
        jobs.append(DrawingJob(frames, partial(_draw_clip, root, population, what, clip)))
    return Plan(jobs)


@dataclass(frozen=True)
class _Clip:
    """Where a clip is stored and how it is described; code 0 is a clip without an emotion tag."""

    folder: str
    stem: str
    code: int
    view: str
    turned: bool


def _draw_clip(root: Path, population: Population, what: Recording, clip: _Clip) -> JobResult:
    view, stem, folder = clip.view, clip.stem, root / clip.folder
    number, emotion, frames, serial = what.person, what.emotion, what.frames, what.serial
    rng = population.rng("clip", serial)
    camera = camera_of(population)
    person = with_cloth(population.person(number), population.rng("cloth", number, serial % 2))
    expression = person.express(rng, emotion, STYLES["mmi"])
    sideways = view == "profile" or clip.turned
    size = {"dual": (576, 360)}.get(view, (720, 576) if sideways else (480, 640))
    scene = arrange(camera, size, rng)
    if view == "profile":
        scene = replace(scene, pose=replace(scene.pose, yaw=48.0))
    shares, first, last = (np.ones(1), 0, 0) if view == "still" else swell(frames)
    label = emotion if clip.code in _CODES.values() else None
    subject, path = stem.split("-")[0], f"{clip.folder}/{stem}.{'jpg' if view == 'still' else 'avi'}"
    pictures, truth = [], []
    for i, share in enumerate(shares):
        au = at_strength(person.rest, expression.au, float(share))
        shots = [(scene, shoot(camera, scene, person.identity, au, rng))]
        if view == "dual":
            turned = replace(scene, pose=replace(scene.pose, yaw=48.0 if serial % 2 else -48.0))
            shots.append((turned, shoot(camera, turned, person.identity, au, rng)))
        shots = shots if serial % 2 else shots[::-1]
        for place, (seen, shot) in enumerate(shots):
            face = FaceTruth(person, expression, au, seen, shot.pose, float(share))
            box = None if view != "dual" else _moved(shot.box, 360 * place)
            frame = -1 if view == "still" else i
            truth.append(face_row(face, path, label, subject=subject, frame=frame, box=box))
        pictures.append(np.hstack([shot.picture for _, shot in shots]))
    if sideways:
        turn = cv2.ROTATE_90_CLOCKWISE if view == "profile" else cv2.ROTATE_90_COUNTERCLOCKWISE
        pictures = [np.asarray(cv2.rotate(picture, turn), np.uint8) for picture in pictures]
    if view == "still":
        save(folder / f"{stem}.jpg", pictures[0])
    else:
        save_video(folder / f"{stem}.avi", pictures, rate=24.0)
    write_lines(folder / "session.xml", _session_xml({"profile": 1, "dual": 2}.get(view, 0), stem))
    write_lines(folder / f"{stem}.xml", _clip_xml(stem, number, clip.code))
    if view != "still" and rng.random() < 0.4:
        write_lines(folder / f"{stem}-oao_aucs.xml", _oao_xml(expression, frames, first, last))
    return JobResult(truth=truth)


def _moved(box: Box, right: float) -> Box:
    return box[0] + right, box[1], box[2] + right, box[3]


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
        *([f'  <Metatag Name="Emotion" Value="{code}"/>'] if code else []),
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
