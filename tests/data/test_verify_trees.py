"""Damages to trees in the official layouts, and what the check says to each: a line per damage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench import datasets
from fer_bench.data.card import Card, ExpectedCount
from fer_bench.data.dataset import FaceDataset
from fer_bench.data.protocols import unit_interval
from fer_bench.data.verify import Report, verify

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))

import test_affectnet_lists as affectnet_lists
import test_expw as expw
import test_fer2013 as fer2013
import test_mmafedb as mmafedb
import test_rafdb as rafdb
import test_sfew as sfew

PICTURES = {".jpg", ".jpeg", ".png", ".tif"}
Damage = Callable[[Path], object]


def paint(root: Path) -> Path:
    """Give every empty picture of a tree a face of its own: smooth, so that compression keeps it."""
    files = sorted(f for f in root.rglob("*") if f.suffix.casefold() in PICTURES and not f.stat().st_size)
    for seed, file in enumerate(files):
        coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
        cv2.imwrite(str(file), cv2.resize(coarse, (120, 120), interpolation=cv2.INTER_CUBIC))
    return root


def expw_tree(root: Path) -> Path:
    """Write 280 photos with one face each, all classes on all sides of the hash split."""
    lines = tuple(f"boy_{i}.jpg 0 10 10 110 110 9.5 {i % 7}" for i in range(280))
    return paint(expw.write_tree(root, lines))


def fer2013_tree(root: Path) -> Path:
    """Write the csv with four faces per class and part, no two alike."""
    lines = []
    for seed, usage in enumerate(u for u in ("Training", "PublicTest", "PrivateTest") for _ in range(28)):
        coarse = np.random.default_rng(seed).integers(0, 256, (7, 7)).astype(np.uint8)
        face = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
        lines.append(f"{seed % 7},{' '.join(map(str, face.ravel()))},{usage}")
    return fer2013.write_csv(root, lines)


def change_lines(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")


def put_test_picture_into_training(lines: list[str]) -> list[str]:
    """Give a training row of fer2013.csv the pixels of a test row of its class."""
    emotion, _, usage = lines[1].split(",")
    return [lines[0], ",".join([emotion, lines[57].split(",")[1], usage]), *lines[2:]]


TREES: dict[str, Callable[[Path], Path]] = {
    "expw": expw_tree,
    "fer2013": fer2013_tree,
    "sfew": lambda root: paint(sfew.write_tree(root)),
    "mmafedb": lambda root: paint(mmafedb.write_tree(root, 4)),
    "rafdb": lambda root: paint(rafdb.write_tree(root)).parent,
    "rafdbcompound": lambda root: paint(rafdb.write_compound(root)),
}


def check(name: str, root: Path, *, is_real: bool = False) -> Report:
    reader = datasets.get(name)
    return verify(lambda: reader(root), name, is_real=is_real, cache=root.parent / "cache")


def photo_of(side: str, root: Path, number: int = 0) -> Path:
    """Return an ExpW photo that trains or tests under the hash rule."""
    names = [f"boy_{i}.jpg" for i in range(280)]
    place = unit_interval(names, "split/expw")
    wanted = place < 0.7 if side == "train" else place >= 0.85
    return root / "image/origin" / np.array(names)[wanted][number]


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def mirror(source: Path, target: Path) -> None:
    cv2.imwrite(str(target), cv2.imread(str(source))[:, ::-1])


def shrink(source: Path, target: Path) -> None:
    cv2.imwrite(str(target), cv2.resize(cv2.imread(str(source)), (90, 90), interpolation=cv2.INTER_AREA))


SMALL, FLAT = np.eye(8, dtype=np.uint8) * 200, np.full((120, 120, 3), 90, np.uint8)
CSV = "fer2013.csv"
TRAIN, VAL = sfew.TRAIN, sfew.VAL
RAF_LIST = "basic/EmoLabel/list_patition_label.txt"
SFEW_TRAIN = f"{TRAIN}/Happy/Film3_000519240_00000003.png"
SFEW_VAL = f"{VAL}/Happy/Film100_000519240_00000000.png"


@pytest.mark.parametrize(
    ("name", "damage", "severity", "kind"),
    [
        ("expw", lambda r: copy(photo_of("test", r), photo_of("train", r)), "error", "leak"),
        ("expw", lambda r: mirror(photo_of("test", r), photo_of("train", r)), "warning", "near-leak"),
        ("expw", lambda r: copy(photo_of("train", r), photo_of("train", r, 1)), "warning", "duplicate"),
        ("expw", lambda r: cv2.imwrite(str(photo_of("train", r)), SMALL), "warning", "outside"),
        ("expw", lambda r: cv2.imwrite(str(photo_of("train", r)), FLAT), "warning", "constant"),
        ("fer2013", lambda r: change_lines(r / CSV, put_test_picture_into_training), "warning", "leak"),
        ("sfew", lambda r: copy(r / SFEW_VAL, r / SFEW_TRAIN), "error", "leak"),
        ("sfew", lambda r: shrink(r / SFEW_VAL, r / SFEW_TRAIN), "warning", "near-leak"),
        ("mmafedb", lambda r: copy(r / "test/sad/1.jpg", r / "train/sad/1.jpg"), "error", "leak"),
        ("mmafedb", lambda r: mirror(r / "test/sad/1.jpg", r / "train/sad/1.jpg"), "warning", "near-leak"),
        ("mmafedb", lambda r: copy(r / "train/sad/1.jpg", r / "train/fear/1.jpg"), "warning", "conflict"),
        ("rafdb", lambda r: (r / RAF_LIST).unlink(), "error", "layout"),
        (
            "rafdb",
            lambda r: (r / RAF_LIST).write_bytes("caf\xe9.jpg 1\n".encode("latin-1")),
            "error",
            "layout",
        ),
        (
            "rafdb",
            lambda r: change_lines(r / RAF_LIST, lambda x: [y for y in x if y[-1] != "2"]),
            "warning",
            "classes",
        ),
        (
            "rafdb",
            lambda r: change_lines(r / RAF_LIST, lambda x: [y for y in x if "test" not in y]),
            "error",
            "protocol",
        ),
        ("rafdb", lambda r: next(r.rglob("train_00003_aligned.jpg")).unlink(), "error", "layout"),
        (
            "rafdb",
            lambda r: next(r.rglob("train_00003_aligned.jpg")).write_bytes(b"<html>"),
            "error",
            "unreadable",
        ),
    ],
)
def test_a_damage_has_its_finding(tmp_path, name, damage: Damage, severity, kind):
    root = TREES[name](tmp_path / "tree")
    damage(root)
    found = {(f.severity, f.kind) for f in check(name, root).findings}
    assert (severity, kind) in found


@pytest.mark.parametrize("name", TREES)
def test_a_clean_tree_has_notes_only(tmp_path, name):
    report = check(name, TREES[name](tmp_path / "tree"))
    assert {f.severity for f in report.findings} <= {"note"}, report.findings


def test_a_list_from_windows_changes_nothing(tmp_path):
    root = TREES["rafdb"](tmp_path / "tree")
    before = check("rafdb", root).as_dict()
    text = (root / RAF_LIST).read_bytes()
    (root / RAF_LIST).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    after = check("rafdb", root).as_dict()
    assert before["rows"] == after["rows"] > 0
    assert {f["kind"] for f in after["findings"]} <= {"resumed"}


def with_counts(reader: type[FaceDataset], monkeypatch, counts: dict[tuple[str, str | None], int]) -> None:
    """Let a card's published counts be those of the small tree."""
    expected = tuple(
        ExpectedCount(split=split, code=code, unit="images", n=n, trust="page", source="here")
        for (split, code), n in counts.items()
    )
    card: Card = reader.card
    monkeypatch.setattr(reader, "card", card.model_copy(update={"counts": expected}))


