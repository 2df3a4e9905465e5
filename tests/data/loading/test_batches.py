from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.data.loading.batches import EpochBatches
from fer_bench.errors import UsageError


def deal(n: int, batch_size: int, world: int, seed: int | None = 0, epoch: int = 0) -> list[list[list[int]]]:
    """Return the batches of every process."""
    found = []
    for rank in range(world):
        batches = EpochBatches(np.arange(100, 100 + n), batch_size, seed=seed, rank=rank, world=world)
        batches.set_epoch(epoch)
        found.append(list(batches))
        assert len(found[-1]) == len(batches)
    return found


@settings(deadline=None)
@given(st.integers(0, 120), st.integers(2, 40), st.integers(1, 3), st.integers(0, 5))
def test_every_row_comes_once_per_epoch_over_all_processes(n, batch_size, world, epoch):
    if batch_size < 2 * world:
        return
    ranks = deal(n, batch_size, world, epoch=epoch)
    assert sorted(row for batches in ranks for batch in batches for row in batch) == list(range(100, 100 + n))
    if n >= 2 * world:
        assert len({len(batches) for batches in ranks}) == 1, "processes must take the same number of steps"
        assert all(len(batch) >= 2 for batches in ranks for batch in batches)
    for steps in zip(*ranks, strict=False):
        assert max(map(len, steps)) - min(map(len, steps)) <= 1
        assert sum(map(len, steps)) <= batch_size + 2 * world - 1


@pytest.mark.parametrize(
    ("n", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (7, [7]), (1, [1]), (0, [])]
)
def test_a_last_batch_of_one_joins_the_one_before(n, sizes):
    assert [len(batch) for batch in deal(n, 8, 1)[0]] == sizes


def test_the_order_depends_on_seed_and_epoch_only():
    first = deal(52, 8, 1, seed=3, epoch=2)
    assert deal(52, 8, 1, seed=3, epoch=2) == first
    assert deal(52, 8, 1, seed=3, epoch=1) != first
    assert deal(52, 8, 1, seed=4, epoch=2) != first
    pairs = deal(52, 8, 2, seed=3, epoch=2)
    for whole, mine, other in zip(first[0], *pairs, strict=True):
        assert sorted(mine + other) == sorted(whole)
    assert deal(20, 8, 1, seed=None, epoch=7)[0] == [
        list(range(100, 108)),
        list(range(108, 116)),
        list(range(116, 120)),
    ]


def test_a_limited_epoch_is_another_part_each_time():
    batches = EpochBatches(np.arange(50), 8, seed=0, limit=21)
    seen = []
    for epoch in range(12):
        batches.set_epoch(epoch)
        dealt = list(batches)
        assert [len(batch) for batch in dealt] == [8, 8, 5]
        assert len(dealt) == len(batches)
        seen.append({row for batch in dealt for row in batch})
        assert len(seen[-1]) == 21
    assert set.union(*seen) == set(range(50))
    assert len(set(map(frozenset, seen))) == 12
    assert [row for batch in EpochBatches(np.arange(9), 4, seed=None, limit=7) for row in batch] == list(
        range(7)
    )
    assert [len(batch) for batch in EpochBatches(np.arange(9), 4, seed=0, limit=99)] == [4, 5]


def test_a_step_too_small_for_its_processes_is_refused():
    with pytest.raises(
        UsageError, match=r"2 process\(es\) need at least 4 rows per step .*3.*\n.*batch_size=4"
    ):
        EpochBatches(np.arange(9), 3, seed=0, world=2)
