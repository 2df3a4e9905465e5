from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.data.packs import pack as module
from fer_bench.data.packs.filling import Filled
from fer_bench.data.packs.pack import CHECKED, check_pack, open_pack
from fer_bench.errors import DataError, StoreError
from fer_bench.files import file_hash
from tests.data.toy import toy_rows

FILLED = Filled(np.zeros(36, np.uint8), np.zeros(36, np.bool_), np.ones((36, 2), np.float32))


@pytest.fixture
def toy(make_toy):
    return make_toy(toy_rows(2))


def packs(cache: Path) -> list[str]:
    return sorted(p.name for p in (cache / "packs").iterdir())


def test_crops_are_those_of_the_pictures_in_the_order_of_the_index(toy, tmp_path):
    steps = []
    pack = open_pack(
        toy, 20, cache=tmp_path / "cache", progress=lambda done, total: steps.append((done, total))
    )
    assert pack.pixels.shape == (36, 20, 20, 3)
    assert pack.pixels.dtype == np.uint8
    for path, crop in zip(toy.index["path"], pack.pixels, strict=True):
        assert np.array_equal(crop, cv2.imread(str(toy.base / path))[:, :, ::-1])
    assert pack.found == {"whole": 36}
    assert not pack.weak.any()
    assert pack.recipe == CropRecipe(kind="whole", size=20)
    assert steps == [(i, 36) for i in range(1, 37)]
    with pytest.raises(ValueError, match=r"read-only"):
        pack.pixels[0] = 0


def test_a_pack_is_built_once(toy, tmp_path, monkeypatch):
    first = open_pack(toy, 20, cache=tmp_path / "cache")
    monkeypatch.setattr(module, "_build", lambda *_: pytest.fail("built again"))
    second = open_pack(toy, 20, cache=tmp_path / "cache")
    assert (
        second.pixel_hash
        == first.pixel_hash
        == file_hash(tmp_path / "cache" / "packs" / packs(tmp_path / "cache")[0] / "pixels.npy")
    )
    assert np.array_equal(first.pixels, second.pixels)


def test_two_builds_are_equal_to_the_byte(toy, tmp_path):
    one, two = (open_pack(toy, 17, cache=tmp_path / name) for name in ("a", "b"))
    assert one.pixel_hash == two.pixel_hash
    assert packs(tmp_path / "a") == packs(tmp_path / "b")
    folder = packs(tmp_path / "a")[0]
    for name in ("pack.json", "pixels.npy"):
        assert (tmp_path / "a/packs" / folder / name).read_bytes() == (
            tmp_path / "b/packs" / folder / name
        ).read_bytes()


def test_sizes_have_packs_of_their_own(toy, tmp_path):
    assert open_pack(toy, 16, cache=tmp_path).pixels.shape[1] == 16
    assert open_pack(toy, 24, cache=tmp_path).pixels.shape[1] == 24
    assert len(packs(tmp_path)) == 2


@pytest.mark.parametrize("change", ["pixels", "touch", "swap"])
def test_a_changed_picture_is_packed_again(toy, tmp_path, change):
    before = open_pack(toy, 20, cache=tmp_path / "cache")
    first, second = (toy.base / path for path in toy.index["path"][:2])
    if change == "pixels":
        cv2.imwrite(str(first), np.zeros((20, 20, 3), np.uint8))
    elif change == "touch":
        os.utime(first, ns=(1, 1))
    else:  # the same files, but another row on each
        toy.index.loc[[0, 1], "path"] = toy.index.loc[[1, 0], "path"].to_numpy()
    after = open_pack(toy, 20, cache=tmp_path / "cache")
    assert len(packs(tmp_path / "cache")) == 2
    assert (after.pixel_hash == before.pixel_hash) == (change == "touch")
    expected = {"pixels": np.zeros((20, 20, 3)), "touch": before.pixels[0], "swap": before.pixels[1]}[change]
    assert np.array_equal(after.pixels[0], expected)
    assert second.exists()


def test_a_card_version_has_a_pack_of_its_own(toy, tmp_path):
    open_pack(toy, 20, cache=tmp_path)
    toy.card = toy.card.model_copy(update={"version": 2})
    open_pack(toy, 20, cache=tmp_path)
    assert len(packs(tmp_path)) == 2


def test_all_unusable_pictures_are_named_at_once_and_nothing_is_left(toy, tmp_path, capfd):
    paths = [toy.base / path for path in toy.index["path"]]
    jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8))[
        1
    ].tobytes()
    paths[3].write_bytes(jpeg[:-300])
    paths[5].unlink()
    paths[7].write_bytes(b"")
    toy.index.at[9, "box"] = (0.0, 0.0, 1e7, 1e7)
    with pytest.raises(DataError) as caught:
        open_pack(toy, 20, cache=tmp_path / "cache")
    text = str(caught.value)
    assert "4 file(s) of toy cannot be used" in text
    for number, words in ((3, "truncated"), (5, "No such file"), (7, "0 bytes"), (9, "times as large")):
        line = next(line for line in text.splitlines() if paths[number].name in line)
        assert words in line
    assert "--write-exclude FILE, then --exclude FILE" in text
    assert packs(tmp_path / "cache") == []


