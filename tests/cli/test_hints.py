"""Every `fer-bench` command in a message exists with its options, and names the data that were given."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

import fer_bench
from fer_bench.cli.hints import command_of, complete
from fer_bench.cli.main import app
from tests.data.audit.test_verify import raf

__all__ = ["raf"]
PACKAGE = Path(fer_bench.__file__).parent
NOT_COMMANDS = (
    "fer-bench data verify found: X",
    "fer-bench (generator version X",
    "fer-bench X",
    "fer-bench --version",
    "fer-bench distill",
    "fer-bench audit",
    "fer-bench pretrain-generator",
    "fer-bench leaderboard -->",
)
"""What a check found, the marker of drawn data, a Ray task, an option alone, who trains students, what a page
repeats with the options given, who trains generators, and the mark of generated pages."""


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield all texts but docstrings; what an f-string inserts is X."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def commands() -> list[str]:
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        if file.name != "hints.py":
            for text in strings(ast.parse(file.read_text())):
                found |= {m[0].strip() for m in re.finditer(r"fer-bench [^;,)`\n]+", text)}
    return sorted(found - set(NOT_COMMANDS))


def test_the_collection_finds_the_hints():
    assert len(commands()) > 60
    assert "fer-bench data verify --dataset X --write-exclude FILE" in commands()


@pytest.mark.parametrize("text", commands())
def test_every_command_in_a_message_can_be_pasted(text):
    arguments = text.split()[1:]
    words, command = command_of(arguments, get_command(app))
    assert words, "no such command"
    given, left, _ = command.make_parser(command.context_class(command)).parse_args(arguments[len(words) :])
    assert not left, "prose after a command does not paste"
    absent = [p.name for p in command.params if p.required and given.get(p.name) in (None, ())]
    assert not absent


@pytest.mark.parametrize(
    ("typed", "hint", "expected"),
    [
        (
            "run -m gcn -d rafdb --data-root /a",
            "fer-bench data verify --dataset rafdb --write-exclude FILE",
            "fer-bench data verify --data-root /a --dataset rafdb --write-exclude FILE",
        ),
        ("run --data-root=/a/b", "x: fer-bench doctor; y", "x: fer-bench doctor --data-root /a/b; y"),
        ("run --data-root '/my data'", "fer-bench doctor", "fer-bench doctor --data-root '/my data'"),
        ("run --data-root /a", "fer-bench data describe oulu", "fer-bench data describe oulu"),
        ("run --data-root /a", "fer-bench doctor --data-root ~/b", "fer-bench doctor --data-root ~/b"),
        (
            "sweep a.yaml --runs-dir /r",
            "next: fer-bench leaderboard",
            "next: fer-bench leaderboard --runs-dir /r",
        ),
        (
            "run -d folder:/pics -m gcn",
            "fer-bench data verify --dataset folder\n  fer-bench check dataset folder",
            "fer-bench data verify --dataset folder:/pics\n  fer-bench check dataset folder:/pics",
        ),
        ("run --dataset=folder:/pics", "fer-bench data describe folder", "fer-bench data describe folder"),
        (
            "run --data-root /a --follow-links",
            "fer-bench check dataset X",
            "fer-bench check dataset --data-root /a --follow-links X",
        ),
        ("run", "fer-bench data verify --dataset rafdb", "fer-bench data verify --dataset rafdb"),
    ],
)
def test_commands_get_the_places_that_were_given(typed, hint, expected):
    assert complete(hint, shlex.split(typed)) == expected


def started(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_bench.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_printed_command_lists_the_broken_picture_of_the_given_root(raf, tmp_path):
    broken = next(raf.rglob("train_00002_aligned.jpg"))
    broken.write_bytes(b"")
    failed = started(
        "run", "-m", "gcn", "-d", "rafdb", "--data-root", raf, "--runs-dir", tmp_path / "r", "--json"
    )
    assert failed.returncode == 2
    hint = json.loads(failed.stdout)["hint"]
    assert hint in failed.stderr
    command = re.search(r"fer-bench (data verify [^,]*--write-exclude) FILE", hint)
    assert command is not None
    started(*shlex.split(command[1]), tmp_path / "list.txt")
    assert broken.name in (tmp_path / "list.txt").read_text()


def test_advice_of_a_check_names_the_given_root(raf):
    next(raf.rglob("train_00002_aligned.jpg")).write_bytes(b"")
    command = f"fer-bench data verify --data-root {raf} --dataset rafdb --write-exclude FILE"
    assert command in started("data", "verify", "-d", "rafdb", "--data-root", raf).stdout
    reports = json.loads(started("data", "verify", "-d", "rafdb", "--data-root", raf, "--json").stdout)[
        "reports"
    ]
    assert any(command in finding["advice"] for finding in reports[0]["findings"])
