from pathlib import Path

import pytest

from fer_bench.errors import DataError
from fer_bench.synthetic import layouts
from fer_bench.synthetic.marker import MARKER
from fer_bench.synthetic.stand_in import stand_in

VERSION = "fer_bench.synthetic.stand_in.GENERATOR_VERSION"


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Return what the generator was asked for; a dataset `folder` takes the place of its own."""
    calls = []

    def write(name: str, parent: Path, **options: object) -> None:
        calls.append((name, options["size"], options["population"], options["seed"]))
        (parent / name).mkdir(parents=True)
        (parent / name / MARKER).write_text('{"synthetic": true}')

    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(layouts, "write", write)
    monkeypatch.setattr(layouts, "names", lambda: ("folder",))
    return calls


def test_it_is_drawn_once_into_the_cache(drawn, tmp_path):
    for _ in range(2):
        assert stand_in("folder", "tiny").is_relative_to(tmp_path / "cache" / "synthetic")
    assert drawn == [("folder", "tiny", "benchmark", 0)]


def test_every_drawing_has_a_folder_of_its_own(drawn):
    places = {
        stand_in("folder", s, population=p, seed=n)
        for s in ("tiny", "quick")
        for p in ("benchmark", "development")
        for n in (0, 1)
    }
    assert len(places) == len(drawn) == 8


def test_what_another_version_drew_is_drawn_anew_and_not_mixed(drawn, monkeypatch):
    monkeypatch.setattr(VERSION, "1")
    old = stand_in("folder", "tiny")
    (old / "picture.jpg").write_bytes(b"old")
    monkeypatch.setattr(VERSION, "2")
    new = stand_in("folder", "tiny")
    assert len(drawn) == 2
    assert new != old
    assert not (new / "picture.jpg").exists()


def test_what_the_generator_does_not_draw_is_refused(drawn):
    with pytest.raises(DataError, match="no synthetic stand-in for oulu"):
        stand_in("oulu")
