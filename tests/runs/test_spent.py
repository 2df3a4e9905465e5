"""CPU-seconds of runs by purpose."""

import time

from fer_bench.results.store import Store
from fer_bench.runs import spent
from fer_bench.runs.execute import execute


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_clock_gives_all_time_to_its_parts():
    clock, before = spent.SpentClock(), time.process_time()
    busy(0.05)
    clock.lap("start")
    busy(0.1)
    clock.lap("train")
    busy(0.05)
    clock.lap("start")
    whole = time.process_time() - before
    found = clock.timing()
    assert list(found) == ["cpu_start", "cpu_train"]
    assert found["cpu_start"] >= 0.1
    assert found["cpu_train"] >= 0.1
    assert abs(sum(found.values()) - whole) < 0.02


def test_a_run_says_what_it_spent_and_a_table_sums_it(plan, workspace, tmp_path):
    planned, before = plan(max_epochs=1), time.process_time()
    first = execute(planned, Store(tmp_path), workspace)
    whole = time.process_time() - before
    found = {name: value for name, value in first.timing.items() if name.startswith(spent.PREFIX)}
    assert list(found) == [f"cpu_{part}" for part in spent.PARTS]
    assert all(value > 0 for value in found.values())
    assert 0.7 * whole < sum(found.values()) <= whole
    again = first.model_copy(update={"method": "other", "timing": {"cpu_train": 1000.0, "cpu_score": 2.5}})
    older = first.model_copy(update={"method": "older", "timing": {"train": 3.0}})
    title, *rows = spent.spent_table([first, again, again, older])
    assert title.split() == ["CPU-seconds", "runs", *spent.PARTS, "all", "a", "run"]
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    assert set(cells) == {"resemotenet", "other", "all"}
    assert cells["other"] == ["2", "0.0", "2,000.0", "0.0", "0.0", "0.0", "5.0", "2,005.0", "1,002.5"]
    assert cells["all"][0] == "3"
    assert spent.spent_table([older]) == []


def test_what_came_before_the_runs():
    line = spent.spent_line({"drawing and reading": 100.0, "packing": 20.25}, 130.0)
    assert line == "before the runs: drawing and reading 100.0, packing 20.2, imports and planning 9.8"
