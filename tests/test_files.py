from __future__ import annotations

import errno
import hashlib
import json
import os
import pwd
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench import files
from fer_bench.errors import DataError, StoreError
from fer_bench.files import (
    cache_root,
    canonical,
    expand_home,
    file_hash,
    short_hash,
    usable_cores,
    write_atomic,
    write_json,
    write_text,
)

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


class TestWithoutHome:
    """A container often runs under a number that no passwd file lists, without HOME."""

    @pytest.fixture(autouse=True)
    def _homeless(self, monkeypatch):
        def getpwuid(number):
            raise KeyError(f"getpwuid(): uid not found: {number}")

        monkeypatch.setattr(pwd, "getpwuid", getpwuid)
        for name in ("HOME", "XDG_CACHE_HOME", "FER_BENCH_CACHE"):
            monkeypatch.delenv(name, raising=False)

    def test_the_cache_is_a_data_error_that_names_the_variables(self):
        with pytest.raises(DataError, match=r"HOME is not set(.|\n)*FER_BENCH_CACHE=DIR.*XDG_CACHE_HOME"):
            cache_root()

    @pytest.mark.parametrize("name", ["FER_BENCH_CACHE", "XDG_CACHE_HOME"])
    def test_a_variable_is_enough(self, monkeypatch, tmp_path, name):
        monkeypatch.setenv(name, str(tmp_path))
        assert cache_root().is_relative_to(tmp_path)

    @pytest.mark.parametrize("path", ["~/datasets", "~no-such-user/datasets"])
    def test_a_tilde_is_a_data_error_that_names_home(self, path):
        with pytest.raises(DataError, match=rf"home folder is unknown.*'{path}'(.|\n)*set HOME"):
            expand_home(path)

    def test_no_module_looks_for_the_home_folder_by_itself(self):
        package = Path(files.__file__).parent
        others = [file for file in package.rglob("*.py") if file != Path(files.__file__)]
        assert [str(f) for f in others if re.search(r"expanduser|Path\.home", f.read_text())] == []

    @pytest.mark.parametrize(
        "command",
        [
            ("run", "-m", "resemotenet", "-d", "oulu"),
            ("data", "stats", "-d", "oulu"),
            ("data", "verify", "-d", "oulu"),
            ("data", "stats", "-d", "oulu", "--data-root", "~/datasets"),
            ("data", "stats", "-d", "folder:~/pictures"),
            ("run", "-m", "cafe", "-d", "oulu", "--data-root", "ROOT", "--set", "method.clip_weights=~/t.pt"),
        ],
    )
    def test_every_command_ends_with_one_message(self, run_cli, tiny_root, command):
        code, out, err = run_cli(*(str(tiny_root) if word == "ROOT" else word for word in command))
        assert code == 2
        assert "HOME" in out + err
        assert "Traceback" not in out + err


class TestUsableCores:
    @pytest.fixture
    def cgroups(self, monkeypatch, tmp_path):
        """Return a function that lays out control groups; the machine has 64 cores."""
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
        monkeypatch.setattr(files, "CGROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(files, "OWN_CGROUPS", tmp_path / "own")

        def make(own, **contents):
            (tmp_path / "own").write_text(own)
            for name, text in contents.items():
                file = tmp_path / "cgroup" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)

        return make

    @pytest.mark.parametrize(
        ("limit", "cores"),
        [("max 100000", 64), ("400000 100000", 4), ("150000 100000", 2), ("5000 100000", 1), ("odd", 64)],
    )
    def test_follow_the_quota_of_a_container_in_version_2(self, cgroups, limit, cores):
        cgroups("0::/\n", **{"cpu.max": f"{limit}\n"})
        assert usable_cores() == cores

    def test_follow_the_smallest_quota_of_nested_groups(self, cgroups):
        own = "0::/system.slice/slurmstepd.scope/job_7/step_0\n"
        job = "system.slice/slurmstepd.scope/job_7"
        cgroups(own, **{f"{job}/cpu.max": "300000 100000", f"{job}/step_0/cpu.max": "max 100000"})
        assert usable_cores() == 3

    @pytest.mark.parametrize("group", ["docker/1f", ""])  # inside a container its group is the root
    @pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
    @pytest.mark.parametrize(("quota", "cores"), [("-1", 64), ("200000", 2)])
    def test_follow_the_quota_of_a_container_in_version_1(self, cgroups, group, controllers, quota, cores):
        folder = f"{controllers}/{group}".rstrip("/")
        cgroups(
            f"4:memory:/docker/1f\n3:{controllers}:/docker/1f\n",
            **{f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"},
        )
        assert usable_cores() == cores

    def test_are_those_of_the_affinity_without_any_quota(self, cgroups, monkeypatch):
        assert usable_cores() == 64  # not Linux
        cgroups("0::/../other\n", **{"cpu.max": "9900000 100000"})
        assert usable_cores() == 64  # a quota above what the affinity allows
