"""Models that were trained elsewhere: cards, and networks from files, from timm and of other packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fer_bench.registry import Registry

REGISTRY: Registry[Callable[..., Any]] = Registry("model", "fer_bench.models", {})
"""Callables of other packages, from crops uint8 [B, S, S, 3] to answers [B, C]."""