def test_a_repackaged_copy_with_more_pictures_is_an_error(tmp_path, monkeypatch):
    """Enlarged RAF-DB: more pictures than were published."""
    root = TREES["rafdb"](tmp_path / "tree")
    with_counts(datasets.get("rafdb"), monkeypatch, {("train", None): 28, ("test", None): 14})
    assert not check("rafdb", root, is_real=True).has_errors
    with_counts(datasets.get("rafdb"), monkeypatch, {("train", None): 14, ("test", None): 14})
    found = [f for f in check("rafdb", root, is_real=True).findings if f.severity == "error"]
    assert [(f.kind, f.rows) for f in found] == [("enlarged", 14)]
    assert "augmented" in found[0].message


def test_a_pre_augmented_training_part_is_an_error_and_a_half_copied_one_a_warning(tmp_path, monkeypatch):
    root = TREES["fer2013"](tmp_path / "tree")
    published = {(part, None): 28 for part in ("train", "val", "test")}
    with_counts(datasets.get("fer2013"), monkeypatch, published)
    assert {f.severity for f in check("fer2013", root, is_real=True).findings} <= {"note"}
    whole = (root / CSV).read_text()

    def augment(lines: list[str]) -> list[str]:
        more = [f"{e},{' '.join(reversed(p.split()))},{u}" for e, p, u in (x.split(",") for x in lines[1:29])]
        return [*lines, *more]

    change_lines(root / CSV, augment)
    found = [f for f in check("fer2013", root, is_real=True).findings if f.severity == "error"]
    assert [(f.kind, f.rows) for f in found] == [("enlarged", 28)]
    (root / CSV).write_text(whole)
    change_lines(root / CSV, lambda lines: [lines[0], *lines[15:]])
    found = [f for f in check("fer2013", root, is_real=True).findings if f.severity != "note"]
    assert [(f.severity, f.kind, f.rows) for f in found] == [("warning", "counts", 14)]
    assert "unpack it again" in found[0].advice


def test_rows_with_affect_alone_do_not_count_as_more_pictures_than_published(tmp_path, monkeypatch):
    root = paint(affectnet_lists.write_tree(tmp_path / "tree"))
    index = datasets.get("affectnet7")(root).index
    trained = index[index["split"] == "train"]
    assert (trained["native_label"] == "8").sum() == 1
    sizes = trained["native_label"][trained["native_label"] != "8"].value_counts()
    counts = {("train", code): int(n) for code, n in sizes.items()} | {("train", None): int(sizes.sum())}
    with_counts(datasets.get("affectnet7"), monkeypatch, counts)
    kinds = {f.kind for f in check("affectnet7", root, is_real=True).findings}
    assert not kinds & {"enlarged", "counts"}
    with_counts(datasets.get("affectnet7"), monkeypatch, counts | {("train", None): int(sizes.sum()) - 1})
    report = check("affectnet7", root, is_real=True)
    assert "enlarged" in {f.kind for f in report.findings}, "a total of all annotated rows counts all of them"


def test_classes_without_a_canonical_emotion_are_a_note(tmp_path):
    report = check("rafdbcompound", TREES["rafdbcompound"](tmp_path / "tree"))
    (note,) = [f for f in report.findings if f.kind == "protocol"]
    assert note.severity == "note"
    assert "canonical emotion" in note.message


def test_a_dataset_under_anothers_name_is_told(tmp_path):
    root = TREES["rafdb"](tmp_path / "tree")
    (finding,) = check("expw", root).findings
    assert (finding.severity, finding.kind) == ("error", "layout")
    assert "looks like rafdb instead" in finding.message
