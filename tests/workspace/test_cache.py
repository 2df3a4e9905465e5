from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.audit.verify import verify
from fer_bench.data.packs import pack as pack_module
from fer_bench.data.packs.pack import open_pack
from fer_bench.datasets.folder import Folder
from fer_bench.errors import StoreError
from fer_bench.workspace.cache import GRACE, check, entries, prune


@pytest.fixture
def faces(tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(4):
            noise = np.random.default_rng(i).integers(0, 256, (20, 20, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "faces" / name / f"{i}.png"), noise)
    return tmp_path / "faces"


@pytest.fixture
def forget():
    """Give up the locks of this process, as its end would."""

    def close():
        for opened in pack_module._in_use.values():
            opened.close()
        pack_module._in_use.clear()

    yield close
    close()


def age(folder: Path, seconds: float) -> None:
    for file in [*folder.iterdir(), folder]:
        os.utime(file, (time.time() - seconds,) * 2)


def test_a_pack_is_listed_with_what_it_is(faces, tmp_path, forget):
    assert entries(tmp_path / "cache") == []
    open_pack(Folder(faces), 24, cache=tmp_path / "cache")
    (entry,) = entries(tmp_path / "cache")
    assert (entry.kind, entry.dataset, entry.recipe) == (
        "pack",
        "folder",
        "detect and align by MTCNN +20% 24px v2",
    )
    assert (entry.state, entry.in_use, entry.reason) == ("current", True, "")
    assert entry.size == sum(file.stat().st_size for file in entry.path.iterdir())
    assert abs(time.time() - entry.used) < 60
    forget()
    assert not entries(tmp_path / "cache")[0].in_use


def test_opening_is_the_last_use(faces, tmp_path, forget):
    open_pack(Folder(faces), 24, cache=tmp_path)
    (entry,) = entries(tmp_path)
    age(entry.path, 1e6)
    assert time.time() - entries(tmp_path)[0].used > 9e5
    open_pack(Folder(faces), 24, cache=tmp_path)
    assert time.time() - entries(tmp_path)[0].used < 60


def test_changed_pictures_make_the_earlier_pack_stale(faces, tmp_path, forget):
    open_pack(Folder(faces), 24, cache=tmp_path)
    age(entries(tmp_path)[0].path, 100)
    open_pack(Folder(faces), 32, cache=tmp_path)  # another recipe is no replacement
    assert [e.state for e in entries(tmp_path)] == ["current", "current"]
    cv2.imwrite(str(faces / "sad" / "new.png"), np.zeros((20, 20, 3), np.uint8))
    open_pack(Folder(faces), 24, cache=tmp_path)
    found = {(e.recipe, e.state): e.reason for e in entries(tmp_path)}
    assert set(found) == {
        ("detect and align by MTCNN +20% 24px v2", "stale"),
        ("detect and align by MTCNN +20% 32px v2", "current"),
        ("detect and align by MTCNN +20% 24px v2", "current"),
    }
    assert "newer pack" in found["detect and align by MTCNN +20% 24px v2", "stale"]


def test_a_pack_of_another_reader_version_or_of_lost_pictures_is_stale(faces, tmp_path, forget, monkeypatch):
    open_pack(Folder(faces), 24, cache=tmp_path)
    monkeypatch.setattr(Folder, "card", Folder.card.model_copy(update={"version": 99}))
    assert [(e.state, "version 99" in e.reason) for e in entries(tmp_path)] == [("stale", True)]
    monkeypatch.undo()
    shutil.move(faces, tmp_path / "away")
    assert [(e.state, "gone" in e.reason) for e in entries(tmp_path)] == [("stale", True)]


def test_a_pack_in_use_by_another_process_is_never_removed(faces, tmp_path, forget):
    code = (
        "import sys; from pathlib import Path; from fer_bench.datasets.folder import Folder\n"
        "from fer_bench.data.packs.pack import open_pack\n"
        "pack = open_pack(Folder(sys.argv[1]), 24, cache=Path(sys.argv[2]))\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    cache = tmp_path / "cache"
    user = subprocess.Popen(
        [sys.executable, "-c", code, str(faces), str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert user.stdout.readline() == "open\n"
        removed, kept = prune(entries(cache))
        assert (len(removed), len(kept)) == (0, 1)
        assert (kept[0].path / "pixels.npy").exists()
    finally:
        user.communicate(input="", timeout=60)
    removed, kept = prune(entries(cache))
    assert (len(removed), len(kept)) == (1, 0)
    assert list((cache / "packs").iterdir()) == []


def test_a_pruned_pack_is_built_again(faces, tmp_path, forget):
    first = open_pack(Folder(faces), 24, cache=tmp_path)
    forget()
    prune(entries(tmp_path))
    assert open_pack(Folder(faces), 24, cache=tmp_path).pixel_hash == first.pixel_hash
    assert [e.state for e in entries(tmp_path)] == ["current"]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    left = tmp_path / "packs" / ".oulu-1-2.abc"
    left.mkdir(parents=True)
    (left / "pixels.npy").write_bytes(b"x")
    (entry,) = entries(tmp_path)
    assert (entry.dataset, entry.state, entry.in_use) == ("oulu", "unfinished", True)
    assert prune([entry]) == ([], [entry])
    age(left, GRACE + 60)
    removed, kept = prune(entries(tmp_path))
    assert (len(removed), kept) == (1, [])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"recipe": "whole"}'])
def test_a_damaged_pack_is_listed_and_can_be_removed(tmp_path, content):
    folder = tmp_path / "packs" / "oulu-1-2"
    folder.mkdir(parents=True)
    (folder / "pack.json").write_text(content)
    (entry,) = entries(tmp_path)
    assert (entry.dataset, entry.state) == ("oulu", "damaged")
    assert len(prune([entry])[0]) == 1


def test_a_full_check_tells_which_pack_is_damaged(faces, tmp_path, forget):
    for size in (24, 32):
        open_pack(Folder(faces), size, cache=tmp_path)
    forget()
    verify(lambda: Folder(faces), "folder", is_real=True, cache=tmp_path)
    (tmp_path / "packs" / ".oulu-1-2.abc").mkdir()  # being written
    small, large = (next(e.path for e in entries(tmp_path) if f"{size}px" in e.recipe) for size in (24, 32))
    file = small / "pixels.npy"
    time_then, content = file.stat().st_mtime_ns, bytearray(file.read_bytes())
    content[-1] ^= 128
    file.write_bytes(content)
    os.utime(file, ns=(time_then, time_then))
    assert {e.state for e in entries(tmp_path) if e.recipe} == {"current"}
    checked = list(check(entries(tmp_path)))
    assert len(checked) == len(entries(tmp_path)) == 4
    assert {e.path: (e.state, e.reason) for e in checked if e.recipe} == {
        small: ("damaged", "its pixels are not those that were packed"),
        large: ("current", ""),
    }
    with pytest.raises(StoreError, match="damaged"):
        open_pack(Folder(faces), 24, cache=tmp_path)


def test_being_checked_is_no_use(faces, tmp_path, forget):
    open_pack(Folder(faces), 24, cache=tmp_path)
    (entry,) = entries(tmp_path)
    age(entry.path, 1e6)
    assert [e.state for e in check(entries(tmp_path))] == ["current"]
    assert time.time() - (entry.path / "checked.json").stat().st_mtime < 60
    assert time.time() - entries(tmp_path)[0].used > 9e5


def test_a_pack_that_was_removed_meanwhile_is_not_reported(faces, tmp_path, forget):
    open_pack(Folder(faces), 24, cache=tmp_path)
    forget()
    known = entries(tmp_path)
    prune(known)
    assert list(check(known)) == []
    assert list((tmp_path / "packs").iterdir()) == []


def test_states_of_checks_are_listed_and_removed_too(faces, tmp_path):
    verify(lambda: Folder(faces), "folder", is_real=True, cache=tmp_path)
    (entry,) = entries(tmp_path)
    assert (entry.kind, entry.dataset, entry.state) == ("check", "folder", "current")
    assert len(prune([entry])[0]) == 1
    assert entries(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_one_message(faces, tmp_path, forget, monkeypatch):
    open_pack(Folder(faces), 24, cache=tmp_path)
    forget()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match="cannot be removed: Permission denied"):
        prune(entries(tmp_path))
