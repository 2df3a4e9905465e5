"""The truth of what was drawn agrees with what readers find in the tree."""

import shutil

import numpy as np
import pandas as pd
import pytest

from fer_bench.datasets import get
from fer_bench.emotions import ACTION_UNITS, Emotion
from fer_bench.errors import DataError
from fer_bench.synthetic import layouts, truth
from fer_bench.synthetic.anatomy import FACE_AUS
from fer_bench.synthetic.captions import ADJECTIVES, describe_truth
from fer_bench.synthetic.expressions import coded_units, valence_arousal
from fer_bench.synthetic.population import MAKEUP
from fer_bench.synthetic.truth import AU_COLUMNS, COLUMNS, join_truth, read_truth

NAMES = layouts.names()
LAB = ("ckplus", "mmi", "oulu")


@pytest.fixture(scope="module")
def known(drawn):
    """Return index, truth and the two joined, by dataset."""
    found = {}
    for name in NAMES:
        index, table = get(name)(drawn).index, read_truth(drawn / name)
        found[name] = (index, table, join_truth(index, table))
    return found


def units(row):
    return np.array([row[f"true_{name}"] for name in AU_COLUMNS]).reshape(-1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_one_drawn_face_and_every_face_one_row_of_its_own(known, name):
    index, table, joined = known[name]
    assert tuple(table.columns) == COLUMNS
    assert joined.index.equals(index.index)
    assert joined["sample_id"].tolist() == index["sample_id"].tolist()
    which = join_truth(index, table.assign(blink=np.arange(len(table))))["true_blink"]
    assert which.is_unique
    assert len(table) >= len(index)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_those_written(known, name):
    joined = known[name][2]
    labelled = joined[joined["native_label"].notna()]
    assert len(labelled) > 20
    assert labelled["label"].tolist() == labelled["true_label"].tolist()
    rest = joined[joined["is_neutral_frame"]]
    assert (rest["true_share"] < 0.01).all()
    mistaken = (labelled["true_label"] != labelled["true_expression"]).mean()
    assert mistaken == 0 if name in LAB else 0 <= mistaken < 0.3


@pytest.mark.parametrize("name", ["ckplus", "mmi", "affwild2"])
def test_coded_units_are_those_drawn(known, name):
    joined = known[name][2]
    coded = [row for _, row in joined.iterrows() if (row["au"] >= 0).any()]
    assert len(coded) > 10
    wrong = total = 0
    for row in coded:
        # MMI's coder sees the apex of the clip, a frame of which may be a little before or after it.
        seen, drawn_units = row["au"] >= 0, coded_units(units(row))
        if name == "mmi" and row["true_share"] < 1:
            continue
        wrong += int((row["au"][seen] != drawn_units[seen]).sum())
        total += int(seen.sum())
    assert total > 50
    assert wrong == 0


@pytest.mark.parametrize("name", ["affectnet7", "affwild2"])
def test_raters_are_near_the_true_valence_and_arousal(known, name):
    joined = known[name][2]
    rated = joined[joined["valence"].notna()]
    assert len(rated) > 20
    for which in ("valence", "arousal"):
        error = (rated[which] - rated[f"true_{which}"]).abs()
        assert 0 < error.mean() < 0.12
        assert error.max() < 0.4
    row = rated.iloc[0]
    assert np.allclose(valence_arousal(units(row)), (row["true_valence"], row["true_arousal"]), atol=1e-6)


def test_groups_of_rafdb_are_those_drawn_unless_unsure(known):
    joined = known["rafdb"][2]
    sure = joined[joined["gender"].isin(["male", "female"])]
    assert len(sure) > 0.8 * len(joined)
    assert sure["gender"].tolist() == sure["true_sex"].tolist()
    short = {"caucasian": "c", "african": "af", "asian": "as"}
    told = joined["race"].dropna().str.casefold()
    assert all(r.startswith(short[t]) for r, t in zip(told, joined.loc[told.index, "true_race"], strict=True))
    edges = joined.groupby("age")["true_years"].agg(["min", "max"]).sort_values("min")
    assert (edges["max"].to_numpy()[:-1] < edges["min"].to_numpy()[1:]).all()
    youngest, oldest = MAKEUP["rafdb"].years
    assert joined["true_years"].between(youngest, oldest).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_shows_one_person(known, name):
    index, _, joined = known[name]
    if index["sequence"].notna().any():
        of_person = [f"true_{column}" for column in ("subject", "sex", "years", "race", "skin_red", "hair")]
        assert (joined.groupby("sequence")[of_person].nunique() == 1).all(axis=None)
    if name in LAB:
        assert joined["subject"].tolist() == joined["true_subject"].tolist()


def test_what_was_drawn_can_be_seen(known, drawn):
    joined = known["oulu"][2]
    infrared = joined["variant"].str.startswith("NI")
    assert joined.loc[infrared, "true_nir"].all()
    assert not joined.loc[~infrared, "true_nir"].any()
    joined = known["rafdb"][2]
    dataset = get("rafdb")(drawn)
    for _, row in joined.iterrows():
        picture = dataset.load(row["path"], [-1])[0].astype(int)
        assert (np.ptp(picture, axis=2).max() < 40) == row["true_grey"]
    joined = known["ckplus"][2]
    with_points = joined[joined["landmarks"].notna()]
    eyes = np.stack([shape[45] - shape[36] for shape in with_points["landmarks"]])
    roll = np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0]))
    assert np.corrcoef(roll, with_points["true_roll"])[0, 1] > 0.6


