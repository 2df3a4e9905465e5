"""The threat model of SECURITY.md: the tests it names exist, and those that have no other home are here."""

import ast
import re
from pathlib import Path

import pytest

import fer_bench
from fer_bench.datasets.folder_classes import class_names
from fer_bench.errors import FerBenchError
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.results.record import Failure, Record
from fer_bench.results.store import Store
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.workspace.sources import find_roots

ROOT = Path(fer_bench.__file__).parents[1]
MODEL = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| .* \| `(tests/[\w/]+\.py)::(\w+)` \|$", MODEL, re.MULTILINE)
EVIL = "!!python/object/apply:os.system ['touch executed']"


def test_every_line_of_the_threat_model_names_a_test():
    rows = [
        line
        for line in MODEL.splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
    ]
    assert len(LINES) == len(rows) > 15


@pytest.mark.parametrize(("file", "name"), LINES)
def test_the_test_exists(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def calls():
    """Return every call in the package: file and line, name and keyword arguments as text."""
    for file in sorted(Path(fer_bench.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
                yield f"{file.name}:{node.lineno}", ast.unparse(node.func), keywords


def imports():
    """Return every module or name that the package imports: file and line, and its full name."""
    for file in sorted(Path(fer_bench.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((f"{file.name}:{node.lineno}", name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((f"{file.name}:{node.lineno}", f"{node.module}.{n.name}") for n in node.names)


def test_nothing_that_unpickles_is_imported():
    """So it cannot be called under another name."""
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    named = {
        "yaml.load",
        "yaml.unsafe_load",
        "yaml.full_load",
        "torch.load",
        "torch.hub",
        "pandas.read_pickle",
    }
    wrong = [(place, name) for place, name in imports() if name.split(".")[0] in forbidden or name in named]
    assert not wrong


def test_nothing_unpickles_or_evaluates():
    forbidden = {
        "eval",
        "exec",
        "yaml.load",
        "yaml.unsafe_load",
        "yaml.full_load",
        "joblib.load",
        "pd.read_pickle",
        "os.system",
        "torch.hub.load",
    }
    wrong = []
    for place, name, keywords in calls():
        unsafe_torch = name == "torch.load" and keywords.get("weights_only") != "True"
        unsafe_numpy = name == "np.load" and keywords.get("allow_pickle", "False") != "False"
        if (
            name in {*forbidden, "os.system"}
            or unsafe_torch
            or unsafe_numpy
            or keywords.get("shell") == "True"
        ):
            wrong.append(f"{place} {name}")
    assert wrong == []
    assert any(name == "torch.load" for _, name, _ in calls())


@pytest.mark.parametrize(
    "read",
    [
        lambda file: read_sweep(file),
        lambda file: find_roots(file),
        lambda file: class_names(file),
        lambda file: resolve_settings("gcn", "quick", [f"method.lr={EVIL}"]),
    ],
    ids=["sweep", "data roots", "classes", "setting"],
)
def test_yaml_constructs_no_objects(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.yaml"
    file.write_text(f"rafdb: {EVIL}\n")
    with pytest.raises(FerBenchError):
        read(file)
    assert not (tmp_path / "executed").exists()


def test_text_of_a_record_is_not_html_on_the_board(tmp_path):
    evil = "<script>alert(1)</script> | [x](javascript:alert(1))"
    store = Store(tmp_path / "runs")
    failed = Record(
        status="failed",
        error=Failure(kind="RuntimeError", message=evil),
        warnings=(evil,),
        key="0123456789abcdef",
        method="gcn",
        dataset="oulu",
        protocol="6-4fold",
        fold=1,
        folds=4,
        seed=0,
        profile="quick",
        data_kind="synthetic",
        classes=("anger",),
        settings={},
        key_fields={},
    )
    store.run_dir("gcn", "oulu", failed.key).write_record(failed)
    for file in write_leaderboard(store, tmp_path / "out"):
        if file.suffix in (".md", ".html"):
            text = file.read_text(encoding="utf-8")
            assert "alert(1)" in text
            assert "<script>alert" not in text
            assert not re.search(r"(href|src)=.?javascript:", text)
            assert file.suffix == ".html" or not re.search(r"(?<!\\)\]\(javascript:", text)
