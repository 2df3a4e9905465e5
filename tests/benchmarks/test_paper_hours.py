import pytest

from benchmarks.speed import paper_hours
from fer_bench.runs.rates import seconds_at
from fer_bench.runs.resolve import resolve_settings


@pytest.mark.parametrize("name", ["cafe", "erm"])
def test_the_parts_of_a_run_are_all_that_dry_runs_expect(name):
    rate = paper_hours.rates()[name]
    found = paper_hours.hours(rate, name, "oulu")
    tested = 144 + 1_236 + 820 + 3_068 + 3_500 + 13_769 + 26_876
    how = resolve_settings(name, "paper")[1]
    whole = sum(seconds_at(rate, how, train=1_152, val=144, tested=tested)) / 3600
    assert sum(found.values()) == pytest.approx(whole)
    assert all(hours >= 0 for hours in found.values())
    assert (found["frozen tower"] > 0) == (name == "cafe")


def test_gpus_share_what_all_runs_take(monkeypatch):
    monkeypatch.setattr(paper_hours, "CORES_PER_GPU", 10)
    header, rows = paper_hours.on_gpus()
    assert {row[0] for row in rows} == set(paper_hours.rates())
    place = {name: at for at, name in enumerate(header)}
    for row in rows:
        names = ("core-hours", "longest run, hours on a GPU", "all, hours on 8 GPUs")
        whole, longest, shared = (float(row[place[name]].replace(",", "")) for name in names)
        assert max(whole / 80, longest) == pytest.approx(shared, rel=0.06)  # all are rounded
        assert row[place["runs"]] == "102"
