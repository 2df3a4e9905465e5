"""The speed benchmarks: timing in turn, comparison with the stored figures, the page."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import __main__ as every
from benchmarks.speed.harness import Ratio, Report, alternate, lines_of, median_ratio
from benchmarks.speed.stored import PAGE, RESULTS, Stored, page_of, read_stored, worse

MADE = {"gpu": None, "cpu": "Some CPU", "cpu_level": "AVX2", "torch": "2.15.0", "commit": "abc"}


def found(value: float, **changed: Any) -> dict[str, Any]:
    """Return what a benchmark of one figure writes."""
    ratio = {"name": "a / b", "value": value, "wanted": 5.0, "better": "higher", "note": "why", **changed}
    return {"title": "T", "text": "t", "ratios": [ratio], "environment": MADE, "device": "cpu"}


def stored(value: float, before: Stored | None = None, accept: bool = False, **changed: Any) -> Stored:
    """Return a result of one figure."""
    return Stored.of("one", found(value, **changed), before, accept)


def test_things_are_timed_in_turn_after_a_round_that_does_not_count() -> None:
    """Each other round goes backwards, and the clock sees what each call took."""
    now, called = [0.0], []

    def step(name: str, seconds: float) -> None:
        called.append(name)
        now[0] += seconds

    steps = {"a": lambda: step("a", 2.0), "b": lambda: step("b", 0.5)}
    seconds = alternate(steps, rounds=3, clock=lambda: now[0])
    assert "".join(called) == "abbaabba"
    assert seconds == {"a": [2.0] * 3, "b": [0.5] * 3}
    assert median_ratio(seconds, "a", "b") == 4


@pytest.mark.parametrize(
    ("better", "value", "reached", "bad"),
    [
        ("higher", 5.1, True, 4.0),
        ("higher", 4.9, False, 3.9),
        ("lower", 4.9, True, 5.9),
        ("lower", 5.1, False, 6.2),
    ],
)
def test_reached_and_worse_look_at_the_same_end(better: Any, value: float, reached: bool, bad: float) -> None:
    """Higher is better for one figure, lower for another."""
    assert Ratio("r", value, 5.0, better).reached is reached
    assert Ratio("r", bad, 5.0, better).worse_than(5.0) is (abs(bad - 5.0) > 1)


def test_the_reference_stays_until_it_is_accepted() -> None:
    """Otherwise figures could fall by 19 % at each run, unseen."""
    first = stored(10.0)
    second = stored(8.5, first)
    assert second.reference == {"a / b": 10.0}
    assert worse(second, first) == {}
    third = stored(7.5, second)
    assert worse(third, second) == {"a / b": "one: a / b: 7.5, stored 10"}
    assert stored(7.5, second, accept=True).reference == {"a / b": 7.5}


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """With its reference and its profile; a profile that is gone leaves no file."""
    result = Stored.of("one", {**found(3.0), "profile": "90 % in a"}, stored(4.0), accept=False)
    result.write(tmp_path)
    read = read_stored("one", tmp_path)
    assert read is not None
    assert read.reference == {"a / b": 4.0}
    assert read.report.ratios == [Ratio("a / b", 3.0, 5.0, note="why")]
    assert (tmp_path / "one.txt").read_text() == "90 % in a\n"
    stored(3.0).write(tmp_path)
    assert not (tmp_path / "one.txt").exists()


def test_a_slow_figure_is_measured_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is forgiven once, a slow program is not, and a benchmark that fails says so."""
    stored(10.0).write(tmp_path)
    values = [5.0, 9.5]
    monkeypatch.setattr(every, "result_of", lambda name, rounds: found(values.pop(0)))
    assert every.run("one", 2, accept=False, folder=tmp_path) == []
    values = [5.0, 5.0]
    assert every.run("one", 2, accept=False, folder=tmp_path) == ["one: a / b: 5, stored 10"]
    monkeypatch.setattr(every, "result_of", lambda name, rounds: None)
    assert every.run("one", 2, accept=False, folder=tmp_path) == ["one: failed"]


