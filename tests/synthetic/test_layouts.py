import hashlib
import json
import os

import cv2
import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, folds_of
from fer_bench.datasets import MAIN_SEVEN, get
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError, UsageError
from fer_bench.synthetic import GENERATOR_VERSION, layouts

NAMES = layouts.names()


def tree(folder):
    found = {}
    for directory, _, files in os.walk(folder):
        relative = os.path.relpath(directory, folder)
        found[relative] = "folder"
        for name in files:
            with open(os.path.join(directory, name), "rb") as stream:
                found[os.path.join(relative, name)] = hashlib.sha256(stream.read()).hexdigest()
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic")
    for name in NAMES:
        layouts.write(name, out, size="tiny")
    return out


def test_the_seven_of_the_leaderboard_can_be_written():
    assert set(MAIN_SEVEN) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_do_not_depend_on_the_number_of_processes(root, tmp_path, name):
    calls = []
    layouts.write(
        name, tmp_path, size="tiny", jobs=2, progress=lambda done, total: calls.append((done, total))
    )
    assert tree(tmp_path / name) == tree(root / name)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1] > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_accepts_the_tree_and_finds_every_class(root, name):
    dataset = get(name)(root)
    index = dataset.index
    protocol = find_protocol(dataset.card, None, quick=True)
    assert set(index["label"].dropna()) >= {str(e) for e in protocol.label_set}
    for fold in folds_of(protocol):
        roles = assign_roles(index, dataset.card, protocol, fold)
        assert {"train", "val", "test"} <= set(roles)
    row = index[index["label"].notna()].iloc[0]
    picture = dataset.load(row["path"], [int(row["frame"])])[0]
    assert picture.shape[2] == 3
    assert picture.std() > 5


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_says_that_it_is_synthetic(root, name):
    marker = json.loads((root / name / layouts.MARKER).read_text())
    assert marker == {
        "synthetic": True,
        "generator_version": GENERATOR_VERSION,
        "dataset": name,
        "size": "tiny",
        "population": "benchmark",
        "seed": 0,
    }
    assert layouts.read_marker(root / name) == marker
    assert "SYNTHETIC" in (root / name / layouts.NOTICE).read_text()


def test_seed_and_population_change_the_pictures(root, tmp_path):
    mine = (root / "rafdb/basic/Image/aligned/train_00001_aligned.jpg").read_bytes()
    for option in ({"seed": 1}, {"population": "development"}):
        layouts.write("rafdb", tmp_path, size="tiny", **option)
        other = (tmp_path / "rafdb/basic/Image/aligned/train_00001_aligned.jpg").read_bytes()
        assert other != mine
        assert layouts.read_marker(tmp_path / "rafdb")[next(iter(option))] == next(iter(option.values()))


def test_what_is_there_already_is_not_written_again(root):
    before = {name: (root / name).stat().st_ino for name in ("expw", "rafdb")}
    for name in before:
        layouts.write(name, root, size="tiny", progress=lambda done, total: pytest.fail("drew a picture"))
    assert {name: (root / name).stat().st_ino for name in before} == before


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "expw").mkdir()
    (tmp_path / "expw" / "label.lst").write_text("mine")
    with pytest.raises(DataError, match="left alone") as caught:
        layouts.write("expw", tmp_path, size="tiny")
    assert caught.value.file == tmp_path / "expw"
    assert [p.name for p in tmp_path.iterdir()] == ["expw"]


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layouts.write("affectnet7", tmp_path, size="tiny", progress=stop)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_long_ago_is_removed(tmp_path):
    old, fresh = tmp_path / ".expw.1.partial", tmp_path / ".expw.2.partial"
    for folder in (old, fresh):
        folder.mkdir()
    os.utime(old, (0, 0))
    layouts.write("expw", tmp_path, size="tiny")
    assert sorted(p.name for p in tmp_path.iterdir()) == [fresh.name, "expw"]


def test_unknown_names_and_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="oulu"):
        layouts.write("olu", tmp_path)
    with pytest.raises(UsageError, match="tiny"):
        layouts.write("oulu", tmp_path, size="tinny")


def test_a_person_stays_the_same_through_a_sequence_and_differs_from_others(root):
    dataset = get("ckplus")(root)
    index = dataset.index[dataset.index["landmarks"].notna()]

    def proportions(landmarks):
        eyes = np.linalg.norm(landmarks[45] - landmarks[36])
        return (
            np.array(
                [np.linalg.norm(landmarks[16] - landmarks[0]), np.linalg.norm(landmarks[42] - landmarks[39])]
            )
            / eyes
        )

    within = [
        np.ptp([proportions(shape) for shape in rows["landmarks"]], axis=0).max()
        for _, rows in index.groupby("sequence")
    ]
    between = np.ptp(
        [proportions(rows["landmarks"].iloc[0]) for _, rows in index.groupby("subject")], axis=0
    ).max()
    assert np.median(within) < 0.5 * between


