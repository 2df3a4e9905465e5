"""`--rows`: lists of rows become named subsets, of new runs and of those that are stored."""

import json

import pytest

from fer_bench.results.store import Store
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

RUN = ("run", "-m", "resemotenet", "-d", "rafdb", "--profile", "quick", "--targets", "none")
SMALL = ("--max-epochs", "1", "--set", "method.width=0.03", "--set", "train.batch_size=16")


@pytest.fixture(scope="module")
def tested(tiny_root):
    """Sample ids and paths of the test rows, and the id of a training row."""
    index = Workspace(find_roots(str(tiny_root))).source("rafdb").dataset.index
    rows = index[index["split"] == "test"]
    trained = index["sample_id"][index["split"] == "train"].iloc[0]
    return rows["sample_id"].tolist(), rows["path"].tolist(), trained


def test_rows_of_a_run_and_of_a_store(run_cli, tiny_root, tmp_path, tested):
    ids, paths, trained = tested
    (tmp_path / "occlusion.txt").write_text("".join(f"{one}_aligned 3 4\n" for one in ids[::2]))
    (tmp_path / "pose.txt").write_text("".join(f"3/{one.rpartition('/')[2]}\n" for one in paths[::3]))
    command = (*RUN, *SMALL, "--data-root", tiny_root)
    code, out, err = run_cli(*command, "--rows", "occlusion=occlusion.txt", "--json")
    assert code == 0, err
    record = json.loads(out)
    (one,) = record["subsets"]
    assert (one["name"], one["listed"], one["tested"]) == ("occlusion", len(ids[::2]), len(ids[::2]))
    predictions = sorted((tmp_path / "runs").rglob("*.parquet"))
    written = [file.stat().st_mtime_ns for file in predictions]

    code, out, err = run_cli("score", "--rows", "rafdb:pose-45=pose.txt", "--json")
    assert (code, json.loads(out)["changed"]) == (0, 1)
    assert [file.stat().st_mtime_ns for file in predictions] == written  # nothing is predicted again
    record = Store(tmp_path / "runs").find(record["key"]).read_record()
    assert {one.name: one.listed for one in record.subsets} == {
        "occlusion": len(ids[::2]),
        "pose-45": len(ids[::3]),
    }

    (tmp_path / "train.txt").write_text("\n".join([ids[0], trained]))
    code, out, _ = run_cli(*command, "--rows", "rafdb:mixed=train.txt")  # finished: only scored
    assert code == 0
    assert "rafdb:mixed" in out
    assert "note: rafdb:mixed lists 2 rows, 1 of which this run does not test" in out
    listed = json.loads(run_cli("runs", "--json")[1])["runs"]
    assert set(listed[0]["subsets"]) == {"rafdb:mixed", "rafdb:occlusion", "rafdb:pose-45"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("occlusion=bad.txt", "1 of 2 lines name no row of rafdb"),
        ("occlusion=nowhere.txt", "the list of rows does not exist"),
        ("expw:occlusion=bad.txt", "expw is not tested here"),
        ("Occlusion=bad.txt", "small letters"),
        ("bad.txt", "[DATASET:]NAME=FILE"),
    ],
)
def test_wrong_lists_are_refused_before_anything_is_trained(run_cli, tiny_root, tmp_path, tested, rows, said):
    (tmp_path / "bad.txt").write_text(f"{tested[0][0]}\ntest_99999_aligned 3\n")
    code, _, err = run_cli(*RUN, *SMALL, "--data-root", tiny_root, "--rows", rows)
    assert code == 2
    assert said in err
    if "name no row" in said:
        assert "bad.txt" in err
        assert "line 2" in err
        assert "test_99999_aligned 3" in err
    assert not list((tmp_path / "runs").rglob("record.json"))


def test_rows_of_a_dataset_that_no_run_was_tested_on_are_refused(run_cli, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "list.txt").write_text("a\n")
    code, _, err = run_cli("score", "--rows", "rafdb:occlusion=list.txt")
    assert code == 2
    assert "no run of the store was tested on rafdb" in err
