"""Take pictures: `arrange` draws a scene, fixed for a sequence, from a camera; `shoot` takes a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.synthetic.anatomy import Identity, Light, Picture, Pose
from fer_bench.synthetic.camera import Camera
from fer_bench.synthetic.exact import on_grid, power, product, smooth
from fer_bench.synthetic.face import draw_face
from fer_bench.synthetic.splines import spline

Array = NDArray[np.float64]

_GRAIN = 30
_LEVELS = np.arange(256) / 255
_FINER = on_grid(np.asarray(np.kron(spline(5, 21), spline(5, 21)), np.float64))
"""Makes 21 x 21 patches of a wall out of 5 x 5."""


@dataclass(frozen=True)
class Scene:
    """One draw from a camera, the same for all frames of a sequence."""

    size: tuple[int, int]
    scale: float
    centre: tuple[float, float]
    pose: Pose
    light: Light
    gains: tuple[float, float, float]
    gamma: float
    blur: float
    noise: float
    coarse: float
    jpeg: int
    grey: bool
    occlusion: tuple[str, int] | None
    backdrop: int


@dataclass(frozen=True)
class Shot:
    """A picture taken.

    Attributes:
        picture: RGB uint8 [H, W, 3]; the three channels are equal in grey scenes.
        landmarks: 68 points in pixels, iBUG order.
        box: Face box x0, y0, x1, y1 in pixels, as a detector would draw it: brows to chin, square.
        pose: The pose drawn: the scene's with the sway of this frame.
    """

    picture: Picture
    landmarks: NDArray[np.float32]
    box: tuple[float, float, float, float]
    pose: Pose


def arrange(camera: Camera, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return a scene: everything that is fixed while a sequence is filmed.

    Args:
        camera: The camera whose ranges to draw from.
        size: Height and width of the picture.
        rng: Random generator.
    """
    short = min(size)
    aim = rng.normal(0, camera.light_spread, 2) + camera.light
    ambient, strength = float(rng.uniform(*camera.ambient)), float(rng.uniform(*camera.strength))
    grey = camera.mode != "colour" or bool(rng.random() < camera.grey)
    warm = math.exp(rng.normal(0, camera.tint)) * camera.warmth
    green = 1 + rng.normal(0, 0.3 * camera.tint)
    gains = tuple(_within(float(gain), 0.7, 1.3) for gain in (warm, green, 1 / warm))
    occlusion = None
    if rng.random() < camera.occluded:
        occlusion = (str(rng.choice(["hand", "object", "sunglasses", "edge"])), int(rng.integers(2**31)))
    pose = Pose(
        _within(rng.normal(0, camera.yaw), -38, 38),
        _within(rng.normal(0, camera.pitch), -20, 20),
        _within(rng.normal(0, camera.roll), -22, 22),
        (float(rng.normal(0, 0.25)), float(rng.normal(0, 0.2))),
    )
    return Scene(
        size=size,
        scale=float(rng.uniform(*camera.face)) * short,
        centre=(
            camera.centre[0] * size[1] + float(rng.normal(0, camera.wander)) * short,
            camera.centre[1] * size[0] + float(rng.normal(0, camera.wander)) * short,
        ),
        pose=pose,
        light=Light((float(aim[0]), float(aim[1]), 1.0), ambient, strength, camera.relief),
        gains=(gains[0], gains[1], gains[2]),
        gamma=round(64 * rng.uniform(*camera.gamma)) / 64,
        blur=float(rng.uniform(*camera.blur)),
        noise=float(rng.uniform(*camera.noise)),
        coarse=float(rng.uniform(*camera.coarse)),
        jpeg=int(rng.uniform(*camera.jpeg)),
        grey=grey,
        occlusion=occlusion,
        backdrop=int(rng.integers(2**31)),
    )


def shoot(
    camera: Camera,
    scene: Scene,
    identity: Identity,
    au: Array,
    rng: np.random.Generator,
    *,
    behind: Picture | None = None,
) -> Shot:
    """Take one picture.

    Args:
        camera: The dataset's camera.
        scene: The scene, from `arrange`.
        identity: The person in it.
        au: Intensities [17, 2].
        rng: Random generator of this frame: sway of the head, noise, blinks.
        behind: The part of a larger picture, at the resolution of drawing, into which the person is drawn;
            the caller then develops the whole. None draws the person in front of the scene's backdrop.

    Returns:
        The picture, its landmarks and the face box.
    """
    height, width = scene.size
    drawn = (round(height * camera.draw), round(width * camera.draw))
    pose = _sway(camera, scene.pose, rng)
    face = draw_face(
        identity,
        au,
        pose,
        drawn,
        scale=scene.scale * camera.draw,
        centre=(scene.centre[0] * camera.draw, scene.centre[1] * camera.draw),
        light=scene.light,
    )
    picture = face.over(backdrop(camera, scene.size, scene.backdrop) if behind is None else behind)
    if scene.occlusion is not None:
        _occlude(picture, face.landmarks, identity, *scene.occlusion)
    if behind is None:
        picture = develop(camera, scene, picture, rng)
    if drawn != scene.size:
        picture = _u8(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))
    landmarks = face.landmarks / np.float32(camera.draw)
    return Shot(picture, landmarks, face_box(landmarks), pose)


