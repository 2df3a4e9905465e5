from __future__ import annotations

import csv
import re
import shutil

import pytest

from fer_bench.evaluation import coverage
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.markup import decimal, escape, percent, table
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.results.record import LOGGER_FAILED
from fer_bench.results.scores import DimensionScore
from fer_bench.results.store import Store

pytestmark = pytest.mark.usefixtures("store")


def page(store, out):
    write_leaderboard(store, out)
    return (out / "README.md").read_text(encoding="utf-8")


def tables_are_regular(text):
    """Check that every row of every table has as many cells as its header."""
    widths = None
    for line in text.splitlines():
        if not line.startswith("|"):
            widths = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        widths = widths or cells
        assert cells == widths, line


def test_the_same_store_gives_the_same_bytes_wherever_it_lies(store, full, tmp_path):
    first = write_leaderboard(store, tmp_path / "one")
    shutil.copytree(store.root, tmp_path / "elsewhere")
    second = write_leaderboard(Store(tmp_path / "elsewhere"), tmp_path / "two")
    names = [p.relative_to(tmp_path / "one").as_posix() for p in first]
    assert names == [
        "README.md",
        "index.html",
        "results.csv",
        "cells.csv",
        "generalisation.csv",
        "pairs.csv",
        "figures/synthetic-quick-in-domain.png",
        "figures/synthetic-quick-transfer.png",
    ]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert str(tmp_path) not in first[0].read_text(encoding="utf-8")


def test_the_page_says_what_it_shows(store, full, add, tmp_path):
    add("gcn", "mmi", status="diverged", seed=1)
    text = page(store, tmp_path)
    assert "**SYNTHETIC DATA.**" in text
    assert "generator: version 1, size small, seed 0" in text
    assert "| gcn/mmi/6-4fold fold 1 of 4 seed 1 |" in text
    assert "DivergedError: the loss became NaN" in text
    assert "fold 1 of 4" in text
    assert "- gcn on expw: no neutral frames" in text
    assert "| commit | abc1234 |" in text
    assert "ckplus, mmi, oulu, rafdb, affectnet7, expw, affwild2." in text
    tables_are_regular(text)
    for figure in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (tmp_path / figure).is_file()


def test_real_data_carries_no_synthetic_banner(store, add, tmp_path):
    add(targets=(), data_kind="real", profile="paper")
    assert "SYNTHETIC" not in page(store, tmp_path)


def test_claims_stand_beside_real_runs_under_the_papers_recipe_alone(store, add, tmp_path):
    add("resemotenet", "rafdb", targets=("affectnet7",))
    add("resemotenet", "rafdb", targets=(), data_kind="real")
    assert "claims" not in page(store, tmp_path)
    add("resemotenet", "rafdb", targets=(), data_kind="real", profile="paper")
    add("ssmfar", "rafdb", targets=(), data_kind="real", profile="paper")
    text = page(store, tmp_path)
    tables_are_regular(text)
    lines = [line for line in text.splitlines() if "94.76" in line]
    assert len(lines) == 1
    assert lines[0].startswith("| resemotenet | rafdb | rafdb | accuracy |")
    assert "9 remarks in its file" in lines[0]


