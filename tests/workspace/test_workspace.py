from pathlib import Path

import pytest

from fer_bench.datasets import looks_like
from fer_bench.errors import DataError
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.data.audit.trees import paint


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """FER2013 as class folders: any reader of folders takes them as well."""
    root = tmp_path / "fer2013"
    for part, usage in (("train", "Training"), ("test", "PublicTest"), ("test", "PrivateTest")):
        for number, code in enumerate(("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")):
            (root / part / code).mkdir(parents=True, exist_ok=True)
            (root / part / code / f"{usage}_{number}.jpg").touch()
    return paint(root)


@pytest.mark.parametrize("place", [".", "train", ".."])
def test_a_target_in_the_tree_of_the_source_is_refused(tree: Path, place: str) -> None:
    assert looks_like(tree) == ["fer2013"]
    target = tree / place
    if place == "..":
        for code in ("happy", "sad"):
            (tree.parent / code).mkdir()
    (tree.parent / "link").symlink_to(target)
    for path in (target, tree.parent / "link"):
        workspace = Workspace(find_roots(str(tree)).with_folder(path))
        with pytest.raises(DataError, match="folder is in the same folder tree as fer2013"):
            workspace.targets(["folder"], "fer2013")
        with pytest.raises(DataError, match="same folder tree" if place != ".." else "match no emotion"):
            workspace.source("fer2013+folder")


def test_neighbours_are_no_part_of_each_other(tree: Path) -> None:
    for code in ("happy", "sad"):
        (tree.parent / "fer2013 too" / code).mkdir(parents=True)
    workspace = Workspace(find_roots(str(tree)).with_folder(tree.parent / "fer2013 too"))
    assert workspace.targets(["folder"], "fer2013") == (["folder"], {})
