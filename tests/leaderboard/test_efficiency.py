import csv
from dataclasses import replace

import pytest

from fer_bench.evaluation.intervals import Value
from fer_bench.leaderboard.efficiency import Axis, Point, costs
from fer_bench.leaderboard.page import read_board, write_pages
from fer_bench.results.efficiency import Efficiency, Predicting, write_efficiency

SIZES = {"erm": 1e6, "gcn": 4e6, "resemotenet": 2e6}
SECONDS = {"erm": 0.002, "gcn": 0.009, "resemotenet": 0.004}


@pytest.fixture
def records(store, add):
    """Three methods on two datasets, three seeds; resemotenet is best, gcn dearer and worse."""
    found = []
    for method, skill in (("erm", 0.6), ("gcn", 1.2), ("resemotenet", 2.6)):
        for dataset in ("rafdb", "expw"):
            for seed in (0, 1, 2):
                base = 10.0 * (1 + seed)
                slower = {"erm": 1, "gcn": 3, "resemotenet": 1.5}[method]
                found.append(
                    add(
                        method, dataset, skill=skill, seed=seed, rows=60,
                        multiply_adds=int(SIZES[method]), parameters=50_000,
                        timing={"cpu_train": base * slower, "cpu_validate": 2.0 * slower, "train": 9.0},
                        environment={"cpu": "A <b>CPU</b>", "gpu": None},
                    )
                )  # fmt: skip
    return found


def measured(records, **changes):
    """Return a measurement of the first run of each method."""
    first = {r.method: r for r in reversed(records)}
    models = tuple(
        Predicting(
            key=first[name].key,
            checkpoint="ab" * 32,
            size=48,
            parameters=40_000,
            seconds={1: seconds, 32: 20 * seconds},
            memory={1: 5_000_000, 32: 30_000_000},
        )
        for name, seconds in SECONDS.items()
    )
    values = {"device": "cpu", "processor": "A <b>CPU</b>", "threads": 1, "rounds": {1: 30, 32: 30}}
    return Efficiency(**{**values, "environment": {}, "models": models, **changes})


def test_times_are_multiples_of_the_baseline(store, records):
    write_efficiency(store.root, measured(records))
    found = costs(read_board(store).sections[0])
    by_label = {one.label: one for one in found.rows}
    assert found.reference == "erm"
    assert by_label["gcn"].relative == {1: pytest.approx(4.5), 32: pytest.approx(4.5)}
    assert by_label["erm"].relative == {1: 1.0, 32: 1.0}
    assert by_label["gcn"].training == pytest.approx(3.0)
    assert by_label["gcn"].memory == {"cpu": 30_000_000}
    assert (found.core_seconds, found.runs) == (pytest.approx(22.0), 6)


def test_without_the_baseline_the_fastest_is_one(store, records):
    for record in records:
        if record.method == "erm":
            run = store.run_dir(record.method, record.dataset, record.key)
            run.record_file.unlink()
    kept = [record for record in records if record.method != "erm"]
    write_efficiency(store.root, measured(records))
    found = costs(read_board(store).sections[0])
    assert found.reference == "resemotenet"
    assert {one.label for one in found.rows} == {record.method for record in kept}


def test_a_measurement_of_other_runs_is_not_shown(store, records):
    models = tuple(one.model_copy(update={"key": "f" * 16}) for one in measured(records).models)
    write_efficiency(store.root, measured(records, models=models))
    found = costs(read_board(store).sections[0])
    assert found.measured == ()
    assert all(one.parameters is None and not one.relative for one in found.rows)


