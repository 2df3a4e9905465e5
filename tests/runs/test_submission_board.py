"""`submit add`: checked submissions become rows of the board, by the path of outside models."""

import json

import pytest

from fer_bench.datasets import MAIN_SEVEN
from fer_bench.errors import StoreError, UsageError
from fer_bench.evaluation.rescore import score_run
from fer_bench.leaderboard.tables import build_board
from fer_bench.results.predictions import Predictions, write_predictions
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.submission import add_submissions, check_submission
from fer_bench.workspace.sources import find_roots


@pytest.fixture(scope="module")
def own_run(tmp_path_factory, plan, workspace):
    """A run whose predictions somebody else could have made."""
    store = Store(tmp_path_factory.mktemp("own"))
    planned = plan(max_epochs=1, fold=2)
    record = execute(planned, store, workspace)
    assert record.status == "done", record.error
    return record, store


@pytest.fixture
def submitted(own_run, tiny_root, tmp_path):
    """Return a function that checks the run's predictions on a target as a submission."""
    record, store = own_run

    def check(target, **changes):
        found = store.predictions(record, target)
        meta = found.meta.model_copy(update={"method": "theirs", "key": "best", **changes})
        file = tmp_path / f"{target}.parquet"
        write_predictions(file, Predictions(found.frame, meta))
        return check_submission(file, find_roots(str(tiny_root)), protocol="6-4fold", fold=2, quick=True)

    return check


def test_a_submission_is_a_row_with_the_scores_of_the_run(own_run, submitted, tmp_path):
    own, _ = own_run
    store = Store(tmp_path / "runs")
    both = [submitted("oulu"), submitted("rafdb")]
    (record,) = add_submissions(both, store, profile="quick")
    assert (record.method, record.dataset, record.fold, record.folds) == ("theirs", "oulu", 2, 4)
    assert record.is_outside
    assert record.training_data.exposure == {"oulu": "in training"}
    for target in ("oulu", "rafdb"):
        assert record.score(target) == own.score(target)
    outcome = score_run(store, f"theirs/oulu/{record.key}")
    assert (outcome.state, outcome.changed, outcome.problem) == ("scored", False, "")
    (section,) = build_board(store, methods=("gcn",), named_targets=MAIN_SEVEN).sections
    assert (section.cells, [cell.label for cell in section.outside]) == ((), ["theirs"])
    (cell,) = section.outside
    assert cell.in_domain.estimate.values["uar"].value == pytest.approx(own.score("oulu").uar)
    assert set(cell.cross) == {"rafdb"}


def test_files_of_one_model_join_one_row(submitted, tmp_path):
    store = Store(tmp_path / "runs")
    add_submissions([submitted("oulu")], store, profile="quick")
    (record,) = add_submissions([submitted("rafdb")], store, profile="quick", pretrained_on=["affectnet7"])
    assert {score.target for score in record.scores} == {"oulu", "rafdb"}
    assert record.training_data.exposure == {"affectnet7": "in training", "oulu": "in training"}
    assert "pretrained on affectnet7" in record.training_data.text
    assert len(store.scan()[0]) == 1
    with pytest.raises(StoreError, match="with another checkpoint"):
        add_submissions([submitted("rafdb", checkpoint="cd" * 32)], store, profile="quick")
    add_submissions([submitted("rafdb", checkpoint="cd" * 32, key="other")], store, profile="quick")
    assert len(store.scan()[0]) == 2


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"method": "gcn"}, {}, "has the name of a method"),
        ({"method": "../../outside"}, {}, "letters, digits"),
        ({}, {"pretrained_on": ["rafbd"]}, "did you mean rafdb"),
    ],
)
def test_what_is_refused_leaves_nothing(submitted, tmp_path, changes, more, words):
    store = Store(tmp_path / "runs")
    with pytest.raises(UsageError, match=words):
        add_submissions([submitted("oulu"), submitted("rafdb", **changes)], store, profile="quick", **more)
    assert not store.root.exists()


def test_the_command_stores_the_row(submitted, run_cli, tiny_root, tmp_path):
    for target in ("oulu", "rafdb"):
        submitted(target)
    files = [str(tmp_path / f"{target}.parquet") for target in ("oulu", "rafdb")]
    options = ("--data-root", str(tiny_root), "--protocol", "6-4fold", "--fold", "2", "--quick")
    code, out, err = run_cli("submit", "add", *files, *options)
    assert code == 0, err
    assert "theirs: trained on oulu (6-4fold), as its file says  SYNTHETIC DATA" in out
    code, out, _ = run_cli("submit", "add", *files, *options, "--json")
    (document,) = json.loads(out)["runs"]
    assert (code, document["method"], document["status"]) == (0, "theirs", "done")
    assert document["profile"] == "quick"
    beside = (*options[:-1], "--profile", "small")
    (document,) = json.loads(run_cli("submit", "add", *files, *beside, "--json")[1])["runs"]
    assert document["profile"] == "small"
    code, _, err = run_cli("submit", "add", *files, *options, "--profile", "small")
    assert (code, "a section of its own" in err) == (2, True)
    code, out, _ = run_cli("runs")
    assert "theirs" in out
    code, _, err = run_cli("rerun", document["key"])
    assert (code, "not trained here" in err) == (2, True)
    code, out, _ = run_cli("prune")
    assert "would remove 0 runs" in out
