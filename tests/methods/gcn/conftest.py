"""Drawn faces for the tests of gcn."""

from __future__ import annotations

import pytest

from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets.oulu import OuluCASIA


@pytest.fixture(scope="session")
def drawn_oulu(tmp_path_factory) -> FaceDataset:
    """The tiny drawn Oulu-CASIA."""
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("oulu")
    layouts.write("oulu", root, size="tiny")
    return OuluCASIA(root / "oulu")
