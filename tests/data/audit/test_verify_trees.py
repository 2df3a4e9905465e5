"""Damages to trees in the official layouts, and what the check says to each: a line per damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench import datasets
from fer_bench.data.card import Card, ExpectedCount
from fer_bench.data.packs import index_cache
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import DataError
from fer_bench.synthetic import layouts
from fer_bench.workspace.sources import find_roots, open_source
from tests.data.audit.trees import (
    PICTURES,
    TREES,
    change_lines,
    check,
    clip_of,
    copy,
    cut,
    mirror,
    paint,
    photo_of,
    shrink,
)
from tests.datasets import test_affectnet_lists as affectnet_lists
from tests.datasets import test_mmi as mmi
from tests.datasets import test_sfew as sfew

Damage = Callable[[Path], object]


def put_test_picture_into_training(lines: list[str]) -> list[str]:
    """Give a training row of fer2013.csv the pixels of a test row of its class."""
    emotion, _, usage = lines[1].split(",")
    return [lines[0], ",".join([emotion, lines[57].split(",")[1], usage]), *lines[2:]]


SMALL, FLAT = np.eye(8, dtype=np.uint8) * 200, np.full((120, 120, 3), 90, np.uint8)
CSV = "fer2013.csv"
CK_PICTURE = "cohn-kanade-images/S003/001/S003_001_00000004.png"
CK_EMOTION = "Emotion/S003/001/S003_001_00000004_emotion.txt"
OULU = "OriginalImg/VL/Strong"
WILD = "training_set_annotations.txt"
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
        ("ckplus", lambda r: cut(r / CK_PICTURE), "error", "unreadable"),
        ("ckplus", lambda r: (r / CK_EMOTION).write_text("happy"), "error", "layout"),
        (
            "ckplus",
            lambda r: [shutil.rmtree(x) for x in (r / "Emotion").glob("S0*") if x.name > "S003"],
            "error",
            "protocol",
        ),
        ("mmi", lambda r: cut(clip_of(3, r), 0.1), "error", "unreadable"),
        ("mmi", lambda r: clip_of(3, r).with_suffix(".xml").write_text("<clip>"), "error", "layout"),
        ("mmi", lambda r: [shutil.rmtree(clip_of(n, r).parent) for n in range(3, 18)], "error", "protocol"),
        ("oulu", lambda r: cut(r / OULU / "P002/Fear/003.jpeg"), "error", "unreadable"),
        (
            "oulu",
            lambda r: [shutil.rmtree(x) for x in (r / OULU).iterdir() if x.name > "P003"],
            "error",
            "protocol",
        ),
        ("oulu", lambda r: (r / OULU / "P002/Fear").rename(r / OULU / "P002/Faer"), "error", "layout"),
        ("affectnet7", lambda r: cut(r / "train_set/images/3.jpg"), "error", "unreadable"),
        ("affectnet7", lambda r: cut(r / "train_set/annotations/3_val.npy"), "error", "layout"),
        ("affectnet7", lambda r: (r / "train_set/images/3.jpg").unlink(), "error", "layout"),
        ("affwild2", lambda r: cut(r / "cropped_aligned/v1/00003.jpg"), "error", "unreadable"),
        ("affwild2", lambda r: change_lines(r / WILD, lambda x: [*x[:5], "v1", *x[6:]]), "error", "layout"),
    ],
)
def test_a_damage_has_its_finding(tmp_path, name, damage: Damage, severity, kind):
    root = TREES[name](tmp_path / "tree")
    damage(root)
    found = {(f.severity, f.kind) for f in check(name, root).findings}
    assert (severity, kind) in found


@pytest.mark.parametrize("name", ["ckplus", "affectnet7", "expw"])
def test_halved_pictures_with_the_annotation_of_the_whole_ones_are_told(tmp_path, name):
    root = layouts.write(name, tmp_path / "drawn", size="tiny")
    assert "outside" not in {f.kind for f in check(name, root).findings}
    for file in (f for f in root.rglob("*") if f.suffix.casefold() in PICTURES):
        picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(file), picture[::2, ::2])
    report = check(name, root)
    assert max(f.rows for f in report.findings if f.kind == "outside") > 0.9 * report.rows


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


def test_a_dataset_under_anothers_name_is_told(tmp_path):
    root = TREES["rafdb"](tmp_path / "tree")
    (finding,) = check("expw", root).findings
    assert (finding.severity, finding.kind) == ("error", "layout")
    assert "looks like rafdb instead" in finding.message


def test_faults_of_several_kinds_are_told_at_once(tmp_path):
    """A lost picture, an empty one and two malformed lines, beside rows that are fine."""
    root = TREES["rafdb"](tmp_path / "tree")
    clean = check("rafdb", root).rows
    next(root.rglob("train_00003_aligned.jpg")).unlink()
    next(root.rglob("train_00004_aligned.jpg")).write_bytes(b"")

    def malform(lines: list[str]) -> list[str]:
        return [lines[0] + " 9", *lines[1:4], "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg 1", *lines[5:]]

    change_lines(root / RAF_LIST, malform)
    report = check("rafdb", root)
    errors = [(f.kind, f.message) for f in report.findings if f.severity == "error"]
    for kind, words in (
        ("layout", "list_patition_label.txt, line 1: "),
        ("layout", "list_patition_label.txt, line 5: "),
        ("layout", "1 listed picture is missing"),
        ("unreadable", "train_00004_aligned.jpg"),
    ):
        assert [k for k, message in errors if words in message] == [kind], words
    assert report.rows == clean - 2, "the missing picture stays in the denominator"
    assert len(report.unreadable) == 1, "the missing picture is told once, by the list"


def test_a_malformed_row_of_the_csv_hides_no_other(tmp_path):
    root = TREES["fer2013"](tmp_path / "tree")
    change_lines(root / CSV, lambda x: [x[0], "7" + x[1][1:], *x[2:40], x[40] + " 256", *x[41:]])
    report = check("fer2013", root)
    assert [f.message.partition(": ")[0].split(", ")[1] for f in report.findings if f.kind == "layout"] == [
        "line 2",
        "line 41",
    ]
    assert report.rows == 82
    assert {f.advice for f in report.findings if f.kind == "layout"} == {
        "compare with the official layout: fer-bench data describe fer2013"
    }


def test_many_faults_are_named_up_to_a_number_and_counted(tmp_path):
    root = TREES["expw"](tmp_path / "tree")
    change_lines(root / "label/label.lst", lambda lines: [x.replace(" 9.5 ", " high ") for x in lines[:30]])
    report = check("expw", root)
    assert report.has_errors
    assert not report.rows
    change_lines(
        root / "label/label.lst",
        lambda x: [*x, *(f"boy_{i}.jpg 0 10 10 110 110 9.5 1" for i in range(30, 99))],
    )
    report = check("expw", root)
    layout = [f for f in report.findings if f.kind == "layout"]
    assert (len(layout), sum(f.rows for f in layout)) == (11, 30)
    assert layout[-1].message.startswith("20 more")


def test_a_problem_that_a_check_went_on_after_still_stops_a_run(tmp_path, monkeypatch):
    """Aff-Wild2 keeps its index: what a check read must not be served to a run."""
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "kept"))
    root = TREES["affwild2"](tmp_path / "tree")
    change_lines(root / WILD, lambda x: [*x[:5], "v1", *x[6:]])
    monkeypatch.setattr(index_cache, "SETTLED", -3600.0)
    assert check("affwild2", root).has_errors
    with pytest.raises(DataError, match="line 6"):
        _ = open_source("affwild2", find_roots(str(root))).dataset.index


@pytest.mark.parametrize("name", ["ckplus", "mmi", "oulu"])
def test_a_half_copied_lab_dataset_is_not_sent_to_this_very_command(tmp_path, name):
    root = TREES[name](tmp_path / "tree")
    for folder in [x for x in root.rglob("*") if x.is_dir() and x.name in ("S003", "S004", "P002", "P003")]:
        shutil.rmtree(folder)
    for number in range(6, 18):
        shutil.rmtree(root / mmi.DOWNLOAD / "Sessions" / str(number), ignore_errors=True)
    report = check(name, root, is_real=True)
    assert report.rows
    told = "\n".join(report.lines())
    assert "fer-bench data verify" not in told
    if name != "ckplus":
        (finding,) = [f for f in report.findings if f.kind == "protocol"]
        assert "folds need at least" in finding.message
        assert "unpack it again" in finding.advice
