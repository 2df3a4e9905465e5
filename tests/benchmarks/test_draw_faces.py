"""The benchmark of drawing: what it reports."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("speed.draw_faces")


def test_it_reports_a_ratio_and_a_checksum_of_each_camera(script, monkeypatch):
    monkeypatch.setattr(script, "CAMERAS", ("ckplus", "rafdb"))
    monkeypatch.setattr(script, "FACES", 3)
    report = script.measure(1)
    assert [ratio.name for ratio in report.ratios] == [
        "drawing / writing, ckplus",
        "drawing / writing, rafdb",
    ]
    assert all(ratio.value > 0 for ratio in report.ratios)
    for camera in ("ckplus", "rafdb"):
        found = report.figures[camera]
        assert found["faces a second of one core"] >= found["with people"] > 0
        assert len(found["checksum"]) == 8


def test_pictures_that_change_between_rounds_are_an_error(script, monkeypatch):
    numbers = iter(range(100))
    monkeypatch.setattr(script, "draw", lambda *given: script.Drawn(1.0, 1.0, 1.0, next(numbers)))
    with pytest.raises(SystemExit, match="other pictures"):
        script.measure(1)


def test_the_same_faces_are_drawn_every_time(script, tmp_path):
    first, second = (script.draw("rafdb", 2, 48, tmp_path / "face.png").checksum for _ in range(2))
    assert first == second
    assert first != script.draw("expw", 2, 48, tmp_path / "face.png").checksum