@pytest.mark.parametrize("name", NAMES)
def test_values_lie_in_their_ranges(known, name):
    table = known[name][1]
    faces = table[table["expression"].notna()]
    assert faces[list(AU_COLUMNS)].apply(lambda c: c.between(0, 1)).all(axis=None)
    assert faces[["valence", "arousal"]].apply(lambda c: c.between(-1, 1)).all(axis=None)
    assert faces["expression"].isin([str(e) for e in Emotion]).all()
    assert faces["hair"].isin(truth.HAIR).all()
    assert faces["beard"].isin(truth.BEARDS).all()
    assert faces["glasses"].isin(truth.GLASSES).all()
    assert faces["yaw"].abs().max() < 90
    assert faces["share"].dropna().between(0, 1).all()
    assert (faces["share"].isna() == (name not in (*LAB, "affwild2"))).all()


def test_frames_of_a_sequence_differ_in_pose_and_rise_to_the_apex(known):
    table = known["ckplus"][1]
    folder = table["path"].str.rpartition("/")[0]
    for _, frames in table.groupby(folder):
        assert frames["share"].is_monotonic_increasing
        assert frames["share"].iloc[-1] == 1
        assert frames["yaw"].nunique() == len(frames)
        assert frames["backdrop"].nunique() == 1


def test_the_originals_join_too(drawn, tmp_path):
    base = tmp_path / "rafdb"
    shutil.copytree(drawn / "rafdb", base)
    shutil.rmtree(base / "basic/Image/aligned")
    index = get("rafdb")(base).index
    assert index["path"].str.contains("original").all()
    joined = join_truth(index, read_truth(base / "basic"))
    assert joined["label"].tolist() == joined["true_label"].tolist()


def test_rows_without_a_face_of_their_own_are_refused(known):
    index, table, _ = known["expw"]
    with pytest.raises(DataError, match="no drawn face"):
        join_truth(index, table.iloc[:0])
    several = index[index.duplicated("path", keep=False)]
    with pytest.raises(DataError, match="several"):
        join_truth(several.assign(box=None), table)


def test_a_tree_without_the_table_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="table of what was drawn is missing") as caught:
        read_truth(tmp_path)
    assert "data synth" in caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_a_caption_can_be_made_of_every_face(known, name):
    table = known[name][1]
    faces = table[table["expression"].notna()]
    for _, row in faces.iloc[::7].iterrows():
        caption = describe_truth(row, np.random.default_rng(0))
        assert caption == describe_truth(row.to_dict(), np.random.default_rng(0))
        shown = Emotion.NEUTRAL if row["share"] < 0.3 else Emotion(row["expression"])
        assert any(f" {word} " in caption.full for word in ADJECTIVES[shown])
        assert any(word in caption.neutral for word in ("woman", "girl") if row["sex"] == "female") or (
            row["sex"] == "male" and any(word in caption.neutral for word in (" man", " boy"))
        )


def test_a_picture_without_a_face_has_a_row_and_no_caption():
    rows = [truth.faceless_row(_scene(), "fer2013.csv", Emotion.FEAR, frame=3)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    assert table.loc[0, ["label", "frame"]].tolist() == ["fear", 3]
    assert table[["expression", *AU_COLUMNS, "sex", "yaw"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="no face"):
        describe_truth(table.iloc[0], np.random.default_rng(0))


def test_the_bytes_of_the_table_depend_on_its_rows_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(truth, "_GROUP", 2)
    rows = [truth.faceless_row(_scene(), f"{i}.jpg", None, frame=i) for i in range(5)]
    truth.write_truth(tmp_path / "a", rows)
    truth.write_truth(tmp_path / "b", iter(rows))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pd.read_parquet(tmp_path / "a")["frame"].tolist() == list(range(5))


def test_the_action_units_of_indexes_are_among_the_columns():
    assert set(ACTION_UNITS) <= set(FACE_AUS)
    assert len(AU_COLUMNS) == 2 * len(FACE_AUS) == 34


def _scene():
    from fer_bench.synthetic.camera import Camera
    from fer_bench.synthetic.shots import arrange

    return arrange(Camera(), (64, 64), np.random.default_rng(0))
