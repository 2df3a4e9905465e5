from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.errors import StoreError
from fer_bench.files import cache_root, canonical, file_hash, short_hash, write_atomic, write_json, write_text

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_file_is_written_whole_into_folders_that_are_made(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "grün\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "grün\n".encode()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.txt"]
    assert (tmp_path / "a" / "b.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), OSError("no number")])
def test_a_full_disk_leaves_what_was_there(tmp_path, old, failure):
    file = tmp_path / "record.json"
    if old is not None:
        file.write_text(old)

    def full(temporary: Path) -> None:
        temporary.write_text("half of i")
        raise failure

    with pytest.raises(StoreError, match=failure.strerror or "no number") as caught:
        write_atomic(file, full)
    assert caught.value.file == file
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == (
        [] if old is None else [("record.json", old)]
    )


def test_a_crash_of_the_writer_leaves_nothing(tmp_path):
    def broken(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_a_store_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write"):
        write_text(tmp_path / "file" / "inner", "x")


def test_json_keeps_the_order_of_keys_and_refuses_what_json_has_not(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
    with pytest.raises(ValueError, match=r"JSON"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_equal_values_have_equal_text_whatever_the_order_of_keys(value):
    turned = dict(reversed(value.items()))
    assert canonical(turned) == canonical(value)
    assert json.loads(canonical(value)) == value
    assert short_hash(turned) == short_hash(value)


def test_hashes_are_sha_256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_hash(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()
    assert short_hash([1], 8) == hashlib.sha256(b"[1]").hexdigest()[:8]
    assert short_hash([1]) != short_hash(["1"])


def test_the_cache_is_where_the_variables_say(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("FER_BENCH_CACHE", "~/mine")
    assert cache_root() == tmp_path / "mine"
    monkeypatch.delenv("FER_BENCH_CACHE")
    assert cache_root() == tmp_path / "xdg" / "fer-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == tmp_path / ".cache" / "fer-bench"
