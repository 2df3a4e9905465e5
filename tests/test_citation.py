"""Files that other programs read from the repository: citation, issue forms, commit hooks, classifiers."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from fer_bench.errors import require_supported_platform

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = [form for form in sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")) if form.stem != "config"]


def test_the_citation_has_what_the_format_requires_and_the_licence_of_the_package():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content.keys() >= {"cff-version", "message", "title", "authors", "type", "license"}
    assert content["license"] == PROJECT["license"]
    assert [one["name"] for one in content["authors"]] == [one["name"] for one in PROJECT["authors"]]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_an_issue_form_has_a_name_and_questions(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert content["name"]
    assert content["description"]
    assert all(question["attributes"]["label"] for question in content["body"])
    assert {question["type"] for question in content["body"]} <= {"input", "textarea", "checkboxes"}


def test_commit_hooks_call_what_make_lint_calls():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook["entry"].split()[0] for repo in config["repos"] for hook in repo["hooks"]]
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    assert {Path(hook).name for hook in hooks} == set(re.findall(r"\$\(BIN\)/(ruff|mypy|lint-imports)", lint))


def test_classifiers_name_the_platforms_that_are_accepted():
    systems = {line for line in PROJECT["classifiers"] if line.startswith("Operating System")}
    assert systems == {"Operating System :: MacOS", "Operating System :: POSIX :: Linux"}
    require_supported_platform()


def test_the_changelog_has_the_next_version_on_top():
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.fullmatch(r"Unreleased|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", headings[0])
