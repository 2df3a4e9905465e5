"""What is installed: the version and commit of this package, and how to install what an extra brings."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

NAME = "fer-bench"
LIGHT = "fer-bench-onnx"
"""The distribution of the same package that predicts with exported models and leaves torch out."""
PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parent
"""The checkout, or the folder of installed packages."""
COMMIT = "commit.txt"
"""Written into the package when a wheel or source archive is built from a checkout."""


@cache
def version() -> str:
    """Return the installed version, which comes from the tags of the checkout it was installed from."""
    return _version_of(NAME) or _version_of(LIGHT) or "unknown"


def is_light() -> bool:
    """Return whether this is the distribution without torch."""
    return _version_of(NAME) is None and _version_of(LIGHT) is not None


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@cache
def commit() -> str | None:
    """Return the git commit of the code, with `+` if files differ; None where it is not known.

    That of the checkout, or the one that the installed wheel was built from.
    """
    if not (ROOT / ".git").exists():
        built = PACKAGE / COMMIT
        return built.read_text(encoding="utf-8").strip() if built.is_file() else None

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "fer_bench", "pyproject.toml")
        return f"{git('rev-parse', '--short=12', 'HEAD')}{'+' if changed else ''}"
    except (OSError, subprocess.SubprocessError):
        return None


def _required() -> list[str]:
    """Return what the distribution requires, with its extras; nothing where it is not installed."""
    try:
        return metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []


def install_hint(extra: str) -> str:
    """Return the command that installs the packages of an extra, wherever this package came from."""
    parts = [(text.partition(";")[0].strip(), text.replace("'", '"')) for text in _required()]
    wanted = [f'"{what}"' for what, text in parts if f'extra == "{extra}"' in text]
    return f"pip install {' '.join(wanted) or f'{NAME}[{extra}]'}"


def requirement(package: str) -> str:
    """Return what this distribution requires of a package, such as `numpy>=2,<3`; its name where unknown."""
    texts = (text.partition(";")[0].strip() for text in _required())
    return next((text for text in texts if re.match(rf"{re.escape(package)}(?![\w.-])", text)), package)


def reinstall_hint(package: str) -> str:
    """Return the command that installs a package anew in the version that this distribution requires."""
    return f"pip install --force-reinstall '{requirement(package)}'"
