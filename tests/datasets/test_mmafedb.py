from pathlib import Path

import pytest

from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets import looks_like
from fer_bench.datasets.expw import CARD as EXPW
from fer_bench.datasets.fer2013 import CARD as FER2013
from fer_bench.datasets.mmafedb import CARD, MMAFEDB
from fer_bench.errors import DataError
from fer_bench.evaluation.transfer import counted_targets, never_cross
from fer_bench.workspace.sources import find_roots, recognised

CODES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def write_tree(root: Path, n: int = 2) -> Path:
    for part in ("train", "valid", "test"):
        for code in CODES:
            (root / part / code).mkdir(parents=True)
            for number in range(n):
                (root / part / code / f"{number}.jpg").touch()
    return root


@pytest.mark.parametrize("inner", ["", "MMAFEDB"])
def test_class_folders_of_three_parts(tmp_path: Path, inner: str) -> None:
    dataset = MMAFEDB(write_tree(tmp_path / inner))
    index = dataset.index.set_index("sample_id")
    assert len(index) == 42
    assert index.loc["valid/sad/1.jpg", ["label", "split"]].tolist() == ["sadness", "val"]
    roles = assign_roles(dataset.index, CARD, find_protocol(CARD, None))
    assert roles.tolist() == dataset.index["split"].tolist()


def test_an_empty_class_is_refused_and_another_class_is_another_dataset(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for file in (root / "valid" / "fear").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="empty class") as caught:
        _ = MMAFEDB(root).index
    assert caught.value.file == root / "valid" / "fear"
    (root / "train" / "contempt").mkdir()
    with pytest.raises(DataError, match="official layout"):
        MMAFEDB(root)


def test_it_is_never_counted_after_what_it_is_made_of() -> None:
    """In either direction, and whichever of the two datasets is asked for its card."""
    for other in ("fer2013", "ferplus", "expw"):
        for asked in (("mmafedb",), (other,)):
            excluded = never_cross(asked)
            assert counted_targets(other, ["mmafedb", "rafdb"], excluded) == ("rafdb",)
            assert counted_targets("mmafedb", [other, "rafdb"], excluded) == ("rafdb",)
    assert any("has seen pictures" in quirk.text for quirk in CARD.quirks)


def test_the_counts_are_those_of_fer2013_and_expw() -> None:
    """The finding itself: class by class, what FER2013's parts leave of the three parts sums to ExpW."""
    fer = {(c.split, c.code): c.n for c in FER2013.counts}
    mma = {(c.split, c.code): c.n for c in CARD.counts}
    expw = {c.code: c.n for c in EXPW.counts if c.code is not None}
    emotion = {native.emotion: native.code for native in FER2013.classes}
    of_expw = {native.emotion: native.code for native in EXPW.classes}
    for native in CARD.classes:
        left = sum(mma[s, native.code] - fer[s, emotion[native.emotion]] for s in ("train", "val", "test"))
        assert left == expw[of_expw[native.emotion]]
    for split in ("train", "val", "test"):
        assert sum(mma[split, code] for code in CODES) == mma[split, None]


def test_any_tree_of_seven_classes_is_a_folder_and_mmafedb_only_where_it_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "my pictures")
    assert MMAFEDB.find(root) == root, "-d mmafedb takes it"
    assert looks_like(root) == ["folder"]
    found, missing = recognised(find_roots(str(root)))
    assert found == ["folder"]
    assert "could be any pictures in class folders" in missing["mmafedb"]
    assert looks_like(write_tree(tmp_path / "mma-facial-expression")) == ["mmafedb"]


def test_it_is_recognised_by_the_size_of_its_smallest_class(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for part, n in (("valid", 650), ("test", 640)):
        for number in range(2, n):
            (root / part / "disgust" / f"{number}.jpg").touch()
    assert looks_like(root) == ["mmafedb"]
