"""What a reader should know before believing a number: epochs, pretraining, terms, groups, failures."""

from __future__ import annotations

import csv

from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.page import read_board, write_leaderboard
from fer_bench.leaderboard.sections.epochs import table_of
from fer_bench.leaderboard.sections.terms import context
from fer_bench.results.record import TrainingData

REAL = {"data_kind": "real", "profile": "paper"}
TOWER = TrainingData(
    text="LAION", exposure={"affectnet7": "in training", "expw": "seen the pictures", "oulu": "unseen"}
)


def section_of(store):
    (section,) = read_board(store).sections
    return section


def cells_of(table):
    return [line.strip("| ").split(" | ") for line in table.splitlines()]


def with_epochs(store, record, **uar):
    """Store a record with scores of further epochs on its own dataset, and return that of the chosen one."""
    own = record.score(record.dataset)
    more = [
        own.model_copy(update={"selection": name, "metrics": own.metrics | {"uar": value}})
        for name, value in uar.items()
    ]
    changed = record.model_copy(update={"scores": (*record.scores, *more)})
    store.run_dir(record.method, record.dataset, record.key).write_record(changed)
    return own.uar


def test_the_gain_by_peeking_is_that_of_the_runs_that_looked(store, add):
    first, second = (add("gcn", "rafdb", seed=seed, targets=()) for seed in (0, 1))
    other = add("cafe", "rafdb", targets=())
    add("erm", "rafdb", targets=())  # stored one epoch only: there was nothing to choose
    chosen = [with_epochs(store, first, last=0.3, peek=0.95), with_epochs(store, second, last=0.1)]
    alone = with_epochs(store, other, last=0.2)
    section = section_of(store)
    header, _, *rows = cells_of(table_of(section, section.cells, Links.of(section.cells)))
    assert header[-2:] == ["gain by peeking (runs)", "runs"]
    assert {row[0]: row[1:] for row in rows} == {
        "[gcn](methods.md#gcn)": [
            f"{50 * sum(chosen):.1f}",
            "20.0",
            f"{100 * (0.95 - chosen[0]):+.1f} (1)",
            "2",
        ],
        "[cafe](methods.md#cafe)": [f"{100 * alone:.1f}", "20.0", "-", "1"],
    }


def test_without_peeking_the_page_says_how_to_measure_it(store, add, tmp_path):
    record = add("gcn", "rafdb", targets=())
    write_leaderboard(store, tmp_path)
    assert "by epoch" not in (tmp_path / "README.md").read_text(encoding="utf-8")
    with_epochs(store, record, last=0.2)
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "gain by peeking" not in text
    assert (
        "No run looked at its test rows: `fer-bench run --track-peek` measures what that would gain." in text
    )


def test_weights_say_which_test_sets_were_in_them_and_whether_they_may_be_sold(store, add):
    add("cafe", "rafdb", targets=("affectnet7", "expw", "oulu"), pretrained={"tower": TOWER}, **REAL)
    add("gcn", "rafdb", targets=("fer2013",), known={"fer2013": ("happiness", "sadness", "anger")}, **REAL)
    section = section_of(store)
    found = context(section, Links.of(section.cells))
    rows = {row[0]: row[1:] for row in cells_of(found["methods"])[2:]}
    assert rows["[gcn](methods.md#gcn)"] == ["none", "no", "-", "yes"]
    weights, held, terms, usable = rows["[cafe](methods.md#cafe)"]
    assert weights == "tower: LAION"
    assert held == "unknown: rafdb and fer2013; yes: affectnet7; its pictures: expw; no: oulu"
    assert (terms, usable) == ("unknown: ask who trained them", "unknown")
    data = {row[0]: row[1:] for row in cells_of(found["data"])[2:]}
    assert data["[rafdb](rafdb.md)"][1] == "no"
    assert data["fer2013"] == [
        "Kaggle competition terms; the pictures come from the web without clear rights.",
        "unknown",
    ]


def test_a_method_from_elsewhere_has_code_of_unknown_terms(store, add):
    add("theirs", "rafdb", targets=(), **REAL)
    section = section_of(store)
    (row,) = cells_of(context(section, Links.of(section.cells))["methods"])[2:]
    assert row[-1] == "unknown"


def test_every_run_is_in_the_csv_with_the_reason_why_it_has_no_scores(store, add, tmp_path):
    add("gcn", "rafdb", targets=("oulu",), missing={"expw": "not there"})
    add("gcn", "mmi", status="diverged")
    add("gcn", "oulu", status="running")
    write_leaderboard(store, tmp_path)
    with (tmp_path / "runs.csv").open(newline="") as file:
        rows = {row["dataset"]: row for row in csv.DictReader(file)}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "rafdb": "",
        "mmi": "DivergedError: the loss became NaN",
        "oulu": "not finished",
    }
    assert rows["rafdb"]["missing"] == "expw"
    assert rows["rafdb"]["parameters"] == "1234567"
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "- missing, and never replaced by drawn faces: expw: not there (1 run)" in text
    assert "- running: not finished (gcn/oulu/" in text


def test_runs_that_failed_alike_share_a_line(store, add, tmp_path):
    for seed in range(5):
        add("gcn", "mmi", status="diverged", seed=seed)
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if "became NaN" in line]
    assert line.count("gcn/mmi/") == 3
    assert line.endswith(" and 2 more)")


def test_a_lead_by_trained_weights_is_not_the_methods_alone(store, add, tmp_path):
    weights = {"generator": TrainingData(text="drawn faces", exposure={})}
    for seed in range(3):
        for dataset in ("rafdb", "expw"):
            add("gcn", dataset, seed=seed, skill=3.0, pretrained=weights)
            add("erm", dataset, seed=seed, skill=1.2)
    write_leaderboard(store, tmp_path)
    said = (tmp_path / "README.md").read_text()
    assert "gcn starts from trained weights (see the notes), erm from random ones" in said
