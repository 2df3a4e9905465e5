from __future__ import annotations

import csv
import re
import shutil

import pytest

from fer_bench.evaluation import coverage
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.markup import (
    decimal,
    escape,
    margin,
    percent,
    percent_margin,
    share,
    table,
    two,
    whole_points,
)
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.results.record import LOGGER_FAILED
from fer_bench.results.scores import DimensionScore
from fer_bench.results.store import Store
from tests.leaderboard.conftest import EMOTIONS

pytestmark = pytest.mark.usefixtures("store")


def page(store, out):
    write_leaderboard(store, out)
    return (out / "README.md").read_text(encoding="utf-8")


def dataset_page(store, out, name):
    write_leaderboard(store, out)
    return (out / f"{name}.md").read_text(encoding="utf-8")


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
        *(f"{name}.md" for name in EMOTIONS),
        "methods.md",
        "index.html",
        "results.csv",
        "runs.csv",
        "cells.csv",
        "generalisation.csv",
        "pairs.csv",
        "efficiency.csv",
        "figures/synthetic-quick-overview.png",
        "figures/synthetic-quick-in-domain.png",
        "figures/synthetic-quick-transfer.png",
        "figures/synthetic-quick-costs.png",
    ]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert str(tmp_path) not in first[0].read_text(encoding="utf-8")


def test_the_page_says_what_it_shows(store, full, add, tmp_path):
    add("gcn", "mmi", status="diverged", seed=1)
    text = page(store, tmp_path)
    assert "**SYNTHETIC DATA.**" in text
    assert "Drawn by: version 1, size small, seed 0." in text
    assert "- diverged: DivergedError: the loss became NaN (gcn/mmi/6-4fold fold 1 of 4 seed 1 (`" in text
    assert "mmi 6-4fold, fold 1 of 4; " in text
    assert "- gcn on expw: no neutral frames" in text
    assert "; commit abc1234;" in text
    assert "What ran: 14 of 15 runs, failures, what is missing" in text
    tables_are_regular(text)
    names = {f"[{name}]({name}.md)" for name in EMOTIONS}
    (means,) = [line for line in text.splitlines() if line.startswith("Means over the datasets")]
    assert names == {*re.findall(r"\[\w+\]\(\w+\.md\)", means)}
    for file in tmp_path.glob("*.md"):
        own = file.read_text(encoding="utf-8")
        tables_are_regular(own)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", own):
            assert target.startswith("http") or (tmp_path / target).is_file(), target
        for anchor in re.findall(r"\]\(methods\.md#([^)]*)\)", own):
            assert f"## {anchor}\n" in (tmp_path / "methods.md").read_text(encoding="utf-8")


def test_real_data_carries_no_synthetic_banner(store, add, tmp_path):
    add(targets=(), data_kind="real", profile="paper")
    assert "SYNTHETIC" not in page(store, tmp_path)


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
    assert re.search(r"\| \[oulu\]\(oulu\.md\) \| 0\.\d\d \(2/6\) \|", text)
    assert "| [gcn](methods.md#gcn) | - | - | - | - |" in text
    assert "there is none yet" in text
    assert re.search(r"\*\*mean\*\* \| 0\.\d\d \(2/6\) \|", (tmp_path / "oulu.md").read_text())


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
    assert "- diverged: DivergedError: the loss became NaN (gcn/oulu/" in text
    assert "gcn/mmi/0123/record.json" in text
    assert "figures/" not in text
    tables_are_regular(text)


def test_text_of_records_cannot_break_the_page(store, add, tmp_path):
    nasty = "a | b\n# title <script>alert(1)</script> [x](http://e) $x$ `c`"
    add(targets=(), warnings=(nasty,), adapted=nasty, missing={"expw": nasty})
    write_leaderboard(store, tmp_path)
    for file in tmp_path.glob("*.md"):
        text = file.read_text(encoding="utf-8")
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


