import re

import numpy as np
import pytest

from fer_bench.data.crops.corruptions import CORRUPTIONS, STRENGTHS, VERSION
from fer_bench.leaderboard.page import read_board, render
from fer_bench.leaderboard.pages import render_all
from fer_bench.leaderboard.robustness import measured
from fer_bench.results.corrupted import Corrupted, CorruptedMeta, corrupted_file, write_corrupted
from fer_bench.results.predictions import Predictions

ALL = tuple(CORRUPTIONS)


def corrupt_run(store, record, names=ALL, *, loss=0.3, target=None, **changes):
    """Store predictions that get worse by a share of the logits with every strength."""
    run = store.run_dir(record.method, record.dataset, record.key)
    target = target or record.dataset
    clean = store.predictions(record, target)
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=2, size=clean.logits.shape).astype(np.float32)
    columns = [f"logit_{name}" for name in clean.meta.classes]
    for name in names:
        by_strength = {}
        for strength in range(1, STRENGTHS + 1):
            frame = clean.frame.copy()
            frame[columns] = (clean.logits * (1 - loss) ** strength + noise * (strength / 5)).astype(
                np.float32
            )
            by_strength[strength] = Predictions(frame, clean.meta)
        values = {"version": VERSION, "constants": CORRUPTIONS[name].constants, **changes}
        meta = CorruptedMeta(corruption=name, predictions=clean.meta, **values)
        write_corrupted(corrupted_file(run, target, name), Corrupted(meta, by_strength))


def test_folds_are_pooled_and_seeds_averaged(store, add):
    records = [add("gcn", "oulu", fold=fold, seed=seed) for seed in (0, 1) for fold in (1, 2)]
    for record in records:
        corrupt_run(store, record, ("mask", "blur"))
    (found,), problems = measured(store, records)
    assert problems == []
    assert found.n == 26 * 8  # persons of two folds of four, with eight rows each
    assert list(found.drops) == ["blur", "mask"]
    assert 0 < found.mean.relative.interval.low < found.mean.relative.value
    strengths = [value.value for value in found.drops["blur"].by_strength]
    assert strengths == sorted(strengths, reverse=True)


def test_a_union_is_measured_on_each_of_its_members(store, add):
    record = add("gcn", "ckplus+oulu")
    corrupt_run(store, record, ("blur",), target="oulu")
    (found,), _ = measured(store, [record])
    assert (found.target, list(found.drops)) == ("oulu", ["blur"])
    text = render_all(read_board(store))["ckplus+oulu.md"]
    assert "### Corrupted pictures of oulu (" in text


def test_only_what_all_runs_have_is_summed_up(store, add):
    first, second = (add("gcn", "rafdb", seed=seed) for seed in (0, 1))
    corrupt_run(store, first)
    (alone,), _ = measured(store, [first, second])
    assert [record.seed for record in alone.records] == [0]
    corrupt_run(store, second, ("blur", "mask"))
    (both,), _ = measured(store, [first, second])
    assert len(both.records) == 2
    assert list(both.drops) == ["blur", "mask"]
    assert not both.complete


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"version": 0}, "another version"), ({"constants": (1.0, 2.0, 3.0, 4.0, 5.0)}, "another version")],
)
def test_what_other_rules_made_is_stale(store, add, changes, message):
    record = add("gcn", "rafdb")
    corrupt_run(store, record, ("blur",), **changes)
    found, (problem,) = measured(store, [record])
    assert found == []
    assert message in problem.message
    assert f"fer-bench robustness {record.key[:8]}" in problem.message


def test_another_checkpoint_or_data_are_stale(store, add):
    record = add("gcn", "rafdb")
    corrupt_run(store, record, ("blur",))
    chosen = record.selection["val"].model_copy(update={"checkpoint": "00" * 32})
    data = record.targets["rafdb"].model_copy(update={"pixels": "other"})
    for changed, word in (
        (record.model_copy(update={"selection": {"val": chosen}}), "another checkpoint"),
        (record.model_copy(update={"targets": {"rafdb": data}}), "another version of the data"),
    ):
        found, (problem,) = measured(store, [changed])
        assert (found, word in problem.message) == ([], True)


def test_the_board_shows_it_for_runs_that_have_it(store, add):
    gcn, cafe = add("gcn", "rafdb"), add("cafe", "rafdb")
    before = render_all(read_board(store))["rafdb.md"]
    assert "orruption" not in before + render(read_board(store), {})
    corrupt_run(store, gcn)
    board = read_board(store)
    after = render_all(board)["rafdb.md"]
    start = after.index("### Corrupted pictures of rafdb (official, 400 rows)")
    end = after.index("### ", start + 4)
    block = after[start:end]
    assert "| corruption | [gcn](methods.md#gcn) |" in block
    assert all(f"| {one.title} |" in block for one in CORRUPTIONS.values())
    assert after.replace(block, "") == before
    first = render(board, {})
    told = first[first.index("Share of UAR that corruptions of the test rows cost") :]
    assert re.search(r"\| \[rafdb\]\(rafdb.md\) \| \d+ ± \d+ \|", told)
    corrupt_run(store, cafe, ("blur",))
    board = read_board(store)
    after, order = render_all(board)["rafdb.md"], board.sections[0].labels
    assert f"| corruption | {' | '.join(f'[{name}](methods.md#{name})' for name in order)} |" in after
    (mean,) = [line for line in after.splitlines() if line.startswith("| **mean of all** |")]
    shown = dict(zip(order, mean.strip("| ").split(" | ")[1:], strict=True))
    assert shown["cafe"] == "-"  # not every corruption was measured for it
    assert re.fullmatch(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", shown["gcn"])


def test_a_damaged_file_is_in_the_appendix(store, add):
    record = add("gcn", "rafdb")
    corrupt_run(store, record, ("blur",))
    file = corrupted_file(store.run_dir("gcn", "rafdb", record.key), "rafdb", "blur")
    file.write_bytes(b"PAR1")
    board = read_board(store)
    assert [problem.file for problem in board.problems] == [file.relative_to(store.root).as_posix()]
    assert board.sections[0].cells[0].robustness == ()
