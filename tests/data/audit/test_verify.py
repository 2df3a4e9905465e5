from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.audit import scan
from fer_bench.data.audit.report import Report
from fer_bench.data.audit.verify import verify
from fer_bench.data.packs.pack import open_pack
from fer_bench.datasets.folder import Folder
from fer_bench.datasets.rafdb import RAFDB
from fer_bench.emotions import LABEL_SETS
from tests.data.reading.test_decoder_messages import half, zeroed
from tests.data.toy import CARD, Toy, toy_rows

CODES = {"1": 4, "2": 3, "3": 3, "4": 5, "5": 3, "6": 3, "7": 6}


def noise(seed: int, size: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


@pytest.fixture
def raf(tmp_path: Path) -> Path:
    """A small RAF-DB: aligned faces and one list."""
    base = tmp_path / "rafdb" / "basic"
    (base / "EmoLabel").mkdir(parents=True)
    (base / "Image" / "aligned").mkdir(parents=True)
    lines = []
    for split in ("train", "test"):
        number = 0
        for code, n in CODES.items():
            for _ in range(n):
                number += 1
                lines.append(f"{split}_{number:05d}.jpg {code}")
                file = base / "Image" / "aligned" / f"{split}_{number:05d}_aligned.jpg"
                cv2.imwrite(str(file), noise(len(lines)))
    (base / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "rafdb"


def aligned(raf: Path, name: str) -> Path:
    return next(raf.rglob(f"{name}_aligned.jpg"))


def label_list(raf: Path) -> Path:
    return next(raf.rglob("list_patition_label.txt"))


def truncate(raf: Path) -> None:
    file = aligned(raf, "train_00002")
    file.write_bytes(file.read_bytes()[:-500])


def malform(raf: Path) -> None:
    lines = label_list(raf).read_text().splitlines()
    lines[2] = lines[2].replace(" 1", " happy")
    label_list(raf).write_text("\n".join(lines))


def drop_class(raf: Path) -> None:
    lines = label_list(raf).read_text().splitlines()
    label_list(raf).write_text(
        "\n".join(x for x in lines if not (x.startswith("test") and x.endswith(" 3"))) + "\n"
    )


def drop_test(raf: Path) -> None:
    lines = label_list(raf).read_text().splitlines()
    label_list(raf).write_text("\n".join(x for x in lines if x.startswith("train")) + "\n")


def check(raf: Path, *, is_real: bool = False) -> Report:
    return verify(lambda: RAFDB(raf), "rafdb", is_real=is_real)


def test_a_clean_dataset_has_no_finding(raf):
    report = check(raf)
    assert report.rows == 2 * sum(CODES.values())
    assert [f for f in report.findings if f.severity != "note"] == []
    assert not report.has_errors
    assert report.unreadable == []


@pytest.mark.parametrize(
    ("damage", "severity", "words"),
    [
        (truncate, "error", "train_00002_aligned.jpg: the JPEG is truncated"),
        (
            lambda raf: aligned(raf, "train_00001").write_bytes(b""),
            "error",
            "train_00001_aligned.jpg: .*0 bytes",
        ),
        (
            lambda raf: cv2.imwrite(str(aligned(raf, "test_00001")), noise(0) * 0 + [0, 9, 200]),
            "warning",
            "one colour",
        ),
        (malform, "error", "list_patition_label.txt, line 3: .*happy"),
        (drop_class, "warning", "no row of disgust to test under"),
        (drop_test, "error", "cannot be used: rafdb/.* leaves no labelled row to test"),
        (lambda raf: aligned(raf, "train_00001").unlink(), "error", "train_00001"),
        (lambda raf: label_list(raf).unlink(), "error", "not found|missing"),
    ],
    ids=["truncated", "empty", "constant", "malformed", "no class", "no test part", "no picture", "no list"],
)
def test_a_damage_is_found_and_named(raf, damage: Callable[[Path], object], severity, words, capfd):
    damage(raf)
    report = check(raf)
    found = [f for f in report.findings if re.search(words, f.message.replace("\n", " "))]
    assert [f.severity for f in found][:1] == [severity], report.findings
    assert report.has_errors == (severity == "error")
    assert "Traceback" not in str(report.findings)


def test_unreadable_pictures_are_counted_with_their_share_and_listed_for_leaving_out(raf, capfd):
    truncate(raf)
    aligned(raf, "test_00003").write_bytes(b"")
    report = check(raf)
    total = next(f for f in report.findings if "2 file(s) cannot be decoded" in f.message)
    assert (total.rows, total.share) == (2, 2 / report.rows)
    dataset = RAFDB(raf)
    assert sorted(dataset.base / path for path in report.unreadable) == sorted(
        [aligned(raf, "train_00002"), aligned(raf, "test_00003")]
    )
    assert dataset.leave_out(report.unreadable) == 2
    again = verify(lambda: dataset, "rafdb", is_real=False)
    assert not again.has_errors


def test_published_counts_are_compared_on_real_data_only(raf):
    messages = [f.message for f in check(raf, is_real=True).findings if f.severity == "warning"]
    assert any("27 images of all classes in train, where 12271 are published" in m for m in messages)
    assert not [f for f in check(raf, is_real=False).findings if f.severity == "warning"]


def test_classes_are_told_with_their_split_and_the_share_is_of_the_published_number(raf):
    report = check(raf, is_real=True)
    train, test = (f for f in report.findings if f.kind == "counts")
    assert "4 of class 1 (published: 1290)" in train.message
    assert "4 of class 1 (published: 329)" in test.message
    assert train.share == pytest.approx((12271 - 27) / 12271)
    assert "(99.78% of those published)" in "\n".join(report.lines())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box": (30.0, 2.0, 40.0, 12.0)}, "1 box.es. or landmark set"),
        ({"box": (-9.0, 2.0, -1.0, 12.0)}, "1 box.es. or landmark set"),
        ({"box": (0.0, 0.0, 5000.0, 5000.0)}, "1 box.es. or landmark set"),
        ({"box": (11.0, 2.0, 31.0, 12.0)}, "1 box.es. or landmark set"),  # its centre is not inside
        ({"landmarks": np.array([[5.0, 90.0]], np.float32)}, "1 box.es. or landmark set"),
        ({"landmarks": np.array([[5.0, 15.0], [5.0, 26.0]], np.float32)}, "1 box.es. or landmark set"),
        ({"landmarks": np.array([[5.0, 5.0]] * 67 + [[5.0, 90.0]], np.float32)}, "1 box.es. or landmark set"),
    ],
)
def test_a_face_outside_its_picture_is_counted(make_toy, change, words):
    rows = toy_rows(8)
    rows[1] |= {
        "box": (-3.0, 2.0, 12.0, 25.0),
        "landmarks": np.array([[-1.0, 3.0], [9.0, 9.0]], np.float32),
    }  # reaches beyond: fine
    assert not verify(lambda: make_toy(rows), "toy", is_real=False).findings
    rows[4] |= change
    report = verify(lambda: make_toy(rows), "toy", is_real=False)
    assert [(f.severity, f.rows) for f in report.findings] == [("warning", 1)]
    assert re.search(words, report.findings[0].message)


