"""Pages of the documentation on the command line, and what messages say about files."""

import ast
import json
import re
import shlex
from pathlib import Path

import nbformat
import pytest
from typer.main import get_command

import fer_bench
from fer_bench import datasets, methods
from fer_bench.cli.docs import pages
from fer_bench.cli.hints import command_of
from fer_bench.cli.main import app
from fer_bench.models.card import shipped_names
from tests.cli.test_hints import strings

ROOT = Path(fer_bench.__file__).parents[1]


def test_there_is_a_page_for_each_method_and_dataset_and_every_page_is_listed_with_its_title(run_cli):
    rows = json.loads(run_cli("docs", "--json")[1])
    names = {row["name"] for row in rows}
    assert names >= {
        *methods.names(),
        *datasets.names(),
        *shipped_names(),
        "sweeps",
        "data",
        "submit",
        "datasets",
        "readme",
    }
    assert all(row["title"] and Path(row["file"]).is_file() for row in rows)
    assert {row["title"] for row in rows} >= {"Sweeps", "Python API", "fer-bench in a notebook"}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("sweeps", "docs/sweeps.md"),
        ("gcn", "fer_bench/methods/gcn/README.md"),
        ("oulu", "docs/datasets/oulu.md"),
        ("emotion-ferplus-8", "fer_bench/models/cards/emotion-ferplus-8.yaml"),
    ],
)
def test_a_page_is_printed_as_it_is(run_cli, name, file):
    assert run_cli("docs", name)[:2] == (0, (ROOT / file).read_text(encoding="utf-8"))


def test_the_notebook_can_be_saved(run_cli):
    nbformat.validate(nbformat.reads(run_cli("docs", "quickstart")[1], as_version=4))


def test_a_terminal_shows_a_page_set(run_cli, monkeypatch):
    import sys

    def shown():
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        return run_cli("docs", "sweeps")[1]

    assert "# Sweeps" not in shown()
    assert "Sweeps" in shown()


def test_an_unknown_page_is_refused_with_the_nearest(run_cli):
    code, _, err = run_cli("docs", "sweep")
    assert (code, "did you mean sweeps" in err) == (2, True)


def messages():
    """Return every text of the package that is not a docstring, with its file."""
    for file in sorted(Path(fer_bench.__file__).parent.rglob("*.py")):
        for text in strings(ast.parse(file.read_text(encoding="utf-8"))):
            yield file, text


def test_no_message_names_a_file_that_only_a_checkout_has():
    allowed = {"docs/datasets"}  # where `data docs`, a command for contributors, writes
    named = {
        found
        for _, text in messages()
        for found in re.findall(r"\b(?:benchmarks|docs|tests)/[\w./-]*|CONTRIBUTING\.md", text)
    }
    assert named - allowed == set()


def test_every_page_that_a_message_names_exists():
    named = {found for _, text in messages() for found in re.findall(r"fer-bench docs ([a-z0-9-]+)", text)}
    assert {"submit", "sweeps"} <= named <= pages().keys()


def commands_of_pages():
    """Return every command in a code block of the pages, joined and without its comment."""
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(
            r"^```(?:bash)?\n(.*?)^```", file.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("fer-bench "):
                    yield pytest.param(line, id=f"{file.name}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands_of_pages()))
def test_every_command_on_a_page_can_be_typed(line):
    arguments = shlex.split(line, comments=True)[1:]
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    words, command = command_of(arguments, get_command(app))
    assert words, "no such command"
    given, left, _ = command.make_parser(command.context_class(command)).parse_args(arguments[len(words) :])
    assert not left
    assert not [p.name for p in command.params if p.required and given.get(p.name) in (None, ())]
