"""Writers that are stopped, killed, or two at once."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from fer_bench.errors import DataError
from fer_bench.synthetic import layouts
from fer_bench.synthetic.layouts import casting, journal, writing

KILLED = """
import os, signal, sys
from fer_bench.synthetic import layouts

def stop(done, total):
    if 2 * done > total:
        os.kill(os.getpid(), signal.SIGKILL)

layouts.write(sys.argv[1], sys.argv[2], size="tiny", jobs=int(sys.argv[3]), progress=stop)
"""


def write(name, out, **options):
    reports = []
    layouts.write(name, out, size="tiny", report=reports.append, **options)
    return reports[0] if reports else None


def partial_of(out):
    (found,) = out.glob(".*.partial")
    return found


@pytest.mark.parametrize(("name", "jobs"), [("rafdb", 1), ("ckplus", 2)])
def test_a_killed_writer_is_continued_and_nothing_is_drawn_twice(
    drawn, tree, tmp_path, monkeypatch, name, jobs
):
    killed = subprocess.run([sys.executable, "-c", KILLED, name, str(tmp_path), str(jobs)], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / name).exists()
    lines = (partial_of(tmp_path) / journal.JOURNAL).read_bytes().splitlines()[1:]
    kept = sum(int(line.split(b"\t")[1]) for line in lines)
    assert kept > 20

    module = sys.modules[f"fer_bench.synthetic.layouts.{name}"]
    shoot, calls = module.shoot, []
    monkeypatch.setattr(module, "shoot", lambda *a, **k: calls.append(1) or shoot(*a, **k))
    notices, steps = [], []
    report = write(
        name, tmp_path, notice=notices.append, progress=lambda done, total: steps.append((done, total))
    )
    assert "going on" in notices[-1]
    assert (report.kept, report.faces) == (kept, len(calls))
    assert 0 < report.faces < report.kept + report.faces
    assert 2 * steps[0][0] > steps[0][1]
    assert tree(tmp_path / name) == tree(drawn / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_stopped_writer_is_continued(drawn, tree, tmp_path):
    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layouts.write("affectnet7", tmp_path, size="tiny", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == [partial_of(tmp_path).name]
    with (partial_of(tmp_path) / journal.JOURNAL).open("ab") as stream:
        stream.write(b'3\t20\t["killed while wri')
    report = write("affectnet7", tmp_path)
    assert report.kept >= 40
    assert tree(tmp_path / "affectnet7") == tree(drawn / "affectnet7")


def test_a_writer_that_died_before_the_last_step_only_takes_that_step(drawn, tree, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_put_in_place", die)
    with pytest.raises(KeyboardInterrupt):
        write("expw", tmp_path)
    monkeypatch.undo()
    assert write("expw", tmp_path) is None  # nothing drawn
    assert tree(tmp_path / "expw") == tree(drawn / "expw")


def test_other_settings_do_not_continue_each_other(drawn, tree, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layouts.write("affectnet7", tmp_path, size="tiny", seed=1, progress=stop)
    assert write("affectnet7", tmp_path).kept == 0
    assert tree(tmp_path / "affectnet7") == tree(drawn / "affectnet7")
    assert write("affectnet7", tmp_path, seed=1).kept > 0


def test_a_folder_of_another_version_is_replaced_and_its_partial_work_not_continued(
    drawn, tree, tmp_path, monkeypatch
):
    def stop(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "GENERATOR_VERSION", "older")
    layouts.write("affectnet7", tmp_path, size="tiny")
    (tmp_path / "affectnet7" / "left over.jpg").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        layouts.write("affectnet7", tmp_path, size="tiny", seed=1, progress=stop)
    monkeypatch.undo()
    assert write("affectnet7", tmp_path).kept == 0
    assert tree(tmp_path / "affectnet7") == tree(drawn / "affectnet7")
    assert write("affectnet7", tmp_path, seed=1).kept == 0


def test_a_changed_plan_starts_anew(tmp_path):
    folder = tmp_path / "partial"
    first = journal.Journal(folder, {"tasks": 3})
    first.add(0, journal.JobResult(["a"], [[1]]))
    first.close()
    again = journal.Journal(folder, {"tasks": 3})
    assert 0 in again
    assert list(again.lines()) == [["a"]]
    assert list(again.truth()) == [[1]]
    again.close()
    (folder / "picture.jpg").write_bytes(b"old")
    assert len(journal.Journal(folder, {"tasks": 4})) == 0
    assert not (folder / "picture.jpg").exists()


def test_what_others_left_is_removed_in_time(tmp_path):
    day = 86400
    ages = {".expw.1.partial": 2, ".expw.2.partial": 0.5, ".expw.ab.partial": 2, ".expw.cd.partial": 9}
    for name, days in ages.items():
        folder = tmp_path / name
        folder.mkdir()
        touched = [folder]
        if name in (".expw.ab.partial", ".expw.cd.partial"):  # those can be continued
            touched.append(folder / journal.JOURNAL)
            touched[-1].write_text(json.dumps({"generator_version": writing.GENERATOR_VERSION}) + "\n")
        for path in touched:
            os.utime(path, (time.time() - days * day,) * 2)
    write("expw", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".expw.2.partial", ".expw.ab.partial", "expw"]


def _write_and_tell(out, queue):
    waits = []
    report = write("ckplus", out, notice=waits.append)
    queue.put((0 if report is None else report.faces, waits))


def test_two_writers_at_once_share_the_work_of_one(drawn, tree, tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    writers = [context.Process(target=_write_and_tell, args=(tmp_path, queue)) for _ in range(2)]
    for writer in writers:
        writer.start()
    told = sorted(queue.get(timeout=60) for _ in writers)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert told[0][0] == 0 < told[1][0]
    assert any("another process" in wait for wait in told[0][1])
    assert tree(tmp_path / "ckplus") == tree(drawn / "ckplus")
    assert [path.name for path in tmp_path.iterdir()] == ["ckplus"]


def test_a_killed_worker_is_an_error_and_not_a_wait_for_ever(tmp_path):
    parent = os.getpid()

    def run(serial):
        if serial >= 40 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return journal.JobResult([str(serial)], [[serial]])

    jobs = casting.Chunks(200, run)
    kept = journal.Journal(tmp_path / "partial", {})
    with pytest.raises(DataError, match="killed") as caught:
        writing._draw(jobs, kept, 2, None)
    assert "goes on" in caught.value.hint
    writing._draw(jobs, kept, 1, None)
    assert list(kept.truth()) == [[serial] for serial in range(200)]
