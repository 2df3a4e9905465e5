import pytest

from benchmarks.speed import paper_hours
from benchmarks.speed.paper_rows import published
from fer_bench.runs.rates import seconds_at
from fer_bench.runs.resolve import resolve_settings


@pytest.mark.parametrize("name", ["cafe", "erm"])
def test_the_parts_of_a_run_are_all_that_dry_runs_expect(name):
    rate = paper_hours.rates()[name]
    found = paper_hours.hours(rate, name, "oulu")
    tested = 144 + 1_308 + 832 + 3_068 + 3_500 + 13_769 + 15_440
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
        names = ("core-hours", "all, hours on 8 GPUs")
        whole, shared = (float(row[place[name]].replace(",", "")) for name in names)
        rate = paper_hours.rates()[row[0]]
        longest = sum(paper_hours.hours(rate, row[0], "affectnet7").values())
        assert max(whole / 8, longest) / 10 == pytest.approx(shared, rel=0.06)  # both are rounded
        assert row[place["which limits"]] == "a run on affectnet7"
        assert row[place["runs"]] == "102"


def test_a_method_of_affect_learns_from_frames_without_an_expression():
    plain, affect = published("erm"), published("ssmfar")
    assert (plain["affwild2"].train, plain["affwild2"].test) == (81_580, 15_440)
    assert (affect["affwild2"].train, affect["affwild2"].test) == (128_100, 26_876)
    assert plain["affwild2"].target == affect["affwild2"].target == 15_440
    assert {name: rows for name, rows in plain.items() if rows != affect[name]}.keys() == {"affwild2"}
    assert sum(rows.folds for rows in plain.values()) == 34