def test_pages_of_datasets_that_are_gone_are_removed(store, add, tmp_path):
    add("gcn", "oulu", targets=())
    write_leaderboard(store, tmp_path)
    (tmp_path / "mine.md").write_text("# My own page")
    shutil.rmtree(store.root)
    add("gcn", "mmi", targets=())
    write_leaderboard(store, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.md")) == ["README.md", "methods.md", "mine.md", "mmi.md"]


def test_two_generators_do_not_share_figures(store, add, tmp_path):
    add(targets=())
    add(targets=(), seed=1, generator={"version": 2})
    written = write_leaderboard(store, tmp_path)
    assert len({p.name for p in written if p.suffix == ".png"}) == 2
    assert len({p.name for p in written}) == len(written)


def test_numbers_and_escapes():
    value = Value(0.6123, Interval(0.57, 0.651))
    assert percent(value) == "61.2 [57.0, 65.1]"
    assert decimal(Value(-0.014, None)) == "-0.01"
    assert decimal(Value(-0.004, None)) == "0.00"
    assert percent(None) == "-"
    assert margin(Value(0.52, Interval(0.51, 0.54)), two) == "0.52 ± .02"  # the longer side
    assert margin(Value(0.52, None), two) == "0.52"
    assert margin(Value(-0.05, Interval(-0.08, -0.02)), lambda v: f"{v:+.2f}") == "-0.05 ± .03"
    assert percent_margin(value) == "61 ± 4"
    assert percent_margin(Value(0.6123, Interval(0.60, 0.62))) == "61.2 ± 1.2"
    assert share(value) == "61 % ± 4"
    assert share(Value(1.0, Interval(1.0, 1.0))) == "100 % ± 0"
    assert whole_points(-0.002) == "+0"
    assert escape("a|b\nc_<d>") == "a\\|b c\\_&lt;d&gt;"
    assert len(escape("x" * 1000)) == 300
    assert table(("a", "b"), [("x|y", "**z**")], raw=(1,)).splitlines()[2] == "| x\\|y | **z** |"


def test_a_board_of_one_seed_concludes_nothing(store, full, tmp_path):
    text = page(store, tmp_path)
    assert coverage.found() in text
    told = "provisional with 1 seed: methods are compared from 3 common seeds on."
    assert text.count(told) == 1
    for name in EMOTIONS:
        assert (tmp_path / f"{name}.md").read_text(encoding="utf-8").count(told) == 2  # own, others
    assert re.search(r"\| \d\d ± \d+ \|", text)
    assert not re.search(r"\*\*-?\d+", text)  # no number is bold
    assert not re.search(r"± \.?\d+ [a-z]\b", text)  # none has a letter
    assert "is better than" not in text
    assert "rank" not in text.replace("not a ranking", "").lower()
    oulu = (tmp_path / "oulu.md").read_text(encoding="utf-8")
    assert "the interval lies above guessing: resemotenet 6 of 6; gcn 6 of 6." in oulu
    with (tmp_path / "pairs.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []


def test_the_page_says_what_is_safe_to_read_and_what_is_not(store, full, tmp_path):
    text = page(store, tmp_path)
    assert text.count("**not shown to differ**, whatever their order") == 1
    assert "with fewer\n  a result is *provisional*" in text
    assert "No difference shown is not equality" in text


def test_the_six_basic_emotions_stand_beside_generalisation(store, full, tmp_path):
    write_leaderboard(store, tmp_path)
    with (tmp_path / "generalisation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row["six_low"]) < float(row["six"]) < float(row["six_high"])
        if row["source"] != "overall":
            text = (tmp_path / f"{row['source']}.md").read_text(encoding="utf-8")
            (line,) = [line for line in text.splitlines() if line.startswith("| six emotions |")]
            assert f" {float(row['six']):.2f} [" in line
        if row["source"] in ("mmi", "oulu"):  # they know the six alone
            assert row["six"] == row["transfer"]
        elif row["source"] == "rafdb":
            assert row["six"] != row["transfer"]


def test_valence_arousal_and_action_units_stand_beside_where_predicted(store, add, tmp_path):
    record = add("gcn", "affwild2", targets=())
    assert "CCC valence" not in dataset_page(store, tmp_path, "affwild2")
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
    text = dataset_page(store, tmp_path, "affwild2")
    assert "| [gcn](methods.md#gcn) | 0.31 | 0.42 | 0.53 | 1.24 |" in text
    tables_are_regular(text)


def test_a_single_method_is_not_compared(store, add, tmp_path):
    add(targets=())
    text = dataset_page(store, tmp_path, "oulu")
    assert "only one method, so there is nothing to compare." in text
    assert "provisional with" not in text


def test_scores_of_records_without_a_breakdown_are_left_blank(store, add, tmp_path):
    record = add(targets=("rafdb",))
    scores = tuple(s.model_copy(update={"breakdown": None, "metrics": {"uar": s.uar}}) for s in record.scores)
    old = record.model_copy(update={"scores": scores})
    store.run_dir("gcn", "oulu", record.key).write_record(old)
    assert "| MCC |" not in dataset_page(store, tmp_path, "oulu")
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [row["mcc"] for row in csv.DictReader(file)] == ["", ""]


def test_a_union_shows_its_members_in_italics(store, add, tmp_path):
    add("gcn", "mmi+oulu")
    assert "[mmi+oulu](mmi+oulu.md)" in page(store, tmp_path)
    text = (tmp_path / "mmi+oulu.md").read_text(encoding="utf-8")
    for name in ("mmi", "oulu"):
        assert re.search(rf"\| {name} \| \*0\.\d\d \[.*\]\* \|", text)
    assert "*Italic*: a member of the union." in text
    tables_are_regular(text)


def test_notes_of_records_stand_beside_the_numbers_and_below(store, full, add, tmp_path):
    for dataset in ("oulu", "rafdb"):
        add("cafe", dataset, skill=1.5, warnings=("a backbone with random weights",))
    lost = f"{LOGGER_FAILED}no network"
    add("gcn", "mmi", skill=1.2, seed=1, warnings=("mmi: two clips are missing", lost))
    text = page(store, tmp_path)
    assert lost not in text  # it says nothing about a number
    assert "| [cafe](methods.md#cafe) <sup>1</sup> |" in text
    assert "- <sup>1</sup> cafe: a backbone with random weights" in text
    assert "two clips are missing" not in text  # of one dataset: on its page
    own = (tmp_path / "mmi.md").read_text(encoding="utf-8")
    assert "| [gcn](methods.md#gcn) <sup>1</sup> |" in own
    assert "- <sup>1</sup> gcn: mmi: two clips are missing" in own
    assert "random weights" not in (tmp_path / "oulu.md").read_text(encoding="utf-8")
    assert "Seeds differ (" in text


def test_scores_of_older_rules_are_marked(store, add, tmp_path):
    record = add("gcn", "oulu")
    told = "follow older scoring rules"
    assert told not in dataset_page(store, tmp_path / "board", "oulu")
    first, *others = record.scores
    old = first.model_copy(update={"metrics": first.metrics | {"macro_f1": 0.9}})
    store.run_dir("gcn", "oulu", record.key).write_record(
        record.model_copy(update={"scores": (old, *others)})
    )
    text = dataset_page(store, tmp_path / "board", "oulu")
    assert f"macro\\_f1 in the records and in results.csv {told}" in text
    assert "| 90.0" not in text  # the tables show today's


def test_pairs_say_rows_classes_and_kept_share(store, full, tmp_path):
    text = dataset_page(store, tmp_path, "oulu")
    assert re.search(r"\| \[rafdb\]\(rafdb\.md\) \| 336 \| 336 \| 6 \| 84 % \|", text)
    assert "Only UAR is tested. Accuracy and macro-F1 have intervals and no tests: those of " in text
    assert "Of the softmax over the scored classes; not tested." in text
    assert "class-wise ECE" in text
    with (tmp_path / "generalisation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows[:2]] == ["overall", "overall"]
    assert len(rows) == 2 + 14


def test_spread_over_seeds_is_printed_for_transfer(store, add, tmp_path):
    for seed in (0, 1, 2):
        add("gcn", "rafdb", seed=seed)
    text = dataset_page(store, tmp_path, "rafdb")
    assert re.search(r"seed sd of the mean \| 0\.\d\d", text)
    assert re.search(r"\| 3 \(\d+\.\d\) \|", text)
    with (tmp_path / "cells.csv").open(newline="") as file:
        assert all(float(row["transfer_seed_sd"]) > 0 for row in csv.DictReader(file))


def test_methods_and_datasets_have_links_and_terms(store, add, tmp_path):
    add("gcn", "rafdb", targets=("rafdb", "oulu"))
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "methods.md").read_text(encoding="utf-8")
    assert (
        "[arXiv:1703.07140](https://arxiv.org/abs/1703.07140)). Everything about it: `fer-bench docs gcn`"
        in text
    )
    assert "- lr: 0.01\n" in text
    text = (tmp_path / "rafdb.md").read_text(encoding="utf-8")
    assert "[owner's page](http://www.whdeng.cn/RAF/model1.html). Terms: Non-commercial research" in text
    assert "Commercial use: no. `fer-bench docs rafdb`" in text
