"""A table of damages to small trees, and what the check says to each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.audit import lookalikes, scan
from fer_bench.data.audit.lookalikes import face_region, near_pairs, shrink_all, take_prints
from fer_bench.data.audit.report import Report
from fer_bench.data.audit.verify import verify
from fer_bench.data.card import ExpectedCount, Official, Protocol
from fer_bench.data.packs import filling
from fer_bench.datasets.fer2013 import FER2013
from fer_bench.emotions import LABEL_SETS, Emotion
from tests.data.toy import CARD, Toy, toy_rows

WILD = CARD.model_copy(
    update={
        "setting": "wild",
        "protocols": (Protocol(name="6-official", label_set=LABEL_SETS["6"], split=Official()),),
        "default_protocol": "6-official",
        "quick_protocol": "6-official",
        "counts": tuple(
            ExpectedCount(split=split, code=None, unit="images", n=n, trust="page", source="page")
            for split, n in (("train", 36), ("test", 12))
        ),
    }
)


def face(seed: int, size: int = 48) -> np.ndarray:
    """Return a smooth random picture: what survives scaling and recompression."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def wild(tmp_path: Path) -> Toy:
    """A made-up wild dataset: 36 training and 12 test pictures, two per class to test."""
    folder = tmp_path / "toy" / "pictures"
    folder.mkdir(parents=True)
    rows = []
    for i in range(48):
        label = LABEL_SETS["6"][i % 6].value
        split = "train" if i < 36 else "test"
        rows.append(
            {
                "sample_id": f"{split}{i:02d}",
                "path": f"pictures/{split}{i:02d}.png",
                "native_label": label,
                "label": label,
                "split": split,
            }
        )
        cv2.imwrite(str(folder / f"{split}{i:02d}.png"), face(i))
    toy = Toy(tmp_path / "toy")
    toy.card, toy.given = WILD, rows
    return toy


def check(toy: Toy, tmp_path: Path, *, is_real: bool = True) -> Report:
    return verify(lambda: toy, "toy", is_real=is_real, cache=tmp_path / "cache")


def file(toy: Toy, name: str) -> Path:
    return toy.base / "pictures" / f"{name}.png"


def put(toy: Toy, name: str, picture: np.ndarray) -> None:
    cv2.imwrite(str(file(toy, name)), picture)


def copy_test_picture_to_train(toy: Toy) -> None:
    put(toy, "train00", cv2.imread(str(file(toy, "test36"))))  # 36 = 0 modulo 6: the same label


def copy_train_picture(toy: Toy) -> None:
    put(toy, "train00", cv2.imread(str(file(toy, "train12"))))


def copy_under_another_label(toy: Toy) -> None:
    put(toy, "train00", cv2.imread(str(file(toy, "train07"))))


def recompress_into_train(toy: Toy) -> None:
    small = cv2.resize(cv2.imread(str(file(toy, "test36"))), (40, 40), interpolation=cv2.INTER_AREA)
    put(toy, "train00", cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], 1))


def mirror_into_train(toy: Toy) -> None:
    put(toy, "train00", cv2.imread(str(file(toy, "test36")))[:, ::-1])


def augment_train(toy: Toy) -> None:
    picture = cv2.imread(str(file(toy, "train00")))
    put(toy, "more", cv2.convertScaleAbs(picture, alpha=0.9, beta=10))
    toy.given.append({**toy.given[0], "sample_id": "more", "path": "pictures/more.png"})


def put_subject_on_both_sides(toy: Toy) -> None:
    toy.given[0]["subject"] = toy.given[40]["subject"] = "Jane"


def lose_pictures(toy: Toy) -> None:
    toy.given = toy.given[2:]