def test_training_on_another_processor_is_not_compared(store, records, add):
    add("cafe", "rafdb", seed=0, timing={"cpu_train": 1.0}, environment={"cpu": "another"})
    by_label = {one.label: one for one in costs(read_board(store).sections[0]).rows}
    assert by_label["cafe"].training is None


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([("a", 1, 0.5), ("b", 2, 0.4), ("c", 3, 0.6)], "ac"),
        ([("a", 1, 0.5), ("b", 1, 0.6)], "b"),
        ([("a", 2, 0.5), ("b", 1, 0.5)], "b"),
    ],
)
def test_the_front_holds_what_none_beats_at_no_higher_cost(points, front):
    axis = Axis("cost", tuple(Point(label, cost, Value(score, None), True) for label, cost, score in points))
    assert "".join(point.label for point in axis.front) == front
    apart = Axis("cost", (*axis.points, Point("z", 0.1, Value(0.9, None), False)))
    assert apart.front == axis.front


def test_the_page_has_table_figure_and_what_may_be_concluded(store, records, tmp_path):
    write_efficiency(store.root, measured(records))
    write_efficiency(store.root, measured(records, device="cuda", processor="a GPU"))
    write_pages(read_board(store), tmp_path)
    text = (tmp_path / "README.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| [gcn](methods.md#gcn) | 0.05 |")]
    assert row.endswith("| 0.05 | 0.04 | 4.00 | 4.50 × | 4.50 × | 9.00 | 180 | 30.0 | 30.0 | 3.00 × |")
    assert "Shown to be worse than a method that takes no more: gcn (than resemotenet)" in text
    assert (
        "scores higher than erm and resemotenet at the same or a lower cost (multiply-adds of a picture)"
        in text
    )
    assert "erm takes 22.0 core-seconds (median of 6 runs" in text
    assert "A &lt;b&gt;CPU" in text
    assert "figures/synthetic-quick-costs.png" in text
    assert (tmp_path / "figures" / "synthetic-quick-costs.png").exists()
    lines = list(csv.DictReader((tmp_path / "efficiency.csv").open()))
    (line,) = [one for one in lines if one["method"] == "gcn"]
    assert (line["reference"], line["cpu_bytes"], line["cuda"]) == ("erm", "30000000", "a GPU")
    assert float(line["cpu_ratio_32"]) == pytest.approx(4.5)


def test_what_is_missing_is_said_with_the_command(store, records, tmp_path):
    write_pages(read_board(store), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "was not measured with these models: `fer-bench efficiency` does" in text
    assert "to predict" not in text.split("What methods cost")[1].split("</details>")[0]
    some = measured(records)
    why = {records[6].key: "gcn: the checkpoint is absent"}
    models = tuple(one for one in some.models if one.key != records[6].key)
    write_efficiency(store.root, some.model_copy(update={"models": models, "failed": why}))
    write_pages(read_board(store), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "Could not be measured: gcn: the checkpoint is absent." in text
    assert "| [gcn](methods.md#gcn) | 0.05 | - | 4.00 | - |" in text


def test_a_damaged_file_is_a_problem_and_hides_nothing_else(store, records, tmp_path):
    write_efficiency(store.root, measured(records)).write_text("{")
    board = read_board(store)
    assert any("efficiency" in problem.file for problem in board.problems)
    write_pages(board, tmp_path)
    assert "| 0.05 | 4.00 |" in (tmp_path / "README.md").read_text()


def test_without_transfer_the_own_datasets_are_compared(store, add):
    for method in ("erm", "gcn"):
        add(method, "rafdb", targets=())
    add("gcn", "expw", targets=())
    (section,) = read_board(store).sections
    found = costs(section)
    assert found.scored == "mean UAR on the own dataset"
    uar = section.cell("gcn", "rafdb").in_domain.estimate.values["uar"].value
    assert {one.label: one.score.value for one in found.rows}["gcn"] == pytest.approx(uar)


def test_a_section_without_costs_has_none(store, add, tmp_path):
    add("gcn", "rafdb", parameters=0, multiply_adds=0)
    board = read_board(store)
    write_pages(board, tmp_path)
    assert "What methods cost" not in (tmp_path / "README.md").read_text()
    assert costs(replace(board.sections[0], cells=())).rows != ()
