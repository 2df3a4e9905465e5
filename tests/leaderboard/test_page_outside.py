import csv
import re

import pytest

from fer_bench.datasets import MAIN_SEVEN
from fer_bench.leaderboard.markup import margin, two
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.leaderboard.tables import build_board
from fer_bench.results.record import OUTSIDE, TrainingData

REAL = {"data_kind": "real", "profile": "paper", "generator": None}
SAW = TrainingData(
    text="AffectNet | and more",
    exposure={"affectnet7": "in training", "expw": "seen the pictures", "rafdb": "unknown", "oulu": "unseen"},
    source="https://example.org/model",
)


@pytest.fixture
def outside(add):
    """Return a function that adds an outside model beside two trained methods."""

    def make(**more):
        for method in ("gcn", "cafe"):
            add(method, "oulu", **{"skill": 2.0, **more})
        return add("theirs", OUTSIDE, skill=3.0, training_data=SAW, protocol="6-class", **more)

    return make


def section_of(store):
    (found,) = build_board(store, methods=("gcn", "cafe"), named_targets=MAIN_SEVEN).sections
    return found


def page(store, out):
    write_leaderboard(store, out)
    text = (out / "README.md").read_text(encoding="utf-8")
    return text, text.partition("### Outside models")[2].partition("\n<details>")[0]


def test_an_outside_model_has_a_row_and_is_not_compared(store, outside, tmp_path):
    outside(**REAL)
    section = section_of(store)
    assert [cell.label for cell in section.outside] == ["theirs"]
    assert section.labels == ("cafe", "gcn")
    assert {mine.label for mine in section.overall} == {"cafe", "gcn"}
    assert section.sources == ("oulu",)
    assert "theirs" not in section.not_run
    for column in (section.overall_column, *section.own_columns.values(), *section.general_columns.values()):
        assert "theirs" not in column.scores
    text, part = page(store, tmp_path)
    assert "| tested on | theirs |" in part
    assert "They are not compared" in part
    assert text.count("theirs") == part.count("theirs")


def test_targets_seen_in_training_count_nowhere(store, outside, tmp_path):
    outside(**REAL)
    (cell,) = section_of(store).outside
    assert (cell.generalisation.scored, cell.generalisation.wanted) == (5, 5)
    mean = (
        sum(cell.cross[t].values["transfer"].value for t in MAIN_SEVEN if t not in ("affectnet7", "expw")) / 5
    )
    assert cell.generalisation.mean.value == pytest.approx(mean)
    _, part = page(store, tmp_path)
    _, _, *rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
    marks = {re.sub(r"\W.*", "", name.strip("[")): cell for name, cell in rows}
    assert {name for name, cell in marks.items() if "†" in cell} == {"affectnet7", "expw"}
    assert {name for name, cell in marks.items() if "?" in cell} == {"rafdb", "ckplus", "mmi", "affwild2"}
    assert rows[-1] == ["**mean**", margin(cell.generalisation.mean, two)]
    assert "†: the model was trained on this dataset" in part
    assert "?: nobody knows" in part
    assert r"trained on AffectNet \| and more (https://example.org/model)" in part


def test_drawn_faces_are_in_nobodys_training_data(store, outside, tmp_path):
    outside()
    (cell,) = section_of(store).outside
    assert cell.generalisation.wanted == 7
    _, part = page(store, tmp_path)
    assert "†" not in part
    assert "no target is seen" in part


def test_warnings_stand_below_the_table(store, outside, tmp_path):
    outside(**REAL, warnings=("rafdb: the outputs may be in another order",), missing={"mmi": "not there"})
    _, part = page(store, tmp_path)
    assert "- **theirs**: rafdb: the outputs may be in another order" in part
    assert "- **theirs**: not tested on mmi: not there" in part


def test_a_board_of_outside_models_alone_is_a_page(store, add, tmp_path):
    add("theirs", OUTSIDE, training_data=SAW, protocol="6-class", **REAL)
    text, part = page(store, tmp_path)
    assert "| tested on | theirs |" in part
    assert "Known methods" not in text


def test_a_submission_shows_its_own_dataset_in_italics(store, add, tmp_path):
    own = TrainingData(text="oulu, as its file says", exposure={"oulu": "in training"})
    add("sent", "oulu", training_data=own, **REAL)
    section = section_of(store)
    assert (section.cells, [cell.label for cell in section.outside]) == ((), ["sent"])
    _, part = page(store, tmp_path)
    assert "| tested on | sent, oulu |" in part
    assert re.search(r"\| oulu \| \*0\.\d\d\* \|", part)
    assert "under the protocol of oulu/6-4fold" in part


def test_its_numbers_are_in_the_csv(store, outside, tmp_path):
    outside(**REAL)
    page(store, tmp_path)
    with (tmp_path / "cells.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "theirs"]
    assert {row["target"] for row in rows} == set(MAIN_SEVEN)
    assert {row["dataset"] for row in rows} == {OUTSIDE}
