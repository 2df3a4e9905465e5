"""A kept index is the index that reading would give, for as long as nothing it was read from has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from fer_bench import datasets
from fer_bench.data.index import NO_AU, build_index, fingerprint
from fer_bench.data.packs import index_cache
from fer_bench.data.packs.index_cache import file_of, keep_index, outdated, read_facts
from fer_bench.data.reading import dependencies as reads
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read, recording, stamp
from fer_bench.data.reading.folders import list_folder
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.datasets.abaw3 import ABAW3Affect
from fer_bench.datasets.affectnet import AffectNet7
from fer_bench.datasets.affwild2 import AffWild2
from fer_bench.datasets.fer2013 import FER2013
from fer_bench.datasets.ferplus import FERPlus
from fer_bench.errors import DataError
from fer_bench.synthetic.stand_in import stand_in
from fer_bench.workspace.cache import entries, prune
from tests.data.toy import CARD, NAMES
from tests.datasets import test_fer2013, test_ferplus

_watched: list[set[str]] = []


def _note_audit(event: str, arguments: tuple[object, ...]) -> None:
    if (
        _watched
        and event in ("open", "os.listdir", "os.scandir")
        and isinstance(arguments[0], str | os.PathLike)
    ):
        for seen in _watched:
            seen.add(os.path.abspath(arguments[0]))


sys.addaudithook(_note_audit)


class Listed(FaceDataset):
    """A list beside a folder of pictures; counts how often it is read."""

    card = CARD
    keeps_index = True
    times = 0

    @classmethod
    def locate(cls, folder):
        return folder if (folder / "list.txt").is_file() else None

    def rows(self):
        Listed.times += 1
        self.notes = ["one note"]
        there = list_folder(self.base / "pictures", self.base)
        note_read(self.base / "more", contents=True)
        for number, line in numbered_lines(self.base / "list.txt"):
            name, label = line.split()
            if f"{name}.png" in there.files:
                yield {
                    "sample_id": name,
                    "path": f"pictures/{name}.png",
                    "native_label": label,
                    "label": label,
                    "split": "train",
                    **_extras(number),
                }


def _extras(number):
    """Return a mixture of everything that a row can have or lack."""
    if number % 3 == 0:
        return {}
    au = np.arange(12) % 3 - 1
    return {
        "box": (0.1, 1.0, 1e6 / 7, 10),
        "landmarks": np.array([[0.1, 2.0], [3, -4.5]], np.float32) * number,
        "au": au,
        "votes": np.arange(9, dtype=np.float32),
        "valence": 0.1 * (number % 10),
        "subject": f"Zoë/{number}",
        "frame": number,
        "is_neutral_frame": number % 2 == 0,
    }


def opened(base):
    """Open it as the workspace does."""
    dataset = Listed(base)
    keep_index(dataset)
    return dataset


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "SETTLED", -1e6)  # else files this young are not kept
    folder = tmp_path / "listed"
    for name in ("pictures", "more"):
        (folder / name).mkdir(parents=True)
    for i in range(8):
        (folder / "pictures" / f"p{i}.png").touch()
    (folder / "more" / "a.npy").write_text("1")
    (folder / "list.txt").write_text("".join(f"p{i} {NAMES[i % 6]}\n" for i in range(8)))
    Listed.times = 0
    return folder


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert fingerprint(one) == fingerprint(other)
    assert one.dtypes.equals(other.dtypes)
    for name in one.columns:
        for a, b in zip(one[name], other[name], strict=True):
            if isinstance(a, np.ndarray):
                assert a.dtype == b.dtype
                assert np.array_equal(a, b)
            else:
                assert type(a) is type(b)
                assert a == b or (pd.isna(a) and pd.isna(b))


def test_the_second_opening_reads_no_list_and_gives_the_same_index_and_notes(base):
    first, second = opened(base), opened(base)
    same(first.index, build_index(Listed(base).rows(), "toy"))
    read = Listed.times
    same(second.index, first.index)
    assert Listed.times == read
    assert second.notes == ["one note"]
    assert second.index["au"].iloc[2] is NO_AU


def test_a_reader_alone_keeps_nothing(base):
    assert len(Listed(base).index) == 8
    assert not file_of(Listed(base)).exists()


def drop_a_line(base):
    lines = (base / "list.txt").read_text().splitlines(keepends=True)
    (base / "list.txt").write_text("".join(lines[1:]))


def same_size_same_time(base):
    before = (base / "list.txt").stat()
    text = (base / "list.txt").read_text()
    (base / "list.txt").write_text(text.replace(f"p0 {NAMES[0]}", f"p0 {NAMES[0]}"))
    os.utime(base / "list.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (base / "list.txt").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [
        drop_a_line,
        same_size_same_time,
        lambda base: (base / "pictures" / "p3.png").unlink(),
        lambda base: (base / "pictures" / "p9.png").touch(),
        lambda base: (base / "more" / "a.npy").write_text("2"),
        lambda base: (base / "more" / "b.npy").write_text("2"),
    ],
    ids=["list", "same size and time", "picture gone", "picture more", "annotation", "annotation more"],
)
def test_whatever_was_read_changes_the_index_is_built_anew(base, change):
    assert len(opened(base).index) == 8
    change(base)
    facts = read_facts(file_of(Listed(base)))
    assert "changed since" in str(outdated(facts, Listed))
    fresh = opened(base).index
    assert Listed.times == 2
    same(opened(base).index, fresh)
    assert Listed.times == 2


def test_other_code_or_another_card_version_builds_anew(base, monkeypatch):
    _ = opened(base).index
    monkeypatch.setattr(index_cache, "code_of", lambda kind: "another")
    _ = opened(base).index
    assert Listed.times == 2
    monkeypatch.setattr(Listed, "card", CARD.model_copy(update={"version": 99}))
    _ = opened(base).index
    assert Listed.times == 3


def test_a_file_that_is_still_young_is_not_trusted(base, monkeypatch):
    monkeypatch.setattr(index_cache, "SETTLED", 2.0)
    _ = opened(base).index
    assert not file_of(Listed(base)).exists()


def test_a_file_that_changes_while_it_is_read_is_not_trusted(base, monkeypatch):
    monkeypatch.setattr(index_cache, "SETTLED", -0.5)
    read = Listed.read_index

    def slow(dataset):
        index = read(dataset)
        (base / "list.txt").write_text("p0 fear\n")
        os.utime(base / "list.txt", (0, 0))
        return index

    began = index_cache.time.time
    monkeypatch.setattr(Listed, "read_index", slow)
    monkeypatch.setattr(index_cache.time, "time", lambda: began() - 1)
    assert len(opened(base).index) == 8
    assert not file_of(Listed(base)).exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
def test_a_damaged_file_is_as_good_as_none(base, damage):
    first = opened(base).index
    file = file_of(Listed(base))
    raw = bytearray(file.read_bytes())
    if damage == "flipped":
        raw[60] ^= 0xFF
    file.write_bytes(
        {"empty": b"", "cut": raw[: len(raw) // 2], "foreign": b"PAR1 nothing PAR1"}.get(damage, raw)
    )
    same(opened(base).index, first)
    assert Listed.times == 2
    same(opened(base).index, first)
    assert Listed.times == 2


def test_a_cache_that_cannot_be_written_is_no_error(base, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert len(opened(base).index) == 8


def test_two_processes_keep_one_index(base):
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from fer_bench.data.packs import index_cache; index_cache.SETTLED = -1e6\n"
        f"from {__name__} import opened\n"
        f"print(len(opened({str(base)!r}).index))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert [p.communicate(timeout=120)[0].strip() for p in both] == [b"8", b"8"]
    folder = file_of(Listed(base)).parent
    assert len(list(folder.iterdir())) == 1
    assert len(opened(base).index) == 8


def test_reads_are_noted_inside_a_block_only(tmp_path):
    note_read(tmp_path)
    with recording() as found:
        note_read(tmp_path / "absent")
        note_read(tmp_path, contents=True)
        note_read(tmp_path)
    assert found == {str(tmp_path / "absent"): "itself", str(tmp_path): "contents"}
    assert stamp(str(tmp_path / "absent"), "itself") == (reads.ABSENT, 0)


@pytest.mark.parametrize("kind", [AffectNet7, AffWild2, ABAW3Affect, FER2013, FERPlus])
def test_the_large_datasets_keep_theirs(kind):
    assert kind.keeps_index


@pytest.mark.parametrize("name", datasets.MAIN_SEVEN)
def test_the_main_datasets_note_every_file_and_folder_that_they_read(name):
    dataset = datasets.get(name)(stand_in(name, "tiny"))
    assert dataset.keeps_index
    seen: set[str] = set()
    _watched.append(seen)
    try:
        with recording() as noted:
            dataset.read_index()
    finally:
        _watched.remove(seen)
    inside = {path for path in seen if path.startswith(f"{dataset.base.absolute()}{os.sep}")}
    assert inside
    assert {path for path in inside - noted.keys() if noted.get(os.path.dirname(path)) != "contents"} == set()


@pytest.mark.parametrize("name", ["ckplus", "mmi", "oulu", "rafdb", "expw"])
def test_a_kept_index_of_a_main_dataset_is_the_one_that_is_read(tmp_path, monkeypatch, name):
    folder = stand_in(name, "tiny")
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "SETTLED", -1e6)
    first, second = (datasets.get(name)(folder) for _ in range(2))
    for dataset in (first, second):
        keep_index(dataset)
    same(first.index, datasets.get(name)(folder).read_index())
    monkeypatch.setattr(type(second), "rows", None)
    same(second.index, first.index)
    assert [str(note) for note in second.notes] == [str(note) for note in first.notes]


@pytest.mark.parametrize("layout", ["csv", "pictures"])
@pytest.mark.parametrize("kind", [FER2013, FERPlus])
def test_fer2013_and_ferplus_are_read_again_when_pixels_or_labels_change(tmp_path, monkeypatch, kind, layout):
    monkeypatch.setattr(index_cache, "SETTLED", -1e6)
    if kind is FERPlus:
        (test_ferplus.write_csvs if layout == "csv" else test_ferplus.write_folders)(tmp_path)
    elif layout == "csv":
        test_fer2013.write_csv(tmp_path)
    else:
        test_fer2013.write_folders(tmp_path)
    read = []
    rows = kind.rows
    monkeypatch.setattr(kind, "rows", lambda self: read.append(self) or rows(self))

    def index():
        dataset = kind(tmp_path)
        keep_index(dataset)
        if kind is FERPlus:  # reads the votes before the index
            assert len(dataset.soft_labels("votes"))
        return dataset.index

    first = index()
    assert fingerprint(index()) == fingerprint(first)
    assert len(read) == 1
    changes = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    for number, file in enumerate((changes[0], changes[-1]), start=2):
        os.utime(file, ns=(number, number))
        index()
        assert len(read) == number
    (tmp_path / "icml_face_data.csv").write_text("emotion,pixels,Usage")
    with pytest.raises(DataError) if layout == "pictures" and kind is FER2013 else nullcontext():
        index()
    assert len(read) == 4


def test_the_cache_lists_and_removes_it(base, monkeypatch):
    monkeypatch.setattr(datasets, "get", lambda name: Listed)
    _ = opened(base).index
    (entry,) = entries()
    assert (entry.kind, entry.dataset, entry.state) == ("index", "toy", "current")
    (base / "list.txt").write_text("p0 fear\n")
    (entry,) = entries()
    assert (entry.state, entry.reason) == ("stale", f"this has changed since: {base / 'list.txt'}")
    assert prune([entry]) == ([entry], [])
    assert entries() == []
    _ = opened(base).index
    file_of(Listed(base)).write_bytes(b"nothing")
    assert entries()[0].state == "damaged"