def test_csv_has_one_row_per_run_and_target(store, add, tmp_path):
    record = add(targets=("rafdb", "expw"))
    write_leaderboard(store, tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["target"] for row in rows] == ["oulu", "rafdb", "expw"]
    assert float(rows[1]["uar"]) == record.score("rafdb").uar
    assert rows[1]["label_set"].split() == list(record.score("rafdb").label_set)
    assert {row["data_kind"] for row in rows} == {"synthetic"}
    with (tmp_path / "cells.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert float(cells[1]["transfer_low"]) < float(cells[1]["transfer"]) < float(cells[1]["transfer_high"])


def test_an_incomplete_mean_says_so_and_is_not_compared(store, add, tmp_path):
    add(targets=("rafdb", "expw"))
    text = page(store, tmp_path)
    assert re.search(r"\| \*\*gcn\*\* \| - \| - \| 0\.\d\d \(2/6\) \|", text)
    assert "there is none yet" in text


def test_an_empty_store_tells_how_to_fill_it(store, tmp_path):
    text = page(store, tmp_path)
    assert re.search(r"fer-bench run --method \w+ --dataset oulu", text)
    assert "make bench" in text


def test_a_store_of_failures_only_still_gives_a_page(store, add, tmp_path):
    add(status="diverged")
    broken = store.run_dir("gcn", "mmi", "0123").record_file
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\xff\xfe")
    text = page(store, tmp_path)
    assert "1 diverged" in text
    assert "gcn/mmi/0123/record.json" in text
    assert "figures/" not in text
    tables_are_regular(text)


def test_text_of_records_cannot_break_the_page(store, add, tmp_path):
    nasty = "a | b\n# title <script>alert(1)</script> [x](http://e) $x$ `c`"
    add(targets=(), warnings=(nasty,), adapted=nasty, missing={"expw": nasty})
    text = page(store, tmp_path)
    assert "<script>" not in text
    assert "\n# title" not in text
    assert "[x](" not in text
    tables_are_regular(text)


def test_figures_of_sections_that_are_gone_are_removed(store, add, tmp_path):
    figures = tmp_path / "board" / "figures"
    figures.mkdir(parents=True)
    (figures / "real-paper-transfer.png").write_bytes(b"old")
    (figures / "mine.png").write_bytes(b"kept")
    add(targets=())
    write_leaderboard(store, tmp_path / "board")
    assert sorted(p.name for p in figures.iterdir()) == ["mine.png", "synthetic-quick-in-domain.png"]


def test_two_generators_do_not_share_figures(store, add, tmp_path):
    add(targets=())
    add(targets=(), seed=1, generator={"version": 2})
    written = write_leaderboard(store, tmp_path)
    assert len({p.name for p in written}) == 8


def test_numbers_and_escapes():
    value = Value(0.6123, Interval(0.57, 0.651))
    assert percent(value) == "61.2 [57.0, 65.1]"
    assert decimal(Value(-0.014, None)) == "-0.01"
    assert percent(None) == "-"
    assert escape("a|b\nc_<d>") == "a\\|b c\\_&lt;d&gt;"
    assert len(escape("x" * 1000)) == 300
    assert table(("a", "b"), [("x|y", "**z**")], raw=(1,)).splitlines()[2] == "| x\\|y | **z** |"


def test_a_board_of_one_seed_concludes_nothing(store, full, tmp_path):
    text = page(store, tmp_path)
    assert coverage.found() in text
    told = "provisional with 1 seed: methods are compared from 3 common seeds on."
    assert f"**What can be concluded**: {told}" in text
    assert f"- *ckplus, mmi, oulu, rafdb, affectnet7, expw, affwild2*: {told}" in text
    assert f"- *overall, ckplus, mmi, oulu, rafdb, affectnet7, expw, affwild2*: {told}" in text
    assert re.search(r"\| \d\d\.\d<br><sub>\[\d+\.\d, \d+\.\d\]</sub>", text)
    assert not re.search(r"\*\*-?\d+\.\d", text)  # no number is bold
    assert not re.search(r"\d \w<br>", text)  # none has a letter
    assert "is better than" not in text
    assert "rank" not in text.replace("not a ranking", "").lower()
    assert "The interval lies above guessing for 42 of 42 pairs." in text
    assert "With one seed they cover the choice of test units only." in text
    with (tmp_path / "pairs.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []


def test_the_page_says_what_is_safe_to_read_and_what_is_not(store, full, tmp_path):
    text = page(store, tmp_path)
    assert text.count("**Safe** to read from this page: ") == 1
    assert text.count("**Not safe**: ") == 1
    assert "provisional (fewer than 3 seeds)" in text


def test_the_six_basic_emotions_stand_beside_generalisation(store, full, tmp_path):
    text = page(store, tmp_path)
    with (tmp_path / "generalisation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row["six_low"]) < float(row["six"]) < float(row["six_high"])
        assert f", six {float(row['six']):.2f}" in text
        if row["source"] in ("mmi", "oulu"):  # they know the six alone
            assert row["six"] == row["transfer"]
        elif row["source"] == "rafdb":
            assert row["six"] != row["transfer"]
    assert "*Six* is the same mean" in text


def test_valence_arousal_and_action_units_stand_beside_where_predicted(store, add, tmp_path):
    record = add("gcn", "affwild2", targets=())
    assert "CCC valence" not in page(store, tmp_path)
    ccc = {"pcc": 0.5, "rmse": 0.1, "sign_agreement": 0.9, "n": 10}
    (score,) = record.scores
    breakdown = score.breakdown.model_copy(
        update={
            "va": {name: DimensionScore(ccc=c, **ccc) for name, c in (("valence", 0.31), ("arousal", 0.42))},
            "au_f1": 0.53,
            "abaw": 1.24,
        }
    )
    scores = (score.model_copy(update={"breakdown": breakdown}),)
    store.run_dir("gcn", "affwild2", record.key).write_record(record.model_copy(update={"scores": scores}))
    text = page(store, tmp_path)
    assert "| affwild2 | gcn | 0.31 | 0.42 | 0.53 | 1.24 |" in text
    tables_are_regular(text)


def test_a_single_method_is_not_compared(store, add, tmp_path):
    add(targets=())
    text = page(store, tmp_path)
    assert "- *oulu*: only one method, so there is nothing to compare." in text
    assert "provisional with" not in text


def test_scores_of_records_without_a_breakdown_are_left_blank(store, add, tmp_path):
    record = add(targets=("rafdb",))
    scores = tuple(s.model_copy(update={"breakdown": None, "metrics": {"uar": s.uar}}) for s in record.scores)
    old = record.model_copy(update={"scores": scores})
    store.run_dir("gcn", "oulu", record.key).write_record(old)
    assert "| MCC |" not in page(store, tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [row["mcc"] for row in csv.DictReader(file)] == ["", ""]


def test_a_union_shows_its_members_in_italics(store, add, tmp_path):
    add("gcn", "mmi+oulu")
    text = page(store, tmp_path)
    assert re.search(r"\| \*\*mmi\+oulu\*\* \| [^|]+ \| \*0\.\d\d\* \| \*0\.\d\d\* \|", text)
    tables_are_regular(text)


def test_notes_of_records_stand_beside_the_numbers_and_below(store, full, add, tmp_path):
    for dataset in ("oulu", "rafdb"):
        add("cafe", dataset, skill=1.5, warnings=("a backbone with random weights",))
    lost = f"{LOGGER_FAILED}no network"
    add("gcn", "mmi", skill=1.2, seed=1, warnings=("mmi: two clips are missing", lost))
    text = page(store, tmp_path)
    assert lost not in text  # it says nothing about a number
    assert "| **cafe** <sup>a</sup> |" in text
    assert "- <sup>a</sup> a backbone with random weights (cafe)" in text
    assert "- <sup>b</sup> mmi: two clips are missing (gcn on mmi)" in text
    assert re.search(r"\*\*gcn\*\* \|.* <sup>b</sup><br>", text)
    assert "Seeds differ (" in text


def test_scores_of_older_rules_are_marked(store, add, tmp_path):
    record = add("gcn", "oulu")
    told = "follow older scoring rules"
    assert told not in page(store, tmp_path / "board")
    first, *others = record.scores
    old = first.model_copy(update={"metrics": first.metrics | {"macro_f1": 0.9}})
    store.run_dir("gcn", "oulu", record.key).write_record(
        record.model_copy(update={"scores": (old, *others)})
    )
    text = page(store, tmp_path / "board")
    assert f"macro\\_f1 in the records and in results.csv {told}" in text
    assert "| 90.0" not in text  # the tables show today's


def test_pairs_say_rows_classes_and_kept_share(store, full, tmp_path):
    text = page(store, tmp_path)
    assert re.search(r"\| \*\*oulu\*\* \| .*\d+ rows, 6 classes, 100 % kept", text)
    assert "Only UAR is tested. Accuracy and macro-F1 have intervals and no tests: for " in text
    assert "Calibration has no intervals and is not tested; the lowest ECE has, of 7 datasets, " in text
    assert "class-wise ECE" in text
    with (tmp_path / "generalisation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows[:2]] == ["overall", "overall"]
    assert len(rows) == 2 + 14


def test_spread_over_seeds_is_printed_for_transfer(store, add, tmp_path):
    for seed in (0, 1, 2):
        add("gcn", "rafdb", seed=seed)
    text = page(store, tmp_path)
    assert re.search(r"seed sd 0\.\d\d", text)
    with (tmp_path / "cells.csv").open(newline="") as file:
        assert all(float(row["transfer_seed_sd"]) > 0 for row in csv.DictReader(file))


def test_methods_and_datasets_have_links(store, add, tmp_path):
    add("gcn", "oulu", targets=("oulu", "rafdb"))
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    part = text.partition("Methods and datasets: papers, owners, pages")[2].partition("</details>")[0]
    assert "[arXiv:1703.07140](https://arxiv.org/abs/1703.07140)); `fer-bench docs gcn`" in part
    assert "[owner's page](http://www.whdeng.cn/RAF/model1.html); `fer-bench docs rafdb`" in part
    assert "`fer-bench docs oulu`" in part
