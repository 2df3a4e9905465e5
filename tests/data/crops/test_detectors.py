"""Fetching the detector: only the known file reaches the cache."""

from __future__ import annotations

import hashlib

import pytest

from fer_bench.data.crops import detectors
from fer_bench.data.crops.detectors import YUNET_NAME
from fer_bench.errors import DataError


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A file behind an address, known by its hash, and an empty cache."""
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "served.onnx"
    file.write_bytes(b"a model")
    monkeypatch.setattr(detectors, "YUNET_SHA256", hashlib.sha256(b"a model").hexdigest())
    return file


def test_the_known_file_is_where_it_is_looked_for(served, tmp_path):
    file = detectors.fetch_yunet(served.as_uri())
    assert file == tmp_path / "cache" / "models" / YUNET_NAME
    assert file.read_bytes() == b"a model"


def test_another_file_is_refused_and_the_cache_stays_as_it_was(served):
    kept = detectors.fetch_yunet(served.as_uri())
    served.write_bytes(b"another model")
    with pytest.raises(DataError, match="not the known YuNet model"):
        detectors.fetch_yunet(served.as_uri())
    assert kept.read_bytes() == b"a model"


@pytest.mark.parametrize("address", ["{}/absent.onnx", "http://127.0.0.1:9/model", "no address"])
def test_what_cannot_be_reached_is_told_with_the_way_by_hand(served, tmp_path, address):
    with pytest.raises(DataError, match="could not be fetched") as caught:
        detectors.fetch_yunet(address.format(tmp_path.as_uri()))
    assert "FER_BENCH_YUNET=FILE" in str(caught.value)
    assert not (tmp_path / "cache").exists()
