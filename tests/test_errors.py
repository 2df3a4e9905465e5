from __future__ import annotations

import pickle
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fer_bench import errors
from fer_bench.errors import (
    DataError,
    DivergedError,
    FerBenchError,
    RunFailedError,
    StoreError,
    UsageError,
    nearest,
    one_line,
    without_escape_codes,
)

KINDS = [DataError, DivergedError, RunFailedError, StoreError, UsageError]


def test_a_message_names_file_line_value_and_what_to_do():
    error = DataError(
        "no such class", file=Path("a/list.txt"), line=3, value="9", hint="fer-bench data verify"
    )
    assert str(error) == "a/list.txt, line 3: no such class (found '9')\n  fer-bench data verify"


def test_a_message_leaves_out_what_is_not_known():
    assert str(UsageError("no such thing")) == "no such thing"
    assert str(DataError("empty", file="x.txt")) == "x.txt: empty"
    assert str(DataError("wrong", value=0)) == "wrong (found 0)"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_cross_a_process_boundary_unchanged(kind):
    error = kind("wrong", file=Path("f"), line=2, value=(1, "a"), hint="do this")
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert str(twin) == str(error)
    assert (twin.message, twin.file, twin.line, twin.value, twin.hint) == (
        "wrong",
        Path("f"),
        2,
        (1, "a"),
        "do this",
    )


def test_a_failed_run_exits_with_1_and_everything_else_with_2():
    assert {kind: kind.exit_code for kind in KINDS} == {
        DataError: 2,
        DivergedError: 1,
        RunFailedError: 1,
        StoreError: 2,
        UsageError: 2,
    }
    public = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert all(issubclass(kind, FerBenchError) for kind in public)


def test_near_names_are_suggested_in_any_case_and_else_all_listed():
    known = ["rafdb", "oulu", "ckplus"]
    assert nearest("Oullu", known) == "did you mean oulu?"
    assert nearest("zzzz", known) == "known: ckplus, oulu, rafdb"


def test_texts_of_other_libraries_lose_colours_and_line_ends():
    coloured = "Load failed: \x1b[1mdo those\x1b[0m\n\t(1) \x1b[38;5;9mred\x1b[m"
    assert one_line(ValueError(coloured)) == "Load failed: do those (1) red"
    assert without_escape_codes(coloured) == "Load failed: do those\n\t(1) red"


def test_near_names_are_found_whatever_their_case():
    assert nearest("GCm", ["GCN", "CAFE"]) == "did you mean GCN?"
    assert nearest("zzz", ["b", "A"]) == "known: A, b"


class TestPlatforms:
    """What Windows lacks is hidden, and Python is told that it is there."""

    WINDOWS = (
        "import sys\nsys.platform = 'win32'\n"
        "for name in ('fcntl', 'grp', 'posix', 'pwd', 'resource', 'termios'): sys.modules[name] = None\n"
        "sys.argv = ['fer-bench', 'run', '-m', 'gcn', '-d', 'oulu']\n"
    )
    ROOT = Path(__file__).parents[1]

    def run(self, code):
        return subprocess.run([sys.executable, "-c", self.WINDOWS + code], capture_output=True, text=True)

    def test_windows_is_refused_in_one_sentence_that_names_wsl2(self):
        done = self.run("from fer_bench.cli.main import main\nmain()")
        assert done.returncode == 2
        assert done.stdout == ""
        assert re.fullmatch(r"error: .*Linux and macOS.*WSL2.*\(found 'win32'\)\n", done.stderr)

    def test_python_users_on_windows_are_told_the_same(self):
        done = self.run("import fer_bench\nfer_bench.run")
        assert "WSL2" in done.stderr.splitlines()[-1]

    def test_the_package_says_where_it_runs(self):
        project = tomllib.loads((self.ROOT / "pyproject.toml").read_text())["project"]
        systems = {name for name in project["classifiers"] if name.startswith("Operating System")}
        assert systems == {"Operating System :: MacOS", "Operating System :: POSIX :: Linux"}
        assert "WSL2" in (self.ROOT / "README.md").read_text()
