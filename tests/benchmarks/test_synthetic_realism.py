"""The measurement of realism: its scores, its verdicts, and a network that learns what can be learnt."""

import copy
import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

LAB = ("ckplus", "mmi", "oulu")
NAMES = ("ckplus", "mmi", "oulu", "rafdb", "affectnet7", "expw", "affwild2")


@pytest.fixture(scope="module")
def realism(load_benchmark):
    return load_benchmark("synthetic_realism")


@pytest.fixture(scope="module")
def measures(load_benchmark):
    return load_benchmark("realism_measures")


def made_up(realism):
    """Figures that behave like real data."""
    scores = {"accuracy": 0.7, "uar": 0.65, "n": 100}
    return {
        "in_domain": {
            name: [
                {
                    "network": scores,
                    "neighbour": {"accuracy": 0.3, "uar": 0.25, "n": 100},
                    "most_frequent": 0.3,
                    "chance": 1 / 7,
                    "train_rows": 400,
                }
            ]
            for name in NAMES
        },
        "crossing": {
            name: [{other: {"uar": 0.4, "in_domain": 0.65, "k": 6} for other in NAMES if other != name}]
            for name in NAMES
        },
        "affect": {name: [{}] for name in NAMES}
        | {
            "affwild2": [{"valence": 0.6, "arousal": 0.5, "au_f1": 0.5, "au_f1_always": 0.3, "aus": 12}],
            "ckplus": [{"au_f1": 0.6, "au_f1_always": 0.35, "aus": 10}],
        },
        "people": {
            name: [
                {
                    f"{s:g}": {"uar": 0.2 + 0.4 * s, "accuracy": 0.5, "n": 100, "people": int(20 * s)}
                    for s in realism.SHARES
                }
            ]
            for name in NAMES
        },
        "frame_split": {name: [{"accuracy": 0.9, "uar": 0.85, "n": 100}] for name in LAB},
    }


def stored(found):
    return {
        "generator_version": "3",
        "size": "quick",
        "population": "development",
        "drawing": 0,
        "seeds": [0],
        "found": found,
    }


BREAKS = {
    "too hard": (0, lambda f: f["in_domain"]["expw"][0]["network"].update(accuracy=0.5)),
    "too easy": (0, lambda f: f["in_domain"]["ckplus"][0]["network"].update(accuracy=0.97)),
    "a neighbour does": (1, lambda f: f["in_domain"]["mmi"][0]["neighbour"].update(accuracy=0.6)),
    "no gap": (
        2,
        lambda f: [cell.update(uar=0.6) for rows in f["crossing"].values() for cell in rows[0].values()],
    ),
    "frames flatter nobody": (3, lambda f: f["frame_split"]["oulu"][0].update(uar=0.66)),
    "people do not help": (4, lambda f: f["people"]["rafdb"][0]["1"].update(uar=0.1)),
    "no affect": (5, lambda f: f["affect"]["affwild2"][0].update(arousal=0.1)),
    "no action units": (5, lambda f: f["affect"]["ckplus"][0].update(au_f1=0.36)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_property_can_fail_and_only_it(realism, name):
    found = made_up(realism)
    found["in_domain"] = copy.deepcopy(found["in_domain"])
    assert all(holds for _, holds in realism.verdicts(found))
    place, breaks = BREAKS[name]
    breaks(found)
    assert [holds for _, holds in realism.verdicts(found)] == [i != place for i in range(6)]


def test_stored_figures_are_rendered_with_verdicts_and_an_exit_code(realism, tmp_path, capsys):
    found, file = made_up(realism), tmp_path / "figures.json"
    file.write_text(json.dumps(stored(found)))
    assert realism.main(["--stored", str(file)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("**SYNTHETIC DATA**, generator version 3, size quick, development population")
    assert "does not hold" not in text
    assert "| from mmi | 40 (25) | - | 40 (25) |" in text
    assert "In 42 of 42 pairs the loss is at least 10 points." in text
    assert "| oulu | 65.0 | 85.0 | +20.0 |" in text
    found["frame_split"]["oulu"][0]["uar"] = 0.5
    file.write_text(json.dumps(stored(found)))
    assert realism.main(["--stored", str(file)]) == 1
    assert "**does not hold**: folds by frames" in capsys.readouterr().out


def test_scores_are_those_of_scikit_learn_on_the_shared_classes(measures):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 9, 300)
    logits = rng.normal(size=(300, 9)).astype(np.float32)
    logits[np.arange(300), truth] += 1
    shared = [0, 2, 5, 6]
    kept = np.isin(truth, shared)
    answered = np.array(shared)[logits[kept][:, shared].argmax(axis=1)]
    found = measures.score(logits, truth, shared)
    assert found["n"] == kept.sum()
    assert found["accuracy"] == pytest.approx(accuracy_score(truth[kept], answered))
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth[kept], answered))


@pytest.fixture(scope="module")
def squares(measures):
    """Two classes that the place of a bright square tells apart, six persons, two folds."""
    rng = np.random.default_rng(1)
    label = np.tile([1, 2], 96)
    pixels = rng.integers(40, 90, (192, 48, 48, 3)).astype(np.uint8)
    for picture, code in zip(pixels, label, strict=True):
        top = 6 if code == 1 else 30
        picture[top : top + 12, 12:36] = 220
    subject = np.arange(192) // 32
    folds = {fold: np.where(subject % 2 == fold - 1, "test", "train") for fold in (1, 2)}
    everyone = np.ones(192, bool)
    affect = np.stack([np.where(label == 1, 0.5, -0.5)] * 2, axis=1).astype(np.float32)
    units = np.tile((label == 1).astype(np.int8)[:, None], (1, 12))
    return measures.Faces(
        "squares", pixels, label, affect, units, folds, everyone, everyone, subject, subject
    )


@pytest.mark.long
def test_what_can_be_learnt_is_learnt_by_network_and_neighbour(measures, squares):
    nets = {fold: measures.train(squares, measures.rows_to_learn(squares, fold), 0) for fold in squares.folds}
    found = measures.in_domain(squares, nets)
    assert found["network"]["n"] == 192
    assert found["network"]["accuracy"] > 0.95
    assert found["neighbour"]["accuracy"] == 1
    assert (found["most_frequent"], found["chance"]) == (0.5, 0.5)
    assert measures.affect(squares, nets)["au_f1"] > 0.9
    assert measures.affect(squares, nets)["valence"] > 0.6
    assert measures.crossing(squares, nets, [squares])["squares"]["uar"] > 0.95
    few = measures.people(squares, nets, 0, 0.5)
    assert (few["people"], few["n"]) == (2, 192)
    assert measures.people(squares, nets, 0, 1.0)["uar"] == found["network"]["uar"]
