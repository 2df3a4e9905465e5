import json

import pytest

from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from tests.runs.conftest import plan, workspace

pytestmark = pytest.mark.long

__all__ = ["plan", "workspace"]
SMALL = ("--student", "small", "--size", "32", "--set", "method.width=4", "--max-epochs", "1")


@pytest.fixture(scope="module")
def store(plan, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("distill"))
    assert execute(plan(targets=["rafdb"], max_epochs=1), store, workspace).status == "done"
    return store


def test_a_student_is_a_run_like_any_other(run_cli, store, tiny_root, tmp_path):
    (teacher,) = store.run_dirs()
    where = ("--runs-dir", store.root, "--data-root", tiny_root)
    code, out, err = run_cli("distill", teacher.path.name, *SMALL, *where)
    assert code == 0, err
    lines = out.splitlines()
    assert sum(line.endswith("  teacher") for line in lines) == 2
    assert sum(line.endswith("  student") for line in lines) == 2
    assert "SYNTHETIC DATA" in out
    (student,) = [run for run in store.run_dirs() if run.path.parts[-3] == "distilled"]
    record, known = student.read_record(), teacher.read_record()
    assert (record.status, record.protocol, record.fold) == ("done", known.protocol, known.fold)
    assert {score.target for score in record.scores} == {"oulu", "rafdb"}
    assert record.varied["teacher"].startswith("resemotenet[")
    assert "/" not in record.varied["teacher"]
    assert record.pretrained["teacher"].exposure == {}
    assert any("learns from resemotenet" in warning for warning in record.warnings)
    code, out, _ = run_cli("distill", teacher.path.name, *SMALL, *where, "--json")
    told = json.loads(out)
    assert (code, told["teacher"]) == (0, known.key)
    assert [each["key"] for each in told["students"]] == [record.key]
    code, _, err = run_cli("export", student.path, "--out", "student.onnx", "--data-root", tiny_root)
    assert code == 0, err
    code, out, _ = run_cli("leaderboard", "--runs-dir", store.root)
    assert code == 0
    assert "distilled" in (tmp_path / "leaderboard" / "README.md").read_text(encoding="utf-8")


def test_an_unknown_student_is_named(run_cli, store, tiny_root):
    (teacher, *_) = [run for run in store.run_dirs() if run.path.parts[-3] == "resemotenet"]
    where = ("--runs-dir", store.root, "--data-root", tiny_root)
    code, _, err = run_cli("distill", teacher.path.name, "--student", "mobilenetv3_smal_050", *where)
    assert code == 2
    assert "no such backbone" in err
    assert "mobilenetv3_small_050" in err


def test_without_a_teacher_there_is_no_student(run_cli, tiny_root):
    code, _, err = run_cli("run", "--method", "distilled", "--dataset", "oulu", "--data-root", tiny_root)
    assert code == 2
    assert "a student needs a teacher" in err
    assert f"name it: fer-bench distill --data-root {tiny_root} CHECKPOINT --student NAME" in err
