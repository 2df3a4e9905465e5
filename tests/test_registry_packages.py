"""Entry points of other packages that cannot be used: one clear message, wherever they are asked for."""

import json
from contextlib import ExitStack

import pytest

from fer_bench import datasets, methods
from fer_bench.errors import UsageError
from fer_bench.runs import launchers
from tests.outside import block, installed_files

BROKEN = {
    "a module that is not there": ("import nowhere_to_be_found\n", "ModuleNotFoundError", 1),
    "a syntax error": ("X = 1\ndef f(:\n", "SyntaxError: invalid syntax", 2),
    "a name error": ("X = 1\n\nY = nowhere\n", "NameError: name 'nowhere' is not defined", 3),
    "any error": ("def f():\n    raise RuntimeError('no licence')\nf()\n", "RuntimeError: no licence", 2),
    "a script": ("import sys\nsys.exit(3)\n", "SystemExit: 3", 2),
    "a class that is not there": ("class Y: pass\n", "module 'broken' has no attribute 'X'", None),
}
KINDS = {"methods": methods, "datasets": datasets, "launchers": launchers}


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Install a package with one entry point."""
    with ExitStack() as stack:

        def install(kind, code, name="broken", target="broken:X", distribution="outside"):
            files = {f"{target.partition(':')[0]}.py": code}
            where = (f"fer_bench.{kind}", tmp_path / distribution, monkeypatch, distribution)
            stack.enter_context(installed_files(files, {name: target}, *where))

        yield install


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_import_is_one_error_with_its_place(bring, kind, fault, tmp_path):
    code, reason, line = BROKEN[fault]
    bring(kind, code)
    with pytest.raises(UsageError) as error:
        KINDS[kind].get("broken")
    assert (error.value.line, error.value.value) == (line, "broken:X")
    assert line is None or error.value.file == str(tmp_path / "outside" / "broken.py")
    assert f"the {kind[:-1]} broken cannot be imported" in error.value.message
    assert reason in error.value.message
    assert f"fer_bench.{kind}" in error.value.hint


def test_the_line_is_the_package_s_own_where_another_library_hooks_what_it_calls(bring, monkeypatch):
    def hooked(code):  # as wandb puts its own function in the place of sys.exit
        raise SystemExit(code)

    monkeypatch.setattr("sys.exit", hooked)
    bring("methods", "import sys\nsys.exit(3)\n")
    with pytest.raises(UsageError) as error:
        methods.get("broken")
    assert error.value.line == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_class_of_its_kind_is_refused(bring, kind):
    bring(kind, "X = 3\n")
    with pytest.raises(UsageError, match=rf"the {kind[:-1]} broken is not a subclass of fer_bench\."):
        KINDS[kind].get("broken")


def test_a_method_of_another_name_than_its_entry_point_is_refused_before_anything_is_trained(bring, run_cli):
    bring("methods", block("Add a method", "python"), name="better", target="plainmethod:Plain")
    for command in (("run",), ("sweep",), ("sweep", "--dry-run")):
        code, _, err = run_cli(*command, "-m", "better", "-d", "oulu", "--targets", "none")
        assert (code, err.count("\n")) == (2, 2), err
        assert "the method calls itself 'plain', and its entry point calls it 'better'" in err


def test_what_a_class_lacks_is_named(bring):
    plain = block("Add a method", "python")
    bring("methods", plain.replace("def forward", "def onward"), "plain", "plainmethod:Plain")
    with pytest.raises(UsageError, match="the method plain does not define: forward"):
        methods.get("plain")


def test_a_method_without_a_name_is_refused(bring):
    code = block("Add a method", "python").replace('    name = "plain"\n', "")
    bring("methods", code, "plain", "plainmethod:Plain")
    with pytest.raises(UsageError, match="has no attribute 'name'"):
        methods.get("plain")


def test_two_packages_that_bring_one_name_are_named(bring):
    plain = block("Add a method", "python")
    bring("methods", plain, "plain", "plainmethod:Plain")
    bring("methods", plain, "plain", "otherplain:Plain", distribution="other")
    with pytest.raises(UsageError, match=r"two packages bring .* plain \(found 'otherplain:Plain and plainm"):
        methods.get("plain")


class TestOtherCommandsWorkOn:
    """What is broken keeps nothing else from working."""

    def test_list_and_doctor_name_a_broken_dataset(self, bring, run_cli, tiny_root):
        bring("datasets", "import nowhere_to_be_found\n")
        code, out, _ = run_cli("list", "datasets")
        assert (code, "oulu" in out, "broken" in out) == (0, True, True)
        code, out, _ = run_cli("doctor", "--data-root", tiny_root, "--json")
        assert "nowhere_to_be_found" in json.loads(out)["missing"]["broken"]

    def test_check_says_why(self, bring, run_cli, tiny_root):
        bring("datasets", "import nowhere_to_be_found\n")
        code, out, _ = run_cli("check", "dataset", "broken", "--data-root", tiny_root)
        assert (code, "nowhere_to_be_found" in out) == (2, True)

    def test_a_sweep_of_all_methods_names_the_broken_one(self, bring, run_cli, tiny_root, tmp_path):
        bring("methods", "import nowhere_to_be_found\n")
        assert run_cli("list", "methods")[0] == 0
        (tmp_path / "all.yaml").write_text("methods: all\ndatasets: [oulu]\n")
        code, _, err = run_cli("sweep", tmp_path / "all.yaml", "--dry-run", "--data-root", tiny_root)
        assert (code, "the method broken cannot be imported" in err) == (2, True)

    def test_a_broken_metric_is_refused_before_training(self, bring, run_cli, tiny_root, tmp_path):
        bring("metrics", "import nowhere_to_be_found\n")
        options = ("--data-root", tiny_root, "--targets", "none", "--max-epochs", 1)
        code, _, err = run_cli("run", "-m", "resemotenet", "-d", "oulu", *options)
        assert (code, "the metric broken cannot be imported" in err) == (2, True)
        assert not list((tmp_path / "runs").glob("*/*/*"))

    def test_the_leaderboard_shows_runs_of_methods_that_are_gone_or_broken(
        self, bring, run_cli, tiny_root, tmp_path, monkeypatch
    ):
        options = ("--data-root", tiny_root, "--targets", "none", "--max-epochs", 1)
        files = {"plainmethod.py": block("Add a method", "python")}
        where = ("fer_bench.methods", tmp_path / "there", monkeypatch, "plain")
        with installed_files(files, {"plain": "plainmethod:Plain"}, *where):
            assert run_cli("run", "-m", "plain", "-d", "oulu", *options)[0] == 0
            assert run_cli("leaderboard")[0] == 0
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        bring("datasets", "import nowhere_to_be_found\n")
        for method in ((), ("methods", "import nowhere\n", "plain", "plainmethod:Plain", "again")):
            if method:
                bring(*method)
            assert run_cli("leaderboard")[0] == 0
            assert "plain" in (tmp_path / "leaderboard" / "README.md").read_text()