def face_box(landmarks: NDArray[np.float32], margin: float = 0.06) -> tuple[float, float, float, float]:
    """Return the square box x0, y0, x1, y1 around landmarks [68, 2], widened by a share of its side."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    middle, half = (low + high) / 2, float((high - low).max()) * (0.5 + margin)
    return float(middle[0]) - half, float(middle[1]) - half, float(middle[0]) + half, float(middle[1]) + half


def without_colour(picture: Picture) -> Picture:
    """Return the grey version of an RGB picture, in three equal channels."""
    return _u8(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _u8(values: ArrayLike | None) -> Picture:
    return np.asarray(values, np.uint8)


def _sway(camera: Camera, pose: Pose, rng: np.random.Generator) -> Pose:
    yaw, pitch, roll = rng.normal(0, camera.sway, 3) * (
        0.4 * camera.yaw,
        0.4 * camera.pitch,
        0.4 * camera.roll,
    )
    gaze = rng.normal(0, 0.06, 2)
    return Pose(
        pose.yaw + float(yaw), pose.pitch + float(pitch), pose.roll + float(roll),
        (pose.gaze[0] + float(gaze[0]), pose.gaze[1] + float(gaze[1])),
        float(rng.random() < 0.02),
    )  # fmt: skip


def develop(camera: Camera, scene: Scene, picture: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture after lens, sensor and compression.

    Args:
        camera: The dataset's camera.
        scene: Blur, tone, noise and compression; its size does not matter.
        picture: RGB uint8 [H, W, 3], up to 1100 pixels wide and high.
        rng: Random generator of the noise.
    """
    height, width = picture.shape[:2]
    if scene.coarse < 0.97:
        small = (max(16, round(width * scene.coarse)), max(16, round(height * scene.coarse)))
        # At least half of the resolution is kept, so linear interpolation misses no pixel; interpolation by
        # area takes eight times as long.
        picture = _u8(cv2.resize(picture, small, interpolation=cv2.INTER_LINEAR))
    if scene.blur > 0.25:
        taps = 3 if scene.blur * scene.coarse < 0.55 else 5
        picture = _u8(cv2.GaussianBlur(picture, (taps, taps), scene.blur * scene.coarse))
    if camera.mode == "nir":
        red = picture[:, :, :1].astype(np.float32)
        picture = np.repeat(np.clip(60 + 0.72 * red, 0, 255).astype(np.uint8), 3, axis=2)
    elif scene.grey:
        picture = without_colour(picture)
    gains = (1.0, 1.0, 1.0) if scene.grey else scene.gains
    picture = _u8(cv2.LUT(picture, _tone(scene.gamma, gains)))
    picture = _add_noise(picture, scene.noise, scene.grey, rng)
    if picture.shape[:2] != (height, width):
        picture = _u8(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))
    if scene.jpeg < 100:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, scene.jpeg])
        picture = _u8(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return picture


def _tone(gamma: float, gains: tuple[float, float, float]) -> Picture:
    curves = _curve(gamma)[:, None] * gains + 0.5
    return np.minimum(curves, 255).astype(np.uint8).reshape(256, 1, 3)


@lru_cache(maxsize=128)
def _curve(gamma: float) -> Array:
    """Return the tone curve, 0 to 255; scenes have few different exponents, as powers take long."""
    return 255 * power(_LEVELS, gamma)


@cache
def _grain() -> Picture:
    """Return a tile of noise from which pictures cut theirs: drawing noise per frame takes longer.

    [1100, 1100, 3], 128 = none, `_GRAIN` levels to the standard deviation. The channels are the same noise
    from places too far apart to be in one picture.
    """
    noise = np.random.default_rng(20).standard_normal((1100, 1100), np.float32)
    levels = _u8(np.clip(128 + _GRAIN * noise, 0, 255))
    return np.stack([np.roll(levels, shift, (0, 1)) for shift in (0, 367, 733)], axis=2)


def _add_noise(picture: Picture, level: float, grey: bool, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    y, x = int(rng.integers(1100 - height)), int(rng.integers(1100 - width))
    grain = _grain()[y : y + height, x : x + width]
    if grey:
        grain = _u8(cv2.cvtColor(grain[:, :, 0], cv2.COLOR_GRAY2RGB))
    share = round(1024 * level / _GRAIN) / 1024  # so that nothing is rounded before the sum
    return _u8(cv2.addWeighted(picture, 1.0, grain, share, -128 * share))


@lru_cache(maxsize=4)
def backdrop(camera: Camera, size: tuple[int, int], seed: int) -> Picture:
    """Return the background at the resolution of drawing; it is shared, so copy before changing it.

    Args:
        camera: The dataset's camera.
        size: Height and width of the picture.
        seed: Which backdrop, from the scene.
    """
    rng = np.random.default_rng(seed)
    height, width = round(size[0] * camera.draw), round(size[1] * camera.draw)
    level = float(rng.uniform(*camera.brightness))
    if camera.background == "plain":
        colour = level * (1 + rng.normal(0, 0.02, 3))
        corners = colour * (1 + rng.normal(0, 0.06, (2, 2, 1)))
        small = np.clip(corners, 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    # The background is out of focus: half the resolution is enough.
    columns, rows = (width + 1) // 2, (height + 1) // 2
    patches = np.clip(level + rng.normal(0, 38, (5, 5, 1)) + rng.normal(0, 13, (5, 5, 3)), 0, 255)
    curved = 256 * product(_FINER, patches.reshape(25, 3) / 256)
    finer = np.rint(np.minimum(np.maximum(curved, 0), 255)).astype(np.uint8).reshape(21, 21, 3)
    wall = _u8(cv2.resize(finer, (columns, rows), interpolation=cv2.INTER_LINEAR))
    count = int(rng.integers(2, 7))
    colours = rng.uniform(20, 230, (count, 1)) + rng.normal(0, 28, (count, 3))
    for (red, green, blue), chances in zip(colours.tolist(), rng.random((count, 5)).tolist(), strict=True):
        x0, y0 = int((4 * chances[0] - 1) / 3 * columns), int((4 * chances[1] - 1) / 3 * rows)
        across = int((0.1 + 0.9 * chances[2]) * columns) + 1
        down = int((0.1 + 0.9 * chances[3]) * rows) + 1
        if chances[4] < 0.6:
            far = (x0 + across, y0 + down)
            cv2.rectangle(wall, (x0, y0), far, (red, green, blue), -1, cv2.LINE_AA)
        else:
            axes = (across // 2, down // 2)
            cv2.ellipse(wall, (x0, y0), axes, 0, 0, 360, (red, green, blue), -1, cv2.LINE_AA)
    soft = smooth(wall, max(0.4, 0.006 * width)).astype(np.uint8)
    return _u8(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def _occlude(
    picture: Picture, landmarks: NDArray[np.float32], identity: Identity, kind: str, seed: int
) -> None:
    """Draw an occlusion over a part of the face, in place."""
    rng = np.random.default_rng(seed)
    span = float(landmarks[16, 0] - landmarks[0, 0])
    if kind == "sunglasses":
        dark = (18, 16, 20)
        axes = (int(0.19 * span), int(0.14 * span))
        for eye in (landmarks[36:42], landmarks[42:48]):
            x, y = (int(v) for v in eye.mean(axis=0))
            cv2.ellipse(picture, (x, y), axes, 0, 0, 360, dark, -1, cv2.LINE_AA)
        _line(picture, landmarks[36], landmarks[45], dark, max(1, int(0.03 * span)))
    elif kind == "hand":
        corner = landmarks[(4, 12)[int(rng.integers(2))]] * 0.55 + landmarks[57] * 0.45
        away = np.sign(corner[0] - landmarks[33, 0])
        skin = tuple(0.85 * c for c in identity.skin)
        for finger in range(4):
            tip = corner + np.array((away * 0.06 * finger, 0.09 * finger - 0.12)) * span
            root = tip + np.array((away * 0.5, 0.35)) * span
            shade = tuple(c * (1 - 0.06 * finger) for c in skin)
            _line(picture, tip, root, shade, max(2, int(0.11 * span)))
    else:
        colour = tuple(float(c) for c in rng.integers(10, 230, 3))
        middle = landmarks[30]
        angle = float(rng.uniform(0, 2 * np.pi))
        reach = float(rng.uniform(0.38, 0.52)) * span
        outward = np.array((math.cos(angle), math.sin(angle)))
        across = np.array((-outward[1], outward[0]))
        near = middle + outward * reach
        half = (0.16 if kind == "object" else 0.9) * span
        left, right = near - across * half, near + across * half
        quad = np.stack([left, right, right + outward * span, left + outward * span])
        cv2.fillPoly(picture, [np.round(quad * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _line(picture: Picture, start: ArrayLike, end: ArrayLike, colour: tuple[float, ...], width: int) -> None:
    (x0, y0), (x1, y1) = np.round(np.stack([start, end])).astype(int).tolist()
    cv2.line(picture, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)