def test_many_unusable_pictures_are_counted(toy, tmp_path):
    for path in toy.index["path"]:
        (toy.base / path).unlink()
    with pytest.raises(DataError, match=r"36 file\(s\) of toy cannot be used(.|\n)*and 31 more"):
        open_pack(toy, 20, cache=tmp_path)


@pytest.mark.parametrize("place", ["fill", "_claim", "_hash"])
def test_a_full_disk_is_one_message_and_leaves_no_broken_pack(toy, tmp_path, monkeypatch, place):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, place, full)
        with pytest.raises(
            StoreError, match=r"cannot be written: No space left(.|\n)*FER_BENCH_CACHE"
        ) as caught:
            open_pack(toy, 20, cache=tmp_path)
    assert caught.value.file == tmp_path / "packs"
    assert packs(tmp_path) == []
    assert len(open_pack(toy, 20, cache=tmp_path).pixels) == 36


def test_the_disk_space_is_taken_before_pictures_are_decoded(toy, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(module.os, "posix_fallocate", lambda file, start, size: taken.append(size))
    monkeypatch.setattr(module, "fill", lambda *_: taken.append("fill") or FILLED)
    open_pack(toy, 20, cache=tmp_path)
    assert taken == [128 + 36 * 20 * 20 * 3, "fill"]


@pytest.mark.parametrize(
    ("number", "refused"), [(errno.EOPNOTSUPP, False), (errno.EINVAL, False), (errno.ENOSPC, True)]
)
def test_a_file_system_that_cannot_reserve_space_is_no_error(toy, tmp_path, monkeypatch, number, refused):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "posix_fallocate", fail)
    if refused:
        with pytest.raises(StoreError):
            open_pack(toy, 20, cache=tmp_path)
    else:
        assert len(open_pack(toy, 20, cache=tmp_path).pixels) == 36


def test_a_cache_that_cannot_be_written_is_one_message(toy, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written"):
        open_pack(toy, 20, cache=tmp_path / "file")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    ready = open_pack(toy, 20, cache=tmp_path)
    monkeypatch.setattr(module.tempfile, "mkdtemp", refuse)
    with pytest.raises(StoreError, match=r"Permission denied"):
        open_pack(toy, 24, cache=tmp_path)
    assert open_pack(toy, 20, cache=tmp_path).pixel_hash == ready.pixel_hash  # what is there can be read


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pack.json", b"{"),
        ("pack.json", b"{}"),
        ("pack.json", b"[]"),
        ("pixels.npy", b""),
        ("pixels.npy", b"\x93NUMPY"),
        ("pixels.npy", None),
        ("ways.npy", b""),
        ("ways.npy", None),
        ("sides.npy", b""),
        ("sides.npy", None),
    ],
)
def test_a_damaged_pack_is_named(toy, tmp_path, file, content):
    open_pack(toy, 20, cache=tmp_path)
    folder = tmp_path / "packs" / packs(tmp_path)[0]
    if content is None:
        np.save(folder / file, np.zeros((3, 20, 20, 3), np.uint8))
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged(.|\n)*delete this folder") as caught:
        open_pack(toy, 20, cache=tmp_path)
    assert caught.value.file == folder


@pytest.fixture
def packed(toy, tmp_path):
    """The folder of a pack."""
    open_pack(toy, 20, cache=tmp_path)
    return tmp_path / "packs" / packs(tmp_path)[0]