def name_after_labels(toy: Toy) -> None:
    for row in toy.given:
        new = f"pictures/{row['label']}_boy_{row['sample_id']}.png"
        (toy.base / row["path"]).rename(toy.base / new)
        row["path"] = new


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (copy_test_picture_to_train, {("error", "leak", 2)}),
        (copy_train_picture, {("warning", "duplicate", 2)}),
        (copy_under_another_label, {("warning", "duplicate", 2), ("warning", "conflict", 2)}),
        (recompress_into_train, {("warning", "near-leak", 2)}),
        (mirror_into_train, {("warning", "near-leak", 2)}),
        (augment_train, {("error", "enlarged", 1), ("note", "near-duplicate", 2)}),
        (put_subject_on_both_sides, {("warning", "subject", 2)}),
        (lose_pictures, {("warning", "counts", 2)}),
        (name_after_labels, {("note", "names", 48)}),
        (lambda toy: put(toy, "test36", face(0) * 0), {("warning", "constant", 1)}),
        (
            lambda toy: file(toy, "test36").write_bytes(b"x"),
            {("error", "unreadable", 0), ("error", "unreadable", 1)},
        ),
        (lambda toy: None, set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damage_has_its_finding_and_no_other(wild, tmp_path, damage, expected):
    damage(wild)
    report = check(wild, tmp_path)
    assert {(f.severity, f.kind, f.rows) for f in report.findings} == expected, report.findings
    assert all(f.advice for f in report.findings if f.severity != "note" and f.rows)


def test_a_leak_names_its_share_an_example_and_the_rows_to_leave_out(wild, tmp_path):
    copy_test_picture_to_train(wild)
    report = check(wild, tmp_path)
    (finding,) = report.findings
    assert "1 test picture(s), 8.33% of them" in finding.message
    assert "pictures/test36.png and pictures/train00.png" in finding.message
    assert report.copies == ["train00"]
    wild.leave_out(report.copies)
    assert {f.kind for f in check(wild, tmp_path, is_real=False).findings} == {"reader"}


def test_where_a_protocol_without_copies_stands_beside_they_are_a_warning(wild, tmp_path):
    copy_test_picture_to_train(wild)
    wild.card = WILD.model_copy(
        update={"protocols": (*WILD.protocols, WILD.protocols[0].model_copy(update={"name": "dedup"}))}
    )
    (finding,) = check(wild, tmp_path).findings
    assert (finding.severity, finding.kind) == ("warning", "leak")
    assert "--protocol dedup" in finding.advice


def test_a_subject_copied_under_another_name_is_an_error(make_toy, tmp_path):
    rows = toy_rows(8)
    toy = make_toy(rows)
    assert not check(toy, tmp_path).findings
    put(toy, "S00-0-1", cv2.imread(str(file(toy, "S03-0-1"))))
    (finding,) = check(toy, tmp_path).findings
    assert (finding.severity, finding.kind, finding.rows) == ("error", "leak", 2)


def test_frames_of_one_sequence_are_alike_by_nature(make_toy, tmp_path):
    toy = make_toy(toy_rows(8))
    put(toy, "S00-0-1", cv2.imread(str(file(toy, "S00-0-2"))))
    assert not check(toy, tmp_path).findings


def test_two_faces_of_one_photo_are_not_the_same_picture(wild, tmp_path):
    wild.given[1]["path"] = wild.given[0]["path"]
    wild.given[0]["box"], wild.given[1]["box"] = (0.0, 0.0, 20.0, 20.0), (24.0, 24.0, 48.0, 48.0)
    assert not check(wild, tmp_path).findings


def test_a_stopped_check_goes_on_where_it_was(wild, tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "FILES_AT_ONCE", 5)
    monkeypatch.setattr(scan, "useful_threads", lambda dataset: 2)
    loaded = []
    load = wild.load
    monkeypatch.setattr(wild, "load", lambda path, frames: loaded.append(path) or load(path, frames))

    def stop(done, total):
        assert total == 48
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(lambda: wild, "toy", is_real=True, cache=tmp_path, progress=stop)
    assert len(loaded) == 20
    put(wild, "train13", cv2.imread(str(file(wild, "train07"))))  # a changed file starts anew
    loaded.clear()
    with pytest.raises(KeyboardInterrupt):
        verify(lambda: wild, "toy", is_real=True, cache=tmp_path, progress=stop)
    loaded.clear()
    report = verify(lambda: wild, "toy", is_real=True, cache=tmp_path)
    assert len(loaded) == 28
    assert {f.kind for f in report.findings} == {"resumed", "duplicate"}
    loaded.clear()
    assert {
        f.kind for f in verify(lambda: wild, "toy", is_real=True, cache=tmp_path, fresh=True).findings
    } == {"duplicate"}
    assert len(loaded) == 48


def test_an_unreadable_file_is_looked_at_again(wild, tmp_path):
    good = file(wild, "test36").read_bytes()
    file(wild, "test36").write_bytes(b"x")
    for _ in range(2):
        report = check(wild, tmp_path)
        assert report.unreadable == ["pictures/test36.png"]
        assert "test36.png: the picture cannot be decoded" in report.findings[-2].message
    file(wild, "test36").write_bytes(good)
    assert not check(wild, tmp_path).findings


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_state_is_as_good_as_none(wild, tmp_path, content):
    check(wild, tmp_path)
    (state,) = (tmp_path / "cache" / "verify").glob("*.npy")
    state.write_bytes(content)
    assert not check(wild, tmp_path).findings


def test_a_cache_that_cannot_be_written_is_a_note(wild, tmp_path):
    (tmp_path / "cache").write_text("a file")
    (finding,) = check(wild, tmp_path).findings
    assert (finding.severity, finding.kind) == ("note", "resumed")


def test_the_data_root_is_never_written_to(wild, tmp_path):
    before = sorted(wild.base.rglob("*"))
    places = [wild.base, wild.base / "pictures"]
    for place in places:
        place.chmod(0o555)
    try:
        assert not check(wild, tmp_path).has_errors
    finally:
        for place in places:
            place.chmod(0o755)
    assert sorted(wild.base.rglob("*")) == before


class TestPairs:
    def prints(self, pictures):
        return take_prints(shrink_all(pictures))

    def pairs(self, prints):
        found = set()
        for a, b in near_pairs(prints, np.arange(len(prints)), lambda a, b: a != b):
            found |= {tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)}
        return found

    @pytest.mark.parametrize("grey", [False, True])
    def test_a_print_does_not_depend_on_the_pictures_beside_it(self, grey):
        rng = np.random.default_rng(1)
        shapes = [(48, 48), (12, 300), (48, 48), (200, 180), (100, 100), (16, 16)]
        pictures = [rng.integers(0, 256, (*shape, 1 if grey else 3), dtype=np.uint8) for shape in shapes]
        pictures = [np.broadcast_to(each, (*each.shape[:2], 3)) for each in pictures]
        alone = [self.prints([picture])[0].tobytes() for picture in pictures]
        assert [each.tobytes() for each in self.prints(pictures)] == alone

    def test_banding_finds_what_comparing_all_finds(self, monkeypatch):
        rng = np.random.default_rng(0)
        prints = np.zeros(300, lookalikes.PRINT)
        bits = rng.integers(0, 2**63, 300, dtype=np.uint64)
        for i in range(0, 300, 3):  # two neighbours at distances 1 to 4
            for step in (1, 2):
                flips = rng.choice(64, 1 + (i + step) % 4, replace=False)
                bits[i + step] = bits[i] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64))
        prints["hash"] = bits
        prints["mirrored"] = rng.integers(0, 2**63, 300, dtype=np.uint64)
        monkeypatch.setattr(lookalikes, "_correlate", lambda prints, a, b, mirrored: np.ones(len(a), bool))
        apart = np.bitwise_count(bits[:, None] ^ bits[None])
        expected = {(a, b) for a, b in np.argwhere(apart <= lookalikes.DISTANCE).tolist() if a < b}
        assert len(expected) > 100
        assert self.pairs(prints) == expected

    def test_lookalikes_are_told_from_strangers(self):
        pictures = [face(i) for i in range(60)]
        pictures.append(cv2.convertScaleAbs(pictures[3], alpha=0.8, beta=20))
        pictures.append(np.ascontiguousarray(pictures[5][:, ::-1]))
        pictures.append(cv2.resize(pictures[7], (96, 96)))
        assert self.pairs(self.prints(pictures)) == {(3, 60), (5, 61), (7, 62)}

    def test_a_print_is_of_the_pixels_and_the_shape(self):
        flat = np.zeros((8, 16, 3), np.uint8)
        changed = face(1)
        changed[0, 0, 0] ^= 1
        pixels = self.prints([flat, flat.reshape(16, 8, 3), changed, face(1), face(1)])["pixels"].tolist()
        assert len(set(pixels[:4])) == 4
        assert pixels[3] == pixels[4]

    def test_the_last_bit_of_any_pixel_changes_a_print(self):
        rng = np.random.default_rng(0)
        pictures = [face(1)]
        for _ in range(200):
            pictures.append(face(1))
            y, x, channel = rng.integers(0, pictures[0].shape)
            pictures[-1][y, x, channel] ^= 1
        prints = self.prints(pictures)
        where = {tuple(np.argwhere(picture != pictures[0])[0]) for picture in pictures[1:]}
        assert len(set(prints["pixels"].tolist())) == 1 + len(where)

    @pytest.mark.parametrize("shape", [(16, 16), (17, 300), (48, 48), (100, 131), (224, 224)])
    def test_thumbnails_and_hashes_are_those_of_opencv(self, shape):
        """Means over the area of each cell; one half-way between two integers may be rounded either way."""
        coarse = np.random.default_rng(0).integers(0, 256, (20, 9, 9, 3)).astype(np.uint8)
        pictures = [cv2.resize(each, shape[::-1], interpolation=cv2.INTER_CUBIC) for each in coarse]
        prints = self.prints(pictures)
        for picture, found in zip(pictures, prints, strict=True):
            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            wanted = cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).reshape(-1)
            differ = found["thumbnail"] != wanted
            assert differ.mean() < 0.02
            assert np.abs(found["thumbnail"].astype(int) - wanted)[differ].max(initial=0) <= 1
            cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(int)
            clear = np.abs(np.diff(cells, axis=1)) > 1
            for name, sign in (("hash", 1), ("mirrored", -1)):
                bits = np.unpackbits(np.array([found[name]], ">u8").view(np.uint8)).reshape(8, 8)
                steps = np.diff(cells[:, ::sign], axis=1) > 0
                assert ((bits == steps) | ~clear[:, ::sign]).all()

    def test_prints_do_not_depend_on_their_company(self):
        pictures = [face(number) for number in range(5)] + [face(9)[:12, :7]]
        together = self.prints(pictures)
        for picture, found in zip(pictures, together, strict=True):
            assert self.prints([picture])[0] == found
        assert len(self.prints([])) == 0

    @pytest.mark.parametrize(
        ("box", "shape"),
        [
            (None, (40, 60)),
            ((10.2, 5, 30, 25), (20, 20)),
            ((-5, -5, 10, 8), (8, 10)),
            ((70, 5, 90, 9), (40, 60)),
        ],
    )
    def test_the_face_is_what_is_inside_its_box(self, box, shape):
        assert face_region(np.zeros((40, 60, 3), np.uint8), box).shape[:2] == shape

    def test_a_crowd_of_equal_hashes_stays_bounded(self):
        prints = np.zeros(5_000, lookalikes.PRINT)
        count = sum(len(a) for a, _ in near_pairs(prints, np.arange(5_000), lambda a, b: a + b < 0))
        assert count == 0


def test_every_emotion_has_a_name_that_files_may_carry():
    from fer_bench.data.audit.verify import SHORTEST_ALIAS
    from fer_bench.emotions import aliases

    assert all(max(map(len, aliases(emotion))) >= SHORTEST_ALIAS for emotion in Emotion)


def test_copies_in_a_csv_are_named_by_their_rows(tmp_path):
    greys = [" ".join([str(value)] * 2303 + ["255"]) for value in (10, 60, 60, 110, 160, 210, 30, 80)]
    usages = ["Training"] * 3 + ["PublicTest"] + ["PrivateTest"] * 4
    rows = [f"{i % 7},{pixels},{usage}" for i, (pixels, usage) in enumerate(zip(greys, usages, strict=True))]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    report = verify(lambda: FER2013(tmp_path), "fer2013", is_real=False, cache=tmp_path / "cache")
    (found,) = [f for f in report.findings if f.kind == "duplicate"]
    assert found.names == ("00001", "00002")
    assert "first 00001 and 00002" in found.message