@pytest.mark.parametrize("kind", ["box", "landmarks"])
def test_many_faces_that_reach_far_beyond_their_pictures_are_told_once(make_toy, kind):
    """Centres are inside: pictures that somebody has shrunk look like this."""
    rows = toy_rows(8)
    corners = (1.0, 1.0, 17.0, 24.0)
    reach = {"box": corners} if kind == "box" else {"landmarks": np.reshape(corners, (2, 2))}
    for row in rows[:7]:
        row |= reach  # 7 of 144: under 5 %
    assert not verify(lambda: make_toy(rows), "toy", is_real=False).findings
    rows[7] |= reach
    (finding,) = verify(lambda: make_toy(rows), "toy", is_real=False).findings
    assert (finding.severity, finding.kind, finding.rows) == ("warning", "outside", 8)
    assert "by over 15% of its side" in finding.message
    assert "scaled or cropped" in finding.advice


def test_a_group_on_both_sides_is_an_error(make_toy):
    rows = [row | {"reference_id": None, "is_neutral_frame": False} for row in toy_rows(8)]
    for row in rows:
        if row["subject"] in ("S00", "S01"):
            row["group"] = "twins"
    report = verify(lambda: make_toy(rows), "toy", is_real=False)
    assert [(f.severity, f.message) for f in report.findings] == [
        ("error", "1 group(s) are on both sides of the split")
    ]


def test_too_few_subjects_for_the_folds_are_an_error(make_toy):
    report = verify(lambda: make_toy(toy_rows(3)), "toy", is_real=False)
    assert report.has_errors
    assert "4 folds need at least 4 labelled subjects" in report.findings[0].message