def test_a_figure_must_be_worse_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was slow in the first try and another in the second are two busy moments."""
    two = {"name": "c / d", "value": 10.0, "wanted": None, "better": "higher", "note": ""}
    both = {**found(10.0), "ratios": [*found(10.0)["ratios"], two]}
    Stored.of("one", both, None, accept=False).write(tmp_path)
    tries = [{**both, "ratios": [*found(5.0)["ratios"], two]}]
    tries += [{**both, "ratios": [*found(10.0)["ratios"], {**two, "value": 5.0}]}]
    monkeypatch.setattr(every, "result_of", lambda name, rounds: tries.pop(0))
    assert every.run("one", 2, accept=False, folder=tmp_path) == []
    monkeypatch.setattr(every, "result_of", lambda name, rounds: found(10.0))
    assert every.run("one", 2, accept=False, folder=tmp_path) == ["one: c / d: not measured any more"]


def test_figures_of_a_gpu_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without a GPU has nothing to say about them, and takes the place of those of a CPU beside one."""
    on_gpu = {**found(10.0), "environment": {**MADE, "gpu": "H200"}, "device": "cuda"}
    monkeypatch.setattr(every, "result_of", lambda name, rounds: found(1.0))
    Stored.of("one", on_gpu, None, accept=False).write(tmp_path)
    assert every.run("one", 2, accept=False, folder=tmp_path) == []
    kept = read_stored("one", tmp_path)
    assert kept is not None
    assert kept.report.device == "cuda"
    assert "H200, torch" in page_of([kept])
    Stored.of("one", {**on_gpu, "device": "cpu"}, None, accept=False).write(tmp_path)
    assert every.run("one", 2, accept=False, folder=tmp_path) == []
    kept = read_stored("one", tmp_path)
    assert kept is not None
    assert kept.reference == {"a / b": 1.0}
    assert "Some CPU" in page_of([kept])


def test_figures_of_another_processor_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They take the place of the stored ones, which is said."""
    stored(10.0).write(tmp_path)
    elsewhere = {**found(5.0), "environment": {**MADE, "cpu": "Other CPU"}}
    monkeypatch.setattr(every, "result_of", lambda name, rounds: elsewhere)
    assert every.run("one", 2, accept=False, folder=tmp_path) == []
    assert "stored figures are of Some CPU" in capsys.readouterr().out
    kept = read_stored("one", tmp_path)
    assert kept is not None
    assert kept.reference == {"a / b": 5.0}


def test_the_page_says_what_was_asked_and_what_is_missed() -> None:
    """A missed figure is in bold with its reason."""
    page = page_of([stored(4.0)])
    assert "| a / b | at least 5 | **4** | 4 |" in page
    assert "- *a / b*: why" in page
    assert "Some CPU (AVX2), torch 2.15.0, commit abc" in page
    assert "4  a / b  (asked at least 5)" in "\n".join(lines_of(Report("T", "t", [Ratio("a / b", 4.0, 5.0)])))


def test_the_committed_page_is_that_of_the_stored_results() -> None:
    """Every number of docs/speed.md comes from a stored result, and every result has its benchmark."""
    results = [found for name in every.names() if (found := read_stored(name)) is not None]
    assert PAGE.read_text(encoding="utf-8") == page_of(results)
    assert {file.stem for file in RESULTS.glob("*.*")} <= {*every.names()}
    missed = [(one.name, r) for one in results for r in one.report.ratios if r.reached is False]
    assert [f"{name}: {r.name}" for name, r in missed if not r.note] == []


def test_every_benchmark_can_be_imported_and_measured() -> None:
    """A name of the list stands for a file with `measure`."""
    for name in every.names():
        assert callable(importlib.import_module(f"benchmarks.speed.{name}").measure)
