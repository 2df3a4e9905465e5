"""The benchmark of drawing: what it prints."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("speed.draw_faces")


def test_it_prints_a_line_per_camera_and_fails_below_the_limit(script, monkeypatch, capsys):
    given = ["draw_faces", "--faces", "3", "--size", "48", "--repeats", "1", "--only", "ckplus", "rafdb"]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(script, "LIMIT", 0)
    script.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [line[0] for line in lines] == ["ckplus", "rafdb"]
    assert all(float(line[1]) > float(line[2]) > 0 for line in lines)
    monkeypatch.setattr(script, "LIMIT", 1e9)
    with pytest.raises(SystemExit, match="1"):
        script.main()


def test_the_same_faces_are_drawn_every_time(script):
    assert script.measure("rafdb", 2, 48).checksum == script.measure("rafdb", 2, 48).checksum
    assert script.measure("rafdb", 2, 48).checksum != script.measure("expw", 2, 48).checksum
