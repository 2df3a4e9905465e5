"""The doctor tries what it lists, is quick, and tells faults from datasets that are merely absent."""

import json
import resource
import subprocess
import sys
import threading
import time

import cv2

from fer_bench.data.crops import mtcnn_networks
from fer_bench.runs import environment


def test_doctor_tells_what_is_missing(run_cli, tiny_root):
    code, out, _ = run_cli("doctor", "--data-root", tiny_root, "--json")
    facts = json.loads(out)
    assert code == 0
    assert set(facts["found"]) == {"ckplus", "oulu", "rafdb"}
    assert "mmi" in facts["missing"]
    assert facts["torch"]


def test_doctor_reports_a_root_that_cannot_be_used_and_goes_on(run_cli, monkeypatch):
    monkeypatch.setenv("FER_BENCH_DATA", "/nowhere")
    code, out, _ = run_cli("doctor", "--json")
    facts = json.loads(out)
    assert code == 2
    assert "FER_BENCH_DATA does not exist" in facts["data"]
    assert facts["torch"]
    assert "cannot be used: /nowhere" in run_cli("doctor")[1]


def diagnose(run_cli, *arguments):
    code, out, _ = run_cli("doctor", *arguments, "--json")
    return code, json.loads(out)


def test_doctor_finds_no_fault_where_there_is_none(run_cli, tiny_root):
    code, facts = diagnose(run_cli, "--data-root", tiny_root)
    assert (code, facts["faults"]) == (0, {})
    assert facts["decoder"] == "reads JPEG and PNG"
    assert "fault" not in run_cli("doctor", "--data-root", tiny_root)[1]


def test_doctor_does_not_call_absent_stand_ins_missing(run_cli):
    code, facts = diagnose(run_cli)
    assert (code, facts["faults"], facts["missing"]) == (0, {}, {})
    assert "folder" in facts["without_stand_in"]
    assert "oulu" in facts["found"]
    assert "missing" not in run_cli("doctor")[1]


def test_doctor_tries_to_write_the_cache_and_the_runs(run_cli, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    code, facts = diagnose(run_cli, "--runs-dir", tmp_path / "file")
    assert code == 2
    assert set(facts["faults"]) == {"cache", "runs"}
    assert "FER_BENCH_CACHE=DIR" in facts["faults"]["cache"]
    assert f"cannot be used: {tmp_path / 'file'}" in facts["runs"]
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]  # what it tries leaves nothing behind


def test_doctor_without_a_home_names_the_variable(run_cli, monkeypatch):
    def getpwuid(number):
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", getpwuid)
    for name in ("HOME", "XDG_CACHE_HOME", "FER_BENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    code, facts = diagnose(run_cli)
    assert code == 2
    assert "FER_BENCH_CACHE=DIR" in facts["faults"]["cache"]
    assert facts["decoder"] == "reads JPEG and PNG"


def test_doctor_tries_the_detector(run_cli, monkeypatch):
    assert diagnose(run_cli)[1]["face_detector"].startswith("MTCNN; the faster YuNet: fer-bench data fetch")
    monkeypatch.setattr(mtcnn_networks, "DISTRIBUTION", "absent-package")
    monkeypatch.setattr(mtcnn_networks, "_local", threading.local())
    code, facts = diagnose(run_cli)
    assert code == 2
    assert "absent-package, which brings the networks of MTCNN" in facts["faults"]["face_detector"]
    assert facts["face_detector"].startswith("cannot be used")


def test_doctor_tries_the_detector_that_is_named(run_cli, monkeypatch, tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"something")
    monkeypatch.setenv("FER_BENCH_YUNET", str(tmp_path / "yunet.onnx"))
    assert "not the known YuNet model" in diagnose(run_cli)[1]["faults"]["face_detector"]


def test_doctor_tries_the_decoder(run_cli, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *given: None)
    code, facts = diagnose(run_cli)
    assert code == 2
    assert "the picture cannot be decoded" in facts["faults"]["decoder"]


def test_doctor_names_an_opencv_that_cannot_be_imported(run_cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, facts = diagnose(run_cli)
    assert code == 2
    assert "cv2" in facts["faults"]["decoder"]


def test_doctor_tells_when_torch_does_not_see_the_gpus(run_cli, monkeypatch):
    monkeypatch.setattr(environment, "gpu_names", lambda: ["NVIDIA H200"] * 2)
    assert diagnose(run_cli)[1]["gpu"] == "NVIDIA H200 x 2"
    monkeypatch.setattr(environment, "cuda_of_torch", lambda: None)
    code, facts = diagnose(run_cli)
    assert code == 2
    assert "built without CUDA" in facts["faults"]["gpu"]


def test_doctor_answers_in_under_two_seconds_without_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['fer-bench', 'doctor']\n"
        "from fer_bench.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.splitlines()[-1] == "False"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    assert took < 10  # on an idle machine it is what it computes
