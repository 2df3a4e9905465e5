"""The tables of runs."""

from fer_bench.leaderboard.html import runs


def test_every_run_is_listed_with_its_key_and_why_it_did_not_finish(board):
    section = board.sections[0]
    found = runs.runs(section)
    assert len(found.rows) == len(section.records) == 28
    failed = [row for row in found.rows if row["status"] == "diverged"]
    assert [row["reason"] for row in failed] == ["DivergedError: the loss became NaN"]
    assert isinstance(failed[0]["key"], str)
    done = next(row for row in found.rows if row["status"] == "done")
    assert done["key"]["d"] == f"{done['method']} @ {done['dataset']}"


def test_what_was_never_run_is_listed(board):
    rows = runs.missing(board.sections[0]).rows
    assert {"what": "gcn on mmi", "why": "not yet run", "runs": 0} in rows
    assert {"what": "gcn on oulu", "why": "not yet run", "runs": 0} not in rows


def test_parts_have_calibration_and_no_empty_columns(board):
    found = runs.parts(board.sections[0])
    assert len(found.rows) == 9
    fields = {column.field for column in found.columns}
    assert {"ece", "brier", "nll"} <= fields
    assert "human" not in fields  # these data have no votes