def test_a_dataset_without_a_training_part_is_a_target_and_no_error(tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / "test" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "test" / name / "a.png"), noise(1, 20))
    report = verify(lambda: Folder(tmp_path), "folder", is_real=True)
    assert not report.has_errors
    assert any("cannot be used" in f.message for f in report.findings)


def test_a_missing_dataset_is_one_finding(tmp_path):
    report = verify(lambda: Toy(tmp_path), "toy", is_real=True)
    assert [f.severity for f in report.findings] == ["error"]
    assert "fer-bench data describe toy" in report.findings[0].message
    assert report.rows == 0
    assert report.as_dict()["findings"][0]["severity"] == "error"


def test_published_fold_sizes_are_compared(make_toy):
    toy = make_toy(toy_rows(8))
    toy.card = CARD.model_copy(update={"fold_sizes": (12, 12, 12, 12)})
    assert not verify(lambda: toy, "toy", is_real=True).findings
    toy.card = CARD.model_copy(update={"fold_sizes": (12, 12, 12, 11)})
    (finding,) = verify(lambda: toy, "toy", is_real=True, fresh=True).findings
    assert "sequences per fold are [12, 12, 12, 12]" in finding.message
    assert toy.card.protocols[0].label_set == LABEL_SETS["6"]


def test_progress_reaches_the_number_of_files(make_toy):
    steps = []
    toy = make_toy(toy_rows(4))
    verify(lambda: toy, "toy", is_real=False, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (72, 72)


def test_jpegs_that_decode_only_in_part_are_named_and_decoders_are_silent(raf, capfd):
    files = [aligned(raf, name) for name in ("train_00003", "test_00002")]
    for file, harm in zip(files, (half, zeroed), strict=True):
        file.write_bytes(harm(file.read_bytes()))
    report = verify(lambda: RAFDB(raf), "rafdb", is_real=False)
    assert [Path(path).name for path in report.unreadable] == [file.name for file in reversed(files)]
    text = "\n".join(report.lines())
    for file in files:
        assert re.search(rf"{file.name}: the picture is damaged: ", text)
    assert "2 file(s) cannot be decoded" in text
    open_pack(RAFDB(raf), 48)
    assert capfd.readouterr().err == ""


def test_one_coloured_pictures_are_named(raf):
    for name in ("train_00001", "test_00002"):
        cv2.imwrite(str(aligned(raf, name)), noise(0) * 0 + [0, 9, 200])
    (found,) = [f for f in check(raf).findings if f.kind == "constant"]
    assert {Path(name).stem for name in found.names} == {"train_00001_aligned", "test_00002_aligned"}


def test_absent_pictures_are_listed_for_exclude_and_the_reader_accepts_them(raf):
    aligned(raf, "train_00003").unlink()
    report = check(raf)
    assert report.absent == ["Image/aligned/train_00003_aligned.jpg"]
    dataset = RAFDB(raf)
    assert dataset.leave_out([*report.absent, *report.unreadable]) == 1
    assert len(dataset.index) == report.rows - 1


def test_what_a_note_is_about_is_named_in_full_in_a_file(raf, tmp_path):
    folder = label_list(raf).parents[1] / "Annotation" / "manual"
    folder.mkdir(parents=True)
    report = verify(lambda: RAFDB(raf), "rafdb", is_real=False, cache=tmp_path / "cache")
    (found,) = [f for f in report.findings if f.message == "54 pictures have no file in manual"]
    assert len(found.names) == 10
    assert len(Path(found.listed_in).read_text().splitlines()) == 54


def test_threads_are_for_files_that_take_long_to_decode(raf, monkeypatch):
    monkeypatch.setattr(scan, "usable_cores", lambda: 8)
    dataset = RAFDB(raf)
    files = sorted(raf.rglob("*_aligned.jpg"))

    def threads(size: int) -> int:
        for file in files:
            file.write_bytes(bytes(size))
        return scan.useful_threads(dataset)

    assert [threads(size) for size in (0, 1_000, 6_000, 16_000, 300_000)] == [1, 1, 1, 3, 8]
    files[0].unlink()
    assert scan.useful_threads(dataset) == 8
    dataset.index["path"] = dataset.index["path"].iloc[1]  # one file of 300 kB with all pictures
    assert scan.useful_threads(dataset) == round(300_000 / len(files) / scan.BYTES_PER_THREAD)
