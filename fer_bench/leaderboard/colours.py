"""What the board's pages draw besides the figures' own colours.

They are not in `fer_bench.figures`, which training imports: a change there gives runs other keys.
"""

from __future__ import annotations

ON_DARK = ("#3d9fe0", "#f07f3c", "#2dbd94", "#dd9bc0", "#f0b63c", "#9bd8f7", "#a8b0b8", "#f0e442", "#ffffff")
"""The colours of `fer_bench.figures` for a dark background, lighter."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""Markers that tell the same things apart without colour."""