def flip_a_byte(folder: Path, *, keep_time: bool) -> None:
    file = folder / "pixels.npy"
    status = file.stat()
    with file.open("rb+") as opened:
        opened.seek(5000)
        byte = opened.read(1)[0]
        opened.seek(5000)
        opened.write(bytes([byte ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + (0 if keep_time else 1)))


@pytest.fixture
def hashed(monkeypatch):
    """The files that are hashed."""
    files = []
    monkeypatch.setattr(module, "file_hash", lambda file: files.append(file) or file_hash(file))
    return files


def test_one_flipped_byte_is_found_when_the_pack_is_opened(toy, tmp_path, packed):
    flip_a_byte(packed, keep_time=False)
    for _ in range(2):
        with pytest.raises(
            StoreError, match=r"damaged: its pixels are not(.|\n)*delete this folder"
        ) as caught:
            open_pack(toy, 20, cache=tmp_path)
        assert caught.value.file == packed


def test_one_flipped_byte_of_a_file_of_the_same_time_is_found_by_a_full_check(toy, tmp_path, packed):
    check_pack(packed)
    flip_a_byte(packed, keep_time=True)
    open_pack(toy, 20, cache=tmp_path)  # nothing tells
    for attempt in (lambda: check_pack(packed), lambda: open_pack(toy, 20, cache=tmp_path)):
        with pytest.raises(StoreError, match=r"its pixels are not those that were packed"):
            attempt()


def test_an_unchanged_pack_is_opened_without_hashing_it(toy, tmp_path, packed, hashed):
    open_pack(toy, 20, cache=tmp_path)
    assert hashed == []


@pytest.mark.parametrize("how", ["copied", "of an earlier version", "half a memory", "another hash"])
def test_a_pack_of_which_nothing_is_known_is_hashed_once(toy, tmp_path, packed, hashed, how):
    known = (packed / CHECKED).read_bytes()
    locked = (packed / "pack.json").stat().st_ino
    if how == "copied":
        os.utime(packed / "pixels.npy", ns=(1, 1))
    elif how == "of an earlier version":
        (packed / CHECKED).unlink()
    elif how == "half a memory":
        (packed / CHECKED).write_bytes(known[:9])
    else:
        (packed / CHECKED).write_bytes(known.replace(file_hash(packed / "pixels.npy").encode(), b"0" * 64))
    for _ in range(2):
        open_pack(toy, 20, cache=tmp_path)
        assert hashed == [packed / "pixels.npy"]
    assert (packed / "pack.json").stat().st_ino == locked  # else prune would not see who reads it
    names = [CHECKED, "pack.json", "pixels.npy", "sides.npy", "ways.npy"]
    assert sorted(file.name for file in packed.iterdir()) == names


def test_a_copied_pack_in_a_read_only_cache_is_hashed_every_time(toy, tmp_path, packed, hashed, monkeypatch):
    os.utime(packed / "pixels.npy", ns=(1, 1))

    def refuse(*_):
        raise StoreError("cannot write")

    monkeypatch.setattr(module, "write_json", refuse)
    for _ in range(2):
        assert len(open_pack(toy, 20, cache=tmp_path).pixels) == 36
    assert len(hashed) == 2


@pytest.mark.parametrize("name", ["pack.json", "pixels.npy", "sides.npy", "ways.npy"])
def test_a_full_check_names_an_absent_file(packed, name):
    (packed / name).unlink()
    with pytest.raises(StoreError, match=rf"damaged: .*{name}"):
        check_pack(packed)


def test_losing_the_race_is_as_good_as_winning(toy, tmp_path, monkeypatch):
    rename = Path.rename

    def late(self, target):
        monkeypatch.setattr(Path, "rename", rename)
        open_pack(toy, 20, cache=tmp_path)  # another process is faster
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert len(open_pack(toy, 20, cache=tmp_path).pixels) == 36
    assert len(packs(tmp_path)) == 1


def test_two_processes_build_one_pack(tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(20):
            noise = np.random.default_rng(i).integers(0, 256, (64, 64, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "faces" / name / f"{i}.png"), noise)
    code = (
        "import sys, time; from pathlib import Path; from fer_bench.datasets.folder import Folder\n"
        "from fer_bench.data.packs.pack import open_pack\n"
        "import cv2; data = Folder(sys.argv[1]); data.index; Path(sys.argv[2], sys.argv[3]).touch()\n"
        "while len(list(Path(sys.argv[2]).iterdir())) < 2: time.sleep(0.001)\n"
        "print(open_pack(data, 32, cache=Path(sys.argv[2]).parent / 'cache').pixel_hash)\n"
    )
    (tmp_path / "gate").mkdir()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "faces"), str(tmp_path / "gate"), name],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    try:
        said = [worker.communicate(timeout=120)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0]
    assert said[0] == said[1]
    assert len(packs(tmp_path / "cache")) == 1


def test_a_pack_in_a_shared_cache_can_be_read_by_others(toy, tmp_path):
    open_pack(toy, 20, cache=tmp_path)
    folder = tmp_path / "packs" / packs(tmp_path)[0]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_boxes_found_nowhere_are_counted_as_weak(toy, tmp_path):
    toy.crop = "box"
    for row in range(9):
        toy.index.at[row, "box"] = (2.0, 2.0, 12.0, 12.0)
    pack = open_pack(toy, 20, cache=tmp_path)
    assert pack.found == {"box": 9, "centre": 27}
    assert pack.weak_share(np.arange(36)) == 0.75
    boxed = np.flatnonzero(toy.index["box"].notna())
    assert pack.weak_share(boxed) == 0.0
    assert pack.weak_share(np.setdiff1d(np.arange(36), boxed)) == 1.0
    assert pack.weak_share(boxed[:0]) == 0.0
    assert (pack.missed == pack.weak).all()
    assert (pack.missed_share(np.arange(36)), pack.missed_share(boxed[:0])) == (0.75, 0.0)


def test_a_similarity_pack_turns_faces_by_their_landmarks(toy, tmp_path):
    toy.crop = "similarity"
    points = np.array([[6, 8], [13, 8], [9.5, 12], [7, 15], [12, 15]], np.float32)
    for row in range(4):
        toy.index.at[row, "landmarks"] = points
    toy.index.at[5, "box"] = (2.0, 2.0, 12.0, 12.0)
    pack = open_pack(toy, 20, cache=tmp_path)
    assert pack.found == {"box": 1, "centre": 31, "landmarks": 4}
    assert pack.recipe.text == "similarity, else MTCNN +20% 20px v2"
