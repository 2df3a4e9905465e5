from dataclasses import replace

import numpy as np
import pytest

from fer_bench.errors import StoreError
from fer_bench.results.corrupted import (
    Corrupted,
    CorruptedMeta,
    corrupted_file,
    corrupted_files,
    read_corrupted,
    read_meta,
    write_corrupted,
)
from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame
from fer_bench.results.store import RunDir

CLASSES = ("happiness", "anger")


@pytest.fixture
def corrupted():
    meta = PredictionsMeta(
        key="ab" * 8,
        method="gcn",
        source="oulu",
        target="oulu",
        selection="val",
        checkpoint="cd" * 32,
        card_version=1,
        fingerprint="f",
        pixels="p",
        recipe="whole 64px v1",
        classes=CLASSES,
    )
    rng = np.random.default_rng(0)
    by_strength = {
        strength: Predictions(
            predictions_frame(
                sample_ids=["a", "b", "c"],
                units=["p1", "p1", "p2"],
                labels=["anger", "happiness", "anger"],
                classes=CLASSES,
                logits=rng.normal(size=(3, 2)).astype(np.float32),
            ),
            meta,
        )
        for strength in (1, 2)
    }
    about = CorruptedMeta(corruption="blur", version=1, constants=(1.0, 2.0), predictions=meta)
    return Corrupted(about, by_strength)


def test_what_is_written_is_read_and_has_the_same_bytes(corrupted, tmp_path):
    file = corrupted_file(RunDir(tmp_path), "oulu", "blur")
    write_corrupted(file, corrupted)
    found = read_corrupted(file)
    assert found.meta == corrupted.meta == read_meta(file)
    for strength, predictions in corrupted.by_strength.items():
        assert found.by_strength[strength].frame.equals(predictions.frame)
    first = file.read_bytes()
    write_corrupted(file, found)
    assert file.read_bytes() == first
    assert corrupted_files(RunDir(tmp_path), "oulu") == [file]
    assert corrupted_files(RunDir(tmp_path), "rafdb") == []


def test_nothing_is_written_that_breaks_the_contract(corrupted, tmp_path):
    broken = corrupted.by_strength[1]
    frame = broken.frame.assign(logit_anger=np.float32(np.nan))
    bad = replace(corrupted, by_strength={1: replace(broken, frame=frame)})
    with pytest.raises(StoreError, match="logit_anger is not finite"):
        write_corrupted(tmp_path / "x.parquet", bad)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_strength_is_named(corrupted, tmp_path):
    file = tmp_path / "x.parquet"
    write_corrupted(file, replace(corrupted, by_strength={1: corrupted.by_strength[1]}))
    with pytest.raises(StoreError, match="lack a strength"):
        read_corrupted(file)


def test_other_files_have_no_meta(corrupted, tmp_path):
    file = tmp_path / "x.parquet"
    assert read_meta(file) is None
    write_corrupted(file, corrupted)
    file.write_bytes(file.read_bytes()[:-40])
    assert read_meta(file) is None
    with pytest.raises(StoreError, match="not a readable file"):
        read_corrupted(file)
