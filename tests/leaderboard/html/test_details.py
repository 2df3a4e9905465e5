"""What a click on a cell opens."""

import numpy as np
import pytest

from fer_bench.leaderboard.html.details import details


@pytest.fixture(scope="module")
def found(board):
    return details(board.sections[0])


def test_every_cell_has_runs_settings_and_commands(board, found):
    assert len(found) == 9
    cell = board.sections[0].cell("gcn", "rafdb")
    opened = found["gcn @ rafdb"]
    assert opened["commands"] == [f"fer-bench rerun {record.key}" for record in cell.records]
    assert [run[0] for run in opened["runs"]] == [f"gcn/rafdb/{record.key}" for record in cell.records]
    assert ("method.lr", "0.01") in opened["settings"]
    assert opened["scores"][0][0] == "rafdb"
    assert dict(opened["facts"])["data"] == "SYNTHETIC DATA, profile quick"


def test_confusions_and_mistakes_are_those_of_the_predictions(board, board_store, found):
    cell = board.sections[0].cell("gcn", "rafdb")
    answers = found["gcn @ rafdb"]["answers"]["expw"]
    classes = answers["classes"]
    counted = np.zeros((len(classes), len(classes)), int)
    for record in cell.records:
        predictions = board_store.predictions(record, "expw")
        names = list(predictions.meta.classes)
        answer = predictions.logits[:, [names.index(c) for c in classes]].argmax(1)
        for truth, given in zip(predictions.frame["label"], answer, strict=True):
            if truth in classes:
                counted[classes.index(truth), given] += 1
    assert answers["counts"] == counted.tolist()
    recalls = [float(row[3]) for row in answers["wrong"]]
    assert recalls == sorted(recalls)
    for name, rows, wrong, recall, _ in answers["wrong"]:
        place = classes.index(name)
        assert int(rows) == counted[place].sum()
        assert int(wrong) == counted[place].sum() - counted[place, place]
        assert float(recall) == pytest.approx(100 * counted[place, place] / counted[place].sum(), abs=0.5)


def test_the_commonest_mistakes_come_first(found):
    answers = found["erm @ expw"]["answers"]["expw"]
    name, *_, named = answers["wrong"][0]
    counts = answers["counts"][answers["classes"].index(name)]
    first = named.split(", ")[0].rsplit(" ", 1)
    others = [n for i, n in enumerate(counts) if answers["classes"][i] != name]
    assert int(first[1]) == max(others)


def test_pictures_are_those_of_the_surest_mistake_of_a_class_in_domain_only(found):
    answers = found["gcn @ rafdb"]["answers"]
    (one,) = answers["rafdb"]["pictures"]
    assert one["text"] == "fear, answered anger (70 %)"
    assert one["picture"].startswith("data:image/jpeg;base64,/9j/")
    assert "pictures" not in answers["expw"]
