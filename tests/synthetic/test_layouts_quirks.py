"""What trips up readers, as each layout plants it."""

import cv2
import numpy as np

from fer_bench.datasets import get
from fer_bench.datasets.rafdb import _read_manual
from fer_bench.emotions import Emotion
from fer_bench.synthetic.layouts import affwild2, casting, expw, fer2013, rafdb
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.truth import read_truth


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
    for _, row in read_truth(base).iterrows():  # a grey picture has one channel
        channels = cv2.imread(str(base / row["path"]), cv2.IMREAD_UNCHANGED).ndim
        assert channels == (2 if row["grey"] else 3)


def test_rafdb_votes_follow_the_emotion_drawn_where_the_label_is_another(drawn):
    """Of the classes other than the label, most people voted for what was drawn."""
    order = [str(emotion) for emotion in rafdb._ORDER]
    lines = (drawn / "rafdb" / "basic" / "EmoLabel" / "distribution_basic.txt").read_text().splitlines()
    shares = {line.split()[0].removesuffix(".jpg"): np.array(line.split()[1:], float) for line in lines}
    truth = read_truth(drawn / "rafdb")
    wrong = truth[(truth["label"] != truth["expression"]) & truth["expression"].isin(order)]
    assert len(wrong) > 0
    for _, row in wrong.iterrows():
        given = shares[row["path"].split("/")[-1].removesuffix("_aligned.jpg")]
        label, shown = order.index(row["label"]), order.index(row["expression"])
        assert np.argsort(given)[::-1][:2].tolist() == [label, shown]


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


def test_mmi_has_stills_and_clips_without_an_emotion(drawn):
    sessions = list((drawn / "mmi").glob("*/Sessions/*"))
    stills = [s for s in sessions if list(s.glob("*.jpg"))]
    assert len(stills) == 1
    assert not list(stills[0].glob("*.avi"))
    texts = [clip.read_text() for s in sessions for clip in s.glob("S???-???.xml")]
    assert 0 < sum('"Emotion"' not in text for text in texts) < 4
    values = [t.split('"Emotion" Value="')[1].split('"')[0] for t in texts if '"Emotion"' in t]
    assert any(int(value) > 6 for value in values)


def test_mmi_deals_an_emotion_twice_only_where_people_run_out():
    rng = np.random.default_rng(0)
    once = casting.deal({Emotion.FEAR: 5, Emotion.ANGER: 3}, 5, rng)
    assert all(len(hand) == len(set(hand)) for hand in once)
    twice = casting.deal({Emotion.FEAR: 7}, 5, rng)
    assert sorted(len(hand) for hand in twice) == [1, 1, 1, 2, 2]


def test_rafdb_files_that_are_not_as_documented(drawn, tmp_path):
    base = drawn / "rafdb/basic/Annotation"
    lengths = [len(f.read_text().splitlines()) for f in sorted((base / "auto").iterdir())]
    assert sorted(set(lengths)) == [30, 37]
    assert lengths.count(30) == 1
    separators = {"\t" in f.read_text() for f in (base / "manual").iterdir()}
    assert separators == {True, False}
    population = Population("rafdb")
    for broken, lines in ((False, 8), (True, 7)):
        rafdb._draw_face(tmp_path, population, 3, "train_00001", Emotion.FEAR, broken, False)
        text = (tmp_path / "Annotation/manual/train_00001_manu_attri.txt").read_text()
        assert len(text.splitlines()) == lines
    _, attributes = _read_manual(tmp_path / "Annotation/manual/train_00001_manu_attri.txt")
    assert len(attributes) < 3


def test_affwild2_leaves_out_labels_at_the_rates_of_the_real_lists():
    rng, au = np.random.default_rng(0), np.full((17, 2), 0.5)
    for split, wanted in affwild2._LABELLED.items():
        lines = [affwild2._line("v/1.jpg", Emotion.FEAR, au, rng, split) for _ in range(4000)]
        fields = [line.split(",") for line, _ in lines]
        has_va = [float(f[1]) != -5 and float(f[2]) != -5 for f in fields]
        has_expression = [f[3] != "-1" for f in fields]
        has_au = [set(f[4:]) != {"-1"} for f in fields]
        assert np.allclose(np.mean([has_va, has_expression, has_au], axis=1), wanted, atol=0.025)
        assert [label is not None for _, label in lines] == has_expression
        half = [(float(f[1]) == -5) != (float(f[2]) == -5) for f in fields]
        partly = [0 < f[4:].count("-1") < 12 for f in fields]
        assert {f[1] for f in fields} >= ({"-5", "-5.0"} if split == "train" else set())
        for share in (np.mean(half), np.mean(partly)):
            assert share == 0 if split == "val" else 0.003 < share < 0.02


def test_expw_photos_and_faces_are_as_many_as_in_the_real_one(tmp_path):
    plan = expw.plan(tmp_path, Population("expw"), "full")
    photos = sum(job.pictures for job in plan.jobs)
    assert abs(photos / 106_962 - 1) < 0.06
    assert np.isclose(sum(expw._FACES), 1)


def test_fer2013_repeats_rows_across_its_parts(drawn):
    labels = [list(Emotion)[i % 7] for i in range(36_000)]
    first = fer2013._first_of(labels, [28_800, 32_400, 36_000], np.random.default_rng(0))
    public, private = first[28_800:32_400], first[32_400:]
    assert abs((public < 28_800).mean() - 279 / 3579) < 0.003
    assert abs((private < 28_800).mean() - 288 / 3573) < 0.005
    assert 30 < np.isin(private, range(28_800, 32_400)).sum() < 60
    differ = [labels[row] != labels[first[row]] for row in range(36_000) if first[row] != row]
    assert 0.03 < np.mean(differ) < 0.08
    assert (first[first] == first).mean() > 0.99
    index = get("fer2013")(drawn).index
    assert (index["variant"] == "repeated").sum() > 0
