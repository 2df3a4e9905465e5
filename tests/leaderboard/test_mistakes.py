"""The worst mistakes of a cell: the surest of its runs, never stale ones, never of photographs."""

import pytest

from fer_bench.leaderboard.mistakes import worst_of
from fer_bench.results.mistakes import Mistake, Mistakes, mistakes_file, write_mistakes


@pytest.fixture
def keep(store):
    def write(record, *mistakes, checkpoint=None, target="oulu"):
        found = [
            Mistake(sample_id=str(i), truth=truth, answer="anger", probability=p, picture="/9j/")
            for i, (truth, p) in enumerate(mistakes)
        ]
        kept = Mistakes(
            checkpoint=checkpoint or record.checkpoint,
            fingerprint=record.targets[target].fingerprint,
            mistakes=tuple(found),
        )
        write_mistakes(mistakes_file(store.run_dir(record.method, record.dataset, record.key), target), kept)

    return write


def test_the_surest_of_all_runs_in_the_order_of_classes(store, add, keep):
    one, other = add(seed=0, targets=()), add(seed=1, targets=())
    keep(one, ("fear", 0.9), ("sadness", 0.5))
    keep(other, ("fear", 0.8), ("sadness", 0.6), ("happiness", 0.4))
    found, problems = worst_of(store, [one, other])
    assert problems == []
    assert [(x.truth, x.probability) for x in found["oulu"]] == [
        ("happiness", 0.4),
        ("sadness", 0.6),
        ("fear", 0.9),
    ]


def test_those_of_other_weights_or_photographs_are_left_out(store, add, keep):
    stale, real = add(seed=0, targets=()), add(seed=1, targets=(), data_kind="real")
    keep(stale, ("fear", 0.9), checkpoint="cd" * 32)
    keep(real, ("fear", 0.9))
    assert worst_of(store, [stale, real]) == ({}, [])


def test_a_damaged_file_is_a_problem_and_the_rest_stays(store, add, keep):
    one, other = add(seed=0, targets=()), add(seed=1, targets=())
    keep(one, ("fear", 0.9))
    file = mistakes_file(store.run_dir("gcn", "oulu", other.key), "oulu")
    file.parent.mkdir()
    file.write_text("{")
    found, (problem,) = worst_of(store, [one, other])
    assert len(found["oulu"]) == 1
    assert problem.file == file
