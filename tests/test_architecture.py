"""What holds the layout together, besides the contracts of import-linter in pyproject.toml."""

import graphlib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 400
GENERATED: set[str] = set()


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("fer_bench", exclude_type_checking_imports=True)


def test_no_module_needs_itself_through_others(graph):
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports in a circle: " + " -> ".join(reversed(error.args[1])))


def test_each_test_file_mirrors_a_module():
    """`tests/a/test_b.py` and `tests/a/test_b_more.py` test `fer_bench/a/b.py`, or a page or script."""
    strays = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        place = file.relative_to(ROOT / "tests").parent
        words = file.stem.removeprefix("test_").split("_")
        names = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
        homes = [ROOT / "fer_bench" / place, ROOT / place, *(ROOT / place).glob("*/")]
        stems = {
            path.stem.casefold().replace("-", "_")
            for home in homes
            if home.is_dir()
            for path in home.iterdir()
        }
        if not names & (stems | {"registry", "architecture"}):
            strays.append(str(file.relative_to(ROOT)))
    assert strays == []


@pytest.mark.parametrize("folder", ["fer_bench", "tests", "benchmarks"])
def test_files_are_short_enough_to_read(folder):
    long = {
        str(file.relative_to(ROOT)): lines
        for file in sorted((ROOT / folder).rglob("*.py"))
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > MOST_LINES
        and str(file.relative_to(ROOT)) not in GENERATED
    }
    assert long == {}