def test_ckplus_quirks(root):
    base = root / "ckplus"
    emotion_files = list(base.glob("Emotion/*/*/*.txt"))
    sessions = {p.parent for p in base.glob("cohn-kanade-images/*/*/*.png")}
    assert 0 < len(emotion_files) < len(sessions)
    text = emotion_files[0].read_text()
    assert text.startswith("   ")
    assert "e+00" in text
    folders = {"absent": 0, "empty": 0}
    for session in sessions:
        labels = base / "Emotion" / session.parent.name / session.name
        if not labels.is_dir():
            folders["absent"] += 1
        elif not list(labels.iterdir()):
            folders["empty"] += 1
    assert min(folders.values()) > 0
    channels = {cv2.imread(str(p), cv2.IMREAD_UNCHANGED).ndim for p in base.glob("*/*/*/*_00000001.png")}
    assert channels == {2, 3}


def test_ckplus_sequences_go_from_neutral_to_apex(root):
    index = get("ckplus")(root).index
    smiles = index[(index["label"] == Emotion.HAPPINESS) & index["au"].map(lambda au: au[6] == 1)]
    first = index.set_index("sample_id").loc[smiles["reference_id"]]
    for apex, rest in zip(smiles["landmarks"], first["landmarks"], strict=True):
        width = [(s[54, 0] - s[48, 0]) / (s[45, 0] - s[36, 0]) for s in (rest, apex)]
        assert width[1] > width[0]


def test_mmi_has_sideways_profile_and_dual_clips(root):
    index = get("mmi")(root).index
    assert {"frontal", "profile", "dual-left", "dual-right"} <= set(index["variant"])
    shapes = set()
    for file in (root / "mmi").glob("*/Sessions/*/*.avi"):
        video = cv2.VideoCapture(str(file))
        shapes.add((int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))))
        video.release()
    assert shapes == {(640, 480), (720, 576)}
    dataset = get("mmi")(root)
    frontal = index[index["variant"] == "frontal"]
    upright = {dataset.load(r["path"], [r["frame"]])[0].shape[:2] for _, r in frontal.iterrows()}
    assert upright == {(480, 640), (720, 576)}


def test_oulu_crops_and_originals_show_the_same(root):
    base = root / "oulu"
    for original in list(base.glob("B_OriginalImg/OriginalImg/VL/Strong/*/Anger/000.jpeg"))[:2]:
        person = original.parent.parent.name
        crop = cv2.imread(str(base / "PreProcess Img/VL_Acropped/Strong" / person / "Anger/000.jpeg"), 0)
        whole = cv2.imread(str(original), 0)
        assert whole.shape == (240, 320)
        assert cv2.matchTemplate(whole, crop, cv2.TM_CCOEFF_NORMED).max() > 0.98


def test_affwild2_masks_and_gaps(root):
    lines = (root / "affwild2/training_set_annotations.txt").read_text().splitlines()
    assert lines[0].startswith("image,")
    fields = [line.split(",") for line in lines[1:]]
    assert {len(f) for f in fields} == {16}
    assert any(float(f[1]) == -5 for f in fields)
    assert any(f[3] == "-1" for f in fields)
    assert any(f[4] == "-1" for f in fields)
    frames = [int(f[0].split("/")[1].removesuffix(".jpg")) for f in fields[:8]]
    assert (np.diff(frames) > 1).any()
    assert any("_right/" in f[0] for f in fields)


def test_expw_has_photos_of_several_faces_and_photos_of_none(root):
    lines = [line.split() for line in (root / "expw/label/label.lst").read_text().splitlines()]
    names = [line[0] for line in lines]
    assert len(set(names)) < len(names)
    assert {p.name for p in (root / "expw/image/origin").iterdir()} > set(names)
    for _, _, top, left, right, bottom, _, _ in lines:
        assert int(bottom) - int(top) == int(right) - int(left) > 40


def test_rafdb_eyes_and_mouth_are_aligned(root):
    base = root / "rafdb/basic"
    assert not (base / "EmoLabel/list_patition_label.txt").read_text().endswith("\n")
    picture = cv2.imread(str(base / "Image/aligned/train_00001_aligned.jpg"))
    assert picture.shape == (100, 100, 3)
    five = np.loadtxt(base / "Annotation/manual/train_00001_manu_attri.txt", max_rows=5)
    x0, y0, x1, y1 = np.loadtxt(base / "Annotation/boundingbox/train_00001_boundingbox.txt")
    assert ((five > (x0, y0)) & (five < (x1, y1))).all()
