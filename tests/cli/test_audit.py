import json

import pytest

QUICK = ("--method", "erm", "--max-epochs", 1, "--set", "train.epoch_rows=32", "--jobs", 1)


@pytest.fixture(scope="module")
def audited(tiny_root, tmp_path_factory):
    return tmp_path_factory.mktemp("audit")


def audit(run_cli, tiny_root, audited, *more):
    return run_cli("audit", *QUICK, "--data-root", tiny_root, "--runs-dir", audited, *more)


@pytest.mark.long
def test_an_audit_trains_scores_and_writes_a_page(run_cli, tiny_root, audited, tmp_path):
    page = tmp_path / "audit.md"
    options = ("-d", "rafdb", "--seed", 0, "--seed", 1, "--out", page, "--json")
    code, out, err = audit(run_cli, tiny_root, audited, *options)
    assert code == 0, err
    found = {one["habit"]: one for one in json.loads(out)}
    assert list(found) == [
        "frame-folds", "peek", "augment-first", "flip-test", "leaked-test",
        "bgr", "class-order", "train9", "best-seed",
    ]  # fmt: skip
    assert {name for name, one in found.items() if one["why_not"]} == {"frame-folds", "train9"}
    assert found["peek"]["gain"]["value"] >= 0
    assert found["best-seed"]["gain"]["value"] >= 0
    rows = {one["rows"] for one in found.values() if not one["why_not"]}
    assert len(rows) == 1, "every habit is scored on the same rows"
    text = page.read_text()
    assert "SYNTHETIC DATA" in text
    assert f"--out {page}" in text
    assert "| folds by frame |  |  | not measured: no folds by subject |" in text


@pytest.mark.long
def test_a_second_call_trains_nothing(run_cli, tiny_root, audited):
    code, _, err = audit(run_cli, tiny_root, audited, "-d", "rafdb", "--seed", 0, "--seed", 1)
    assert code == 0
    assert "2 of 2 run(s) are finished already" in err


@pytest.mark.long
def test_no_board_is_made_of_runs_with_a_bad_habit(run_cli, audited, tmp_path):
    code, _, err = run_cli("leaderboard", "--runs-dir", audited / "leaked-test", "--out", tmp_path / "board")
    assert code == 2
    assert "trained with a bad habit" in err
    assert not (tmp_path / "board").exists()
    assert run_cli("leaderboard", "--runs-dir", audited / "honest", "--out", tmp_path / "board")[0] == 0


@pytest.mark.long
def test_a_lab_dataset_is_audited_on_all_its_folds(run_cli, tiny_root, tmp_path):
    options = ("-d", "oulu", "--seed", 0, "--habit", "frame-folds", "--habit", "train9")
    code, out, err = audit(run_cli, tiny_root, tmp_path, *options)
    assert code == 0, err
    assert "folds by frame" in out
    assert "no validation, last epoch" in out
    assert "not measured" not in out


def test_folds_and_unions_are_refused(run_cli, tiny_root, audited):
    code, _, err = audit(run_cli, tiny_root, audited, "-d", "oulu", "--fold", 1)
    assert code == 2
    assert "every fold" in err
    code, _, err = audit(run_cli, tiny_root, audited, "-d", "ckplus+oulu")
    assert code == 2
    assert "single datasets" in err


def test_a_dry_run_says_how_many_runs_it_takes(run_cli, tiny_root, audited):
    code, out, _ = audit(run_cli, tiny_root, audited, "-d", "oulu", "--habit", "frame-folds", "--dry-run")
    assert code == 0
    assert "frame-folds: 12 runs in" in out
