"""Version, commit and installation hints, as a checkout and as a wheel have them."""

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import fer_bench
from fer_bench import distribution

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Pretend that the package lies elsewhere; return that folder."""
    package = tmp_path / "fer_bench"
    package.mkdir()
    monkeypatch.setattr(distribution, "PACKAGE", package)
    monkeypatch.setattr(distribution, "ROOT", tmp_path)
    distribution.commit.cache_clear()
    yield package
    distribution.commit.cache_clear()


def test_the_version_is_that_of_the_installed_distribution():
    assert fer_bench.__version__ == distribution.version() == metadata.version("fer-bench")
    assert "__version__" in dir(fer_bench)


def test_the_commit_of_a_checkout_is_asked_for_and_marked_when_files_differ(installed):
    def git(*words):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        return subprocess.run(
            ["git", *who, *words], cwd=installed.parent, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init")
    (installed / "a.py").write_text("X = 1\n")
    git("add", "-A")
    git("commit", "-m", "first")
    assert distribution.commit() == git("rev-parse", "--short=12", "HEAD")
    (installed / "a.py").write_text("X = 2\n")
    distribution.commit.cache_clear()
    assert distribution.commit() == git("rev-parse", "--short=12", "HEAD") + "+"


def test_a_wheel_holds_the_commit_it_was_built_from(installed):
    (installed / distribution.COMMIT).write_text("0123456789ab\n")
    assert distribution.commit() == "0123456789ab"


def test_no_commit_is_known_outside_of_both(installed):
    assert distribution.commit() is None


def test_a_hint_installs_the_packages_of_an_extra(monkeypatch):
    required = [
        "torch>=2.11",
        'ray>=2.40; extra == "ray"',
        "onnx>=1; extra == 'onnx'",
        'ort; extra == "onnx"',
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: required)
    assert distribution.install_hint("ray") == 'pip install "ray>=2.40"'
    assert distribution.install_hint("onnx") == 'pip install "onnx>=1" "ort"'


def test_every_extra_that_a_message_or_page_names_exists():
    root = Path(__file__).parents[1]
    files = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("fer_bench/**/*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    shown = re.findall(r"(?:fer-bench|pip install \"\.)\[([a-z]+)\]", text)
    named = {*shown, *re.findall(r'install_hint\("(\w+)"\)', text)}
    extras = PROJECT["optional-dependencies"].keys()
    assert {"ray", "slurm", "tensorboard"} <= named <= extras
