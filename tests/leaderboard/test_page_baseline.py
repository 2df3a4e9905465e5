from __future__ import annotations

import pytest

from fer_bench import datasets
from fer_bench.evaluation import pairs
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.leaderboard.sections import baseline
from fer_bench.leaderboard.tables import build_board

from .conftest import EMOTIONS

SKILLS = {"erm": 1.6, "gcn": 3.2, "resemotenet": 0.4, "cafe": 1.6}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(pairs, "LEAST_DRAWS", 2000)
    monkeypatch.setattr(pairs, "MOST_DRAWS", 2000)


def section_of(store):
    (section,) = build_board(store, methods=(), named_targets=datasets.MAIN_SEVEN).sections
    return section


@pytest.fixture
def beside_erm(add):
    """Fill the store with three seeds of methods that are better, worse and as good as the baseline."""
    for method, skill in SKILLS.items():
        for dataset in ("oulu", "rafdb"):
            for seed in (0, 1, 2):
                add(method, dataset, skill=skill, seed=seed, targets=tuple(EMOTIONS))


def test_the_first_screen_says_which_methods_are_better_than_the_baseline(store, beside_erm, tmp_path):
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("Better than erm")]
    assert "Better than erm, the plain baseline, on other datasets: gcn (+" in line
    assert "Worse: resemotenet (-" in line
    assert "Not shown to differ: cafe" in line
    assert "…" not in line  # sentences of the page are never cut
    assert text.index(line) < text.index("<details>")
    assert "| difference from erm |" in text


def test_differences_are_those_of_the_scores(store, beside_erm):
    section = section_of(store)
    links = Links.of(section.cells)
    found = baseline.context(section, links)
    assert found is not None
    cells = {label: section.cell(label, "rafdb") for label in ("gcn", "erm")}
    apart = [cells[label].in_domain.estimate.values["uar"].value for label in ("gcn", "erm")]
    header, _, *rows = found["own"].splitlines()
    (row,) = [line for line in rows if line.startswith("| [rafdb]")]
    others = [label for label in section.labels if label != "erm"]
    assert header == f"| trained on | {' | '.join(map(links.method, others))} |"
    shown = row.strip("| ").split(" | ")[1 + others.index("gcn")]
    assert shown.startswith(f"**+{100 * (apart[0] - apart[1]):.0f} ± ")  # a test shows it
    assert "**" not in row.split(" | ")[1 + others.index("cafe")]


def test_its_sentence_is_left_out_where_it_is_the_best_itself(store, add, tmp_path):
    for method, skill in (("erm", 3.2), ("gcn", 0.4)):
        for seed in (0, 1, 2):
            add(method, "rafdb", skill=skill, seed=seed, rows=200)
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "erm is better than gcn (" in text
    assert "the plain baseline" not in text


def test_without_the_baseline_there_is_no_such_part(store, add, tmp_path):
    add("gcn", "oulu")
    add("cafe", "oulu")
    assert baseline.context(section_of(store), Links(frozenset(), {})) is None
    write_leaderboard(store, tmp_path)
    assert "baseline" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_few_seeds_show_no_method_to_be_better(store, add):
    for method in ("erm", "gcn"):
        for dataset in EMOTIONS:
            add(method, dataset, skill=SKILLS[method])
    found = baseline.context(section_of(store), Links(frozenset(), {}))
    assert found is not None
    assert found["said"] == (
        "no method is shown to be better than erm, the plain baseline: too few seeds to test"
    )
