from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.data.toy import Toy


@pytest.fixture
def make_toy(tmp_path: Path) -> Callable[..., Toy]:
    def make(rows: list[dict[str, Any]], *, size: int = 20) -> Toy:
        """Write one picture per row; the mean of picture i grows with i."""
        for i, row in enumerate(rows):
            file = tmp_path / "toy" / row["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(i).integers(0, 60, (size, size, 3))
            cv2.imwrite(str(file), np.clip(noise + i, 0, 255).astype(np.uint8))
        toy = Toy(tmp_path / "toy")
        toy.given = rows
        return toy

    return make
