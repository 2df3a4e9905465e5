"""Several drawings as one dataset of more people."""

import numpy as np
import pandas as pd
import pytest

from fer_bench.errors import UsageError
from fer_bench.synthetic.marker import MARKER, read_marker
from fer_bench.synthetic.truth import join_truth, read_truth
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("more_people")


@pytest.fixture(scope="module")
def nine(script, tiny_root, tmp_path_factory):
    """Nine people: all six of a drawing, and three of the same again."""
    out = tmp_path_factory.mktemp("more") / "oulu"
    script.join_people([tiny_root / "oulu"] * 2, 9, out)
    return out


def test_people_of_the_second_drawing_are_numbered_on(nine, tiny_root):
    joined = Workspace(find_roots(str(nine))).source("oulu")
    index = joined.dataset.index
    alone = Workspace(find_roots(str(tiny_root))).source("oulu").dataset.index
    alone = alone[alone["variant"] == "VL/Strong"]
    assert sorted(set(index["subject"])) == [f"P{number:03d}" for number in range(1, 10)]
    for name, same in {"P002": "P002", "P008": "P002"}.items():
        mine, first = index[index["subject"] == name], alone[alone["subject"] == same]
        assert mine["label"].tolist() == first["label"].tolist()
        for here, there in zip(mine["path"], first["path"], strict=True):
            assert (joined.dataset.base / here).read_bytes() == (tiny_root / "oulu" / there).read_bytes()


def test_records_tell_the_drawing_from_the_stand_in(nine, script, tiny_root):
    joined = Workspace(find_roots(str(nine))).source("oulu")
    assert joined.kind == "synthetic"
    assert joined.generator["size"] == script.size_of(9) != "tiny"
    assert joined.generator["seed"] == "0 and 0"
    assert read_marker(nine)["dataset"] == read_marker(tiny_root / "oulu")["dataset"]


def test_what_was_drawn_is_known_of_every_row(nine):
    index = Workspace(find_roots(str(nine))).source("oulu").dataset.index
    found = join_truth(index, read_truth(nine))
    assert (found["true_subject"] == index["subject"]).all()
    labelled = index["label"] != "neutral"
    assert (found["true_label"][labelled] == index["label"][labelled]).all()
    assert isinstance(found, pd.DataFrame)
    assert np.isfinite(found["true_share"]).all()


@pytest.mark.parametrize("people", [0, 13, 81])
def test_more_people_than_there_are_is_refused(script, tiny_root, tmp_path, people):
    parts = [tiny_root / "oulu"] * (2 if people < 81 else 20)
    with pytest.raises(UsageError, match="not so many drawn people"):
        script.join_people(parts, people, tmp_path / "oulu")
    assert not [*tmp_path.iterdir()]


def test_the_folder_is_written_once(script, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "cache_root", lambda: tmp_path)
    monkeypatch.setattr(script, "stand_in", lambda name, *, seed: tiny_root / name)
    out = script.drawn_people(7)
    before = (out / MARKER).stat().st_mtime_ns
    assert script.drawn_people(7) == out
    assert (out / MARKER).stat().st_mtime_ns == before
