import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

from fer_bench.arithmetic import PORTABLE

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(PORTABLE)  # before torch computes, so that tests do not depend on the processor
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell, and so in all children
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep packs and drawn faces of the tests away from the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FER_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("FER_BENCH_DATA", raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _autograd_looks_for_devices_first():
    """Let runs be forked after tests that trace networks."""
    from fer_bench.models.tracing import ready_autograd

    ready_autograd()


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A data root with tiny synthetic stand-ins of two lab sets and one wild set."""
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("tiny")
    for name in ("oulu", "ckplus", "rafdb"):
        layouts.write(name, root, size="tiny")
    return root


@pytest.fixture
def run_cli(monkeypatch, capsys, tmp_path):
    """Call the command line as a process would; return exit code, standard output and standard error."""
    from fer_bench.cli import main as cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            sys.exit(cli.main())
        out, err = capsys.readouterr()
        return stopped.value.code or 0, out, err

    return call


@pytest.fixture(scope="module")
def load_benchmark():
    """Return a function that imports a script of `benchmarks/` with what it imports from there."""
    folder, before = str(Path(__file__).parents[1] / "benchmarks"), set(sys.modules)
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]
