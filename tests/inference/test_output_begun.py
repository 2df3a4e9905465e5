"""A call that is stopped within a video goes on at the next frame; what a killed camera saw is written."""

import os

import pandas as pd
import pytest

from fer_bench.errors import UsageError
from fer_bench.inference import output as module
from fer_bench.inference import pipeline
from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.predictor import Predictor
from fer_bench.inference.table import read_table


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(pipeline, "FIRST", 1)
    monkeypatch.setattr(pipeline, "usable_cores", lambda: 2)
    monkeypatch.setattr(pipeline, "BRISK", 0)


@pytest.fixture
def items(clip, colour, tmp_path):
    colour(tmp_path / "a.png", (10, 20, 200))
    clip(tmp_path / "b.avi", frames=20)
    clip(tmp_path / "c.avi", frames=10)
    return find_inputs([tmp_path / name for name in ("a.png", "b.avi", "c.avi")]).items


def stopped(predictor, items, out, monkeypatch, *, after, killed=False, **options):
    """Stop a call when so many frames have been predicted; a killed one writes nothing afterwards."""
    count, real = 0, Predictor.pieces

    def pieces(self, *arguments, **given):
        nonlocal count
        for item, rows, following in real(self, *arguments, **given):
            yield item, rows, following
            count += len(rows)
            if count >= after:
                if killed:
                    patch.setattr(module.Output, "flush", lambda self: None)
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "pieces", pieces)
        with pytest.raises(KeyboardInterrupt):
            predictor.write(items, out, **options)
    return count


@pytest.mark.parametrize("every", ["1", "3", "0.25s"])
def test_a_call_goes_on_within_a_video(items, predictor, tmp_path, monkeypatch, every):
    whole = predictor(every=every).write(items, tmp_path / "whole.csv")
    out = tmp_path / "out.csv"
    first = stopped(predictor(every=every), items, out, monkeypatch, after=5)
    assert not out.exists()
    assert 5 <= first < 1 + len(whole[whole["file"] == items[1].name])
    again = predictor(every=every)
    found = again.write(items, out)
    assert sum(again.model.calls) == len(whole) - first
    pd.testing.assert_frame_equal(found, whole)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_killed_call_loses_only_what_was_not_written_yet(items, predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART_ROWS", 4)
    whole = predictor().write(items, tmp_path / "whole.csv")
    out = tmp_path / "out.csv"
    stopped(predictor(), items, out, monkeypatch, after=14, killed=True)
    stopped(predictor(), items, out, monkeypatch, after=4)
    again = predictor()
    pd.testing.assert_frame_equal(again.write(items, out), whole)
    assert sum(again.model.calls) <= len(whole) - 14


def test_a_video_that_changed_is_begun_anew(items, clip, predictor, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    stopped(predictor(), items, out, monkeypatch, after=7)
    clip(items[1].path, frames=12, step=5)
    os.utime(items[1].path, ns=(1, 1))
    found = predictor().write(items, out)
    of_video = found[found["file"] == items[1].name]
    assert of_video["frame"].tolist() == list(range(12))
    pd.testing.assert_frame_equal(found, predictor().write(items, tmp_path / "whole.csv"))


def test_a_begun_video_that_is_not_named_again_has_no_rows(items, predictor, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    stopped(predictor(), items, out, monkeypatch, after=7)
    found = predictor().write([items[0], items[2]], out)
    assert set(found["file"]) == {items[0].name, items[2].name}
    found = predictor().write(items, out)
    assert found["file"].value_counts().to_dict() == dict(
        zip([i.name for i in items], (1, 20, 10), strict=True)
    )


class TestCameras:
    def test_what_a_killed_one_saw_is_written(self, camera, predictor, tmp_path, monkeypatch):
        out = tmp_path / "out.csv"
        with monkeypatch.context() as patch:
            patch.setattr(module, "PART_ROWS", 4)
            stopped(predictor(), camera, out, patch, after=40, killed=True)
        assert list((tmp_path / "out.csv.parts").glob("0*.parquet"))
        with pytest.raises(UsageError, match="has been written now"):
            predictor().write(camera, out, seconds=0.2)
        found = read_table(out)
        assert len(found) >= 40
        assert found["frame"].tolist() == list(range(len(found)))
        assert not (tmp_path / "out.csv.parts").exists()
        with pytest.raises(UsageError, match="never added"):
            predictor().write(camera, out, seconds=0.2)
        assert read_table(out).equals(found)

    def test_one_that_replaced_a_file_still_does(self, camera, predictor, tmp_path, monkeypatch):
        out = tmp_path / "out.csv"
        predictor().write(camera, out, seconds=0.1)
        before = out.read_bytes()
        stopped(predictor(), camera, out, monkeypatch, after=10, force=True)
        assert out.read_bytes() == before
        with pytest.raises(UsageError, match="has been written now"):
            predictor().write(camera, out, seconds=0.1)
        assert out.read_bytes() != before

    def test_rows_do_not_wait_for_a_slow_one(self, camera, predictor, monkeypatch):
        monkeypatch.setattr(pipeline, "SLOW", 0.0)
        pieces = predictor().pieces(camera, seconds=1)
        assert [len(next(pieces)[1]) for _ in range(3)] == [1, 1, 1]
        pieces.close()
