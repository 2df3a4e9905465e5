"""Curves of the head: jaw, skull, ears and hair."""

from __future__ import annotations

import numpy as np

from fer_bench.synthetic.anatomy import Array, Identity, Units
from fer_bench.synthetic.splines import COLUMN, both, xyz

_JAW = np.linspace(0, np.pi, 17)
_JAW_SINE, _JAW_SIGN, _JAW_COSINE = np.sin(_JAW), -np.sign(np.cos(_JAW)), np.abs(np.cos(_JAW))
_JAW_DOWN = _JAW_SINE**1.12
_SKULL = np.linspace(0, np.pi, 21)
_SKULL_X, _SKULL_SINE, _SKULL_UP = -np.cos(_SKULL), np.sin(_SKULL), np.sin(_SKULL) ** 0.9
_BONES = np.array([(0.9, 0.25, -0.05), (0.84, 0.6, -0.05), (0.62, 1.0, 0.05), (0.86, -0.5, -0.1)])
_BONES = np.concatenate([_BONES, _BONES * (-1, 1, 1)])
_RING = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_EAR = both(xyz(0.03 + 0.10 * np.cos(_RING), 0.12 + 0.24 * np.sin(_RING), -0.6))

_MANE = np.linspace(0, np.pi, 25)
_MANE_X, _MANE_UP, _MANE_Z = -np.cos(_MANE), np.sin(_MANE) ** 0.85, -0.5 + 0.4 * np.sin(_MANE)
_SPREAD = np.array([-0.97, -0.90, -0.78, -0.5, -0.2, 0.2, 0.5, 0.78, 0.90, 0.97])
_SPREAD_Z = -0.35 + 0.6 * (1 - _SPREAD**2)
_LIFT = np.array([0.30, 0.62, 0.86, 1.0, 1.03, 1.03, 1.0, 0.86, 0.62, 0.30])
_LIFT_FRINGE = np.array([0.1, 0.75, 1.0, 0.98, 1.03, 0.99, 1.02, 1.0, 0.75, 0.1])
_LIFT_RECEDING = np.array([0.3, 0.75, 1.0, 1.06, 0.92, 0.92, 1.06, 1.0, 0.75, 0.3])
_VOLUME = (0.0, 0.07, 0.12, 0.12, 0.15, 0.15, 0.22, 0.05)
_BOTTOM = (0.0, 0.12, 0.15, 0.25, 1.75, 1.6, 0.55, 0.1)
_HAIRLINE = (-1.2, -0.90, -0.86, -0.64, -0.88, -0.64, -0.80, -1.12)
_PARTING = {2: 0.45, 4: 0.25}


def add_outline(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Add jaw, ears and the hull of jaw, skull and cheekbones; AU26 drops the jaw, AU17 lifts the chin."""
    half = 1.0 + 0.05 * who.width
    power = min(max(0.86 - 0.10 * who.jaw, 0.6), 1.1)
    taper = half - half * (0.05 - 0.04 * who.jaw) * _JAW_SINE
    chin = 1.35 + 0.07 * who.chin
    drop = 0.24 * au.mean(26) - 0.03 * au.mean(17)
    y = 0.05 + chin * _JAW_DOWN + drop * _JAW_SINE**2
    jaw = xyz(_JAW_SIGN * _JAW_COSINE**power * taper, y, -0.55 + 0.8 * _JAW_SINE)
    top = 1.24 + 0.05 * who.forehead
    skull = xyz(_SKULL_X * half, 0.05 - top * _SKULL_UP, -0.55 + 0.55 * _SKULL_SINE)
    curves["jaw"] = jaw
    curves["contour"] = np.concatenate([jaw, skull, _BONES * (half, 1, 1)])
    ear = _EAR.copy()
    ear[..., 0] += COLUMN * half
    curves["ear"] = ear


def add_hair(curves: dict[str, Array], who: Identity) -> None:
    """Add the outer contour of the hair (`mane`), the hairline and the region between them (`crown`)."""
    style, half, top = who.hair_style, 1.0 + 0.05 * who.width, 1.24 + 0.05 * who.forehead
    volume = _VOLUME[style]
    reach = 1 + volume / 1.2 + (0.035 * np.sin(9 * _MANE + who.texture) if style == 6 else 0.0)
    outer = xyz(_MANE_X * half * reach, 0.05 - (top + volume * 0.9) * _MANE_UP * reach, _MANE_Z)
    side = half * (1.10 if style in (4, 5, 6) else 1.02)
    tail = np.array([(side, _BOTTOM[style], -0.45), (-side, _BOTTOM[style], -0.45)])
    lift = _LIFT_FRINGE if style in (3, 5) else _LIFT_RECEDING if style == 7 else _LIFT
    line = (_HAIRLINE[style] - 0.05 * who.forehead) * lift
    if style in _PARTING:
        part = _PARTING[style] * (1 if who.texture % 2 else -1)
        line = line - 0.18 * np.exp(-(((_SPREAD - part) / 0.3) ** 2))
    hairline = xyz(_SPREAD * (half * 1.01), line, _SPREAD_Z)
    curves["mane"] = np.concatenate([outer, tail])
    curves["hairline"] = hairline
    curves["crown"] = np.concatenate([outer, hairline[::-1]])
