"""What trips up readers, as each layout plants it."""

import cv2
import numpy as np

from fer_bench.datasets import get
from fer_bench.emotions import Emotion


def test_ckplus_quirks(drawn):
    base = drawn / "ckplus"
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


def test_ckplus_sequences_go_from_neutral_to_apex(drawn):
    index = get("ckplus")(drawn).index
    smiles = index[(index["label"] == Emotion.HAPPINESS) & index["au"].map(lambda au: au[6] == 1)]
    first = index.set_index("sample_id").loc[smiles["reference_id"]]
    for apex, rest in zip(smiles["landmarks"], first["landmarks"], strict=True):
        width = [(s[54, 0] - s[48, 0]) / (s[45, 0] - s[36, 0]) for s in (rest, apex)]
        assert width[1] > width[0]


def test_mmi_has_sideways_profile_and_dual_clips(drawn):
    index = get("mmi")(drawn).index
    assert {"frontal", "profile", "dual-left", "dual-right"} <= set(index["variant"])
    shapes = set()
    for file in (drawn / "mmi").glob("*/Sessions/*/*.avi"):
        video = cv2.VideoCapture(str(file))
        shapes.add((int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))))
        video.release()
    assert shapes == {(640, 480), (720, 576)}
    dataset = get("mmi")(drawn)
    frontal = index[index["variant"] == "frontal"]
    upright = {dataset.load(r["path"], [r["frame"]])[0].shape[:2] for _, r in frontal.iterrows()}
    assert upright == {(480, 640), (720, 576)}


def test_oulu_crops_and_originals_show_the_same(drawn):
    base = drawn / "oulu"
    for original in list(base.glob("B_OriginalImg/OriginalImg/VL/Strong/*/Anger/000.jpeg"))[:2]:
        person = original.parent.parent.name
        crop = cv2.imread(str(base / "PreProcess Img/VL_Acropped/Strong" / person / "Anger/000.jpeg"), 0)
        whole = cv2.imread(str(original), 0)
        assert whole.shape == (240, 320)
        assert cv2.matchTemplate(whole, crop, cv2.TM_CCOEFF_NORMED).max() > 0.98


def test_affwild2_masks_and_gaps(drawn):
    lines = (drawn / "affwild2/training_set_annotations.txt").read_text().splitlines()
    assert lines[0].startswith("image,")
    fields = [line.split(",") for line in lines[1:]]
    assert {len(f) for f in fields} == {16}
    assert any(float(f[1]) == -5 for f in fields)
    assert any(f[3] == "-1" for f in fields)
    assert any(f[4] == "-1" for f in fields)
    frames = [int(f[0].split("/")[1].removesuffix(".jpg")) for f in fields[:8]]
    assert (np.diff(frames) > 1).any()
    assert any("_right/" in f[0] for f in fields)


def test_expw_has_photos_of_several_faces_and_photos_of_none(drawn):
    lines = [line.split() for line in (drawn / "expw/label/label.lst").read_text().splitlines()]
    names = [line[0] for line in lines]
    assert len(set(names)) < len(names)
    assert {p.name for p in (drawn / "expw/image/origin").iterdir()} > set(names)
    for _, _, top, left, right, bottom, _, _ in lines:
        assert int(bottom) - int(top) == int(right) - int(left) > 40


def test_rafdb_eyes_and_mouth_are_aligned(drawn):
    base = drawn / "rafdb/basic"
    assert not (base / "EmoLabel/list_patition_label.txt").read_text().endswith("\n")
    picture = cv2.imread(str(base / "Image/aligned/train_00001_aligned.jpg"))
    assert picture.shape == (100, 100, 3)
    five = np.loadtxt(base / "Annotation/manual/train_00001_manu_attri.txt", max_rows=5)
    x0, y0, x1, y1 = np.loadtxt(base / "Annotation/boundingbox/train_00001_boundingbox.txt")
    assert ((five > (x0, y0)) & (five < (x1, y1))).all()
