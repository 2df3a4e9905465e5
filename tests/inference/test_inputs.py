"""What paths mean: pictures, folders, patterns, videos, cameras; and what is refused."""

from pathlib import Path

import pytest

from fer_bench.errors import DataError, UsageError
from fer_bench.inference.inputs import find_inputs, unique_stems

RED = (255, 0, 0)


def test_a_folder_is_searched_through_and_sorted(colour, clip, tmp_path):
    for name in ("b.png", "a.jpg", "deep/er/c.jpg", ".hidden.jpg", "__MACOSX/d.jpg"):
        colour(tmp_path / name, RED)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "text.jpg").write_text("not a picture")
    colour(tmp_path / "e.jpg", RED).rename(tmp_path / "without_ending")
    clip(tmp_path / "clip.avi")
    found = find_inputs([tmp_path])
    assert [(item.path.relative_to(tmp_path).as_posix(), item.kind) for item in found.items] == [
        ("a.jpg", "picture"),
        ("b.png", "picture"),
        ("clip.avi", "video"),
        ("text.jpg", "picture"),
        ("without_ending", "picture"),
        ("deep/er/c.jpg", "picture"),
    ]
    assert found.others == {".txt": 1}


def test_files_are_taken_once_and_patterns_are_expanded(colour, tmp_path):
    one, two = colour(tmp_path / "a/1.jpg", RED), colour(tmp_path / "b/2.jpg", RED)
    (tmp_path / "a" / "x.txt").write_text("x")
    found = find_inputs([two, tmp_path / "*/*", str(tmp_path / "**/*.jpg")])
    assert [item.path for item in found.items] == [two, one]
    assert found.others == {".txt": 1}


def test_one_file_under_several_spellings_is_taken_once(colour, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = colour(tmp_path / "a/1.jpg", RED)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a/2.jpg").symlink_to(one)
    found = find_inputs(["a/1.jpg", one, "./a/../a/1.jpg", "b/1.jpg", "a", "0", "00"])
    assert [item.name for item in found.items] == ["a/1.jpg", "a/2.jpg", "camera 0"]


def test_a_number_is_a_camera_unless_a_file_is_called_so(colour, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [item.kind for item in find_inputs(["0"]).items] == ["camera"]
    assert find_inputs(["2"]).cameras[0].path == Path("2")
    colour(tmp_path / "0.png", RED).rename("0")
    assert [item.kind for item in find_inputs(["0"]).items] == ["picture"]


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="name pictures"):
        find_inputs([])
    with pytest.raises(DataError, match="no pictures or videos here") as refused:
        find_inputs([tmp_path])
    assert refused.value.value == "no file"
    assert ".jpeg" in refused.value.hint
    assert ".mkv" in refused.value.hint
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="no pictures or videos here") as refused:
        find_inputs([tmp_path])
    assert refused.value.value == "only other files: 1 .txt"
    with pytest.raises(DataError, match="no such file or folder"):
        find_inputs([tmp_path / "absent.jpg"])
    with pytest.raises(DataError, match="no file matches this pattern"):
        find_inputs([f"{tmp_path}/*.jpg"])


def test_names_that_are_not_utf8_become_text(colour, tmp_path):
    import os

    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    os.rename(colour(tmp_path / "x.png", RED), odd)
    (item,) = find_inputs([tmp_path]).items
    assert item.name.endswith("caf\\xe9.png")
    assert item.stamp[0] > 0
    item.name.encode()


def test_stems_are_told_apart(colour, tmp_path):
    paths = [colour(tmp_path / name, RED) for name in ("a/x.jpg", "b/x.jpg", "y.jpg")]
    assert list(unique_stems(find_inputs(paths).items).values()) == ["x", "x-2", "y"]
