"""The cameras of the datasets: ranges of light, lens, sensor, pose and occlusion.

The datasets differ here, so that a model trained on one sees another world in the next. `shots.py` takes the
pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fer_bench.synthetic.population import Population

Range = tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """The character of a dataset's pictures.

    Lengths are relative to the picture's smaller side, angles in degrees.

    Attributes:
        face: Range of half the face width.
        centre: Position of the point between the eyes (right, down), shares of width and height.
        wander: Standard deviation of that position.
        yaw: Standard deviation of the head's turn.
        pitch: Standard deviation of the nod.
        roll: Standard deviation of the tilt.
        sway: Share of the pose's spread that changes from frame to frame of a sequence.
        light: Mean direction of the light (right, down).
        light_spread: Standard deviation of the direction.
        ambient: Range of the share of undirected light.
        strength: Range of exposure.
        relief: Visibility of wrinkles and bulges.
        mode: `colour`, `grey` or near infrared (`nir`).
        grey: Share of scenes that are grey although the camera is not.
        tint: Standard deviation of the colour channels' gains.
        warmth: Mean gain of red over blue.
        gamma: Range of the exponent of the tone curve.
        blur: Range of the blur, pixels of the drawn picture.
        noise: Range of the sensor noise, grey levels.
        coarse: Range of the share of the resolution that is kept.
        jpeg: Range of the JPEG quality of a compression before the picture reaches the dataset;
            (100, 100) = none.
        background: `plain` wall or `scene` with objects.
        brightness: Range of the background's grey level.
        occluded: Probability that something covers a part of the face.
        draw: Share of the resolution at which large frames are drawn.
    """

    face: Range = (0.28, 0.31)
    centre: Range = (0.5, 0.475)
    wander: float = 0.01
    yaw: float = 3.0
    pitch: float = 3.0
    roll: float = 2.0
    sway: float = 0.3
    light: Range = (-0.3, -0.6)
    light_spread: float = 0.2
    ambient: Range = (0.45, 0.6)
    strength: Range = (1.0, 1.1)
    relief: float = 1.0
    mode: Literal["colour", "grey", "nir"] = "colour"
    grey: float = 0.0
    tint: float = 0.03
    warmth: float = 1.0
    gamma: Range = (0.9, 1.1)
    blur: Range = (0.0, 0.4)
    noise: Range = (1.0, 3.0)
    coarse: Range = (1.0, 1.0)
    jpeg: Range = (100, 100)
    background: Literal["plain", "scene"] = "scene"
    brightness: Range = (90, 190)
    occluded: float = 0.0
    draw: float = 1.0


CAMERAS: dict[str, Camera] = {
    "ckplus": Camera(
        face=(0.235, 0.275), centre=(0.5, 0.46), wander=0.02, yaw=2.5, pitch=3.0, roll=2.0,
        light=(0.0, -0.75), light_spread=0.06, ambient=(0.54, 0.60), strength=(1.02, 1.09), relief=1.1,
        mode="colour", grey=0.85, tint=0.01, gamma=(0.96, 1.06), blur=(0.3, 0.6), noise=(1.0, 2.0),
        background="plain", brightness=(86, 104), draw=0.5,
    ),
    "mmi": Camera(
        face=(0.20, 0.24), centre=(0.5, 0.50), wander=0.02, yaw=3.0, pitch=4.0, roll=3.0,
        light=(-0.5, -0.35), light_spread=0.15, ambient=(0.38, 0.50), strength=(1.02, 1.12), relief=0.9,
        tint=0.02, warmth=1.08, gamma=(0.90, 1.04), blur=(0.3, 0.7), noise=(1.0, 2.5),
        background="plain", brightness=(120, 175), draw=0.5,
    ),
    "oulu": Camera(
        face=(0.235, 0.285), centre=(0.5, 0.47), wander=0.025, yaw=4.0, pitch=4.5, roll=3.0,
        light=(0.35, -0.45), light_spread=0.08, ambient=(0.54, 0.62), strength=(1.02, 1.12), relief=0.8,
        tint=0.015, warmth=0.94, gamma=(0.94, 1.06), blur=(0.5, 0.9), noise=(2.0, 4.0), jpeg=(70, 90),
        background="plain", brightness=(172, 194),
    ),
    "rafdb": Camera(
        face=(0.33, 0.38), centre=(0.5, 0.42), wander=0.015, yaw=14, pitch=8, roll=2.5,
        light=(0.0, -0.5), light_spread=0.6, ambient=(0.3, 0.7), strength=(0.8, 1.25), relief=0.9,
        grey=0.08, tint=0.08, gamma=(0.75, 1.35), blur=(0.0, 0.9), noise=(1.0, 5.0), coarse=(0.55, 1.0),
        jpeg=(45, 95), brightness=(20, 235), occluded=0.12,
    ),
    "affectnet7": Camera(
        face=(0.30, 0.36), centre=(0.5, 0.44), wander=0.025, yaw=10, pitch=6, roll=6, light=(0.0, -0.4),
        light_spread=0.5, ambient=(0.25, 0.7), strength=(0.75, 1.3), relief=0.85, grey=0.12, tint=0.10,
        gamma=(0.8, 1.3), blur=(0.0, 0.8), noise=(1.0, 4.0), coarse=(0.65, 1.0), jpeg=(45, 95),
        brightness=(10, 245), occluded=0.08, draw=0.5,
    ),
    "expw": Camera(
        face=(0.31, 0.38), centre=(0.5, 0.45), wander=0.03, yaw=12, pitch=7, roll=6, light=(0.0, -0.5),
        light_spread=0.5, ambient=(0.3, 0.7), strength=(0.8, 1.2), relief=0.8, grey=0.10, tint=0.09,
        warmth=1.05, gamma=(0.75, 1.35), blur=(0.0, 1.1), noise=(1.0, 5.0), coarse=(0.55, 1.0),
        jpeg=(40, 90), brightness=(20, 235), occluded=0.08,
    ),
    "affwild2": Camera(
        face=(0.41, 0.46), centre=(0.5, 0.40), wander=0.02, yaw=8, pitch=6, roll=3, sway=0.55,
        light=(0.2, -0.3), light_spread=0.5, ambient=(0.3, 0.65), strength=(0.8, 1.2), relief=0.85,
        tint=0.10, warmth=1.06, gamma=(0.8, 1.25), blur=(0.2, 0.9), noise=(1.5, 4.5), coarse=(0.6, 1.0),
        jpeg=(35, 80), brightness=(20, 220), occluded=0.06,
    ),
    "fer2013": Camera(
        face=(0.33, 0.40), centre=(0.5, 0.44), wander=0.025, yaw=14, pitch=8, roll=7, light=(0.0, -0.5),
        light_spread=0.6, ambient=(0.3, 0.7), strength=(0.8, 1.25), relief=1.0, mode="grey",
        gamma=(0.75, 1.35), blur=(0.0, 0.6), noise=(1.0, 5.0), brightness=(20, 235), occluded=0.12,
    ),
}  # fmt: skip


def camera_of(population: Population) -> Camera:
    """Return the camera of a population; the development population has a slightly different one."""
    camera = CAMERAS[population.dataset]
    if population.name == "benchmark":
        return camera
    rng = population.rng("camera")
    low, high = camera.brightness
    return replace(
        camera,
        light=(camera.light[0] + float(rng.normal(0, 0.3)), camera.light[1] + float(rng.normal(0, 0.1))),
        warmth=camera.warmth * float(rng.uniform(0.93, 1.07)),
        yaw=camera.yaw * float(rng.uniform(0.85, 1.2)),
        relief=camera.relief * float(rng.uniform(0.9, 1.1)),
        brightness=(low, low + (high - low) * float(rng.uniform(0.7, 1.0))),
    )
