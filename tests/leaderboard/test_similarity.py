import pytest

from fer_bench.leaderboard.page import read_board, write_pages
from fer_bench.leaderboard.similarity import alike, mean_transfer
from fer_bench.results.similarity import Pair, Similarity, write_similarity

DATASETS = ("oulu", "ckplus", "rafdb", "expw", "affectnet7")


@pytest.fixture
def measured(store, add):
    """A store of one method on five datasets, with how alike these look."""
    for dataset in DATASETS:
        add("gcn", dataset)
    (section,) = read_board(store).sections
    prints = {target: data.fingerprint for r in section.finished for target, data in r.targets.items()}
    data = {name: (prints[name], "crop") for name in DATASETS} | {"mmi": ("another version", "crop")}
    names = [*DATASETS, "mmi"]
    pairs = tuple(
        Pair(
            first=names[a], second=names[b], told_apart=0.5 + 0.08 * (b - a), distance=0.2 * (b - a),
            expressions=("fear",),
        )
        for a in range(len(names))
        for b in range(a + 1, len(names))
    )  # fmt: skip
    found = Similarity(
        network="tiny<script>", weights="0" * 64, trained_on="drawn faces", faces=9, data=data, pairs=pairs
    )
    write_similarity(store.root, found, "synthetic-tiny")
    return store


def test_pairs_are_of_the_data_that_runs_were_tested_on(measured):
    board = read_board(measured)
    (one,) = alike(board.sections[0], board.similarities)
    assert {name for pair in one.pairs for name in (pair.first, pair.second)} == set(DATASETS)
    assert len(one.pairs) == 10
    assert (one.pairs[0].first, one.pairs[0].second) == ("oulu", "affectnet7")
    assert one.by_classifier.pairs == len(
        [p for p in mean_transfer(board.sections[0]) if set(p) <= set(DATASETS)]
    )
    assert -1 <= one.by_classifier.rho <= 1
    assert 0 < one.by_classifier.p <= 1


@pytest.mark.long
def test_pages_show_it_beside_the_transfer(measured, tmp_path):
    board = read_board(measured)
    write_pages(board, tmp_path)
    first, own = (tmp_path / "README.md").read_text(), (tmp_path / "oulu.md").read_text()
    assert "is right for 58 to 82 % of unseen people's faces" in first
    assert "Rank correlation with transfer over" in first
    assert "How alike other datasets look" in own
    (row,) = [line for line in own.splitlines() if "| 82 % | 0.80 |" in line]
    there = mean_transfer(board.sections[0])["oulu", "affectnet7"]
    assert f"| {there:.2f} |" in row
    assert "<script>" not in first + own


def test_a_damaged_file_is_a_problem_and_hides_nothing_else(measured, tmp_path):
    (measured.root / "similarity" / "synthetic-tiny.json").write_text("{")
    board = read_board(measured)
    assert board.similarities == ()
    assert any("similarity" in problem.file for problem in board.problems)
    write_pages(board, tmp_path)
    assert "How alike" not in (tmp_path / "oulu.md").read_text()
