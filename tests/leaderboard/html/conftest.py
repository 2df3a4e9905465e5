"""A page with all that it can show: three methods that are tested, curves, a failure, and hostile text."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.leaderboard.page import read_board
from fer_bench.leaderboard.tables import Board
from fer_bench.results.mistakes import Mistake, Mistakes, mistakes_file, write_mistakes
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from tests.leaderboard.conftest import SEEDED, adder

EVIL = "<script>document.title='bad'</script><img src=x onerror=alert(1)> & \u2028 </script>"
SKILLS = {"gcn": 1.2, "resemotenet": 2.4, "erm": 0.4}


def fill(store: Store, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    """Fill a store with three methods on three datasets."""
    add = adder(store)
    for method, skill in SKILLS.items():
        for dataset in SEEDED:
            for seed in seeds:
                adapted = EVIL if (method, dataset) == ("gcn", "expw") else None
                record = add(method, dataset, skill=skill, seed=seed, rows=200, adapted=adapted)
                log(store, record)
                keep(store, record)
    add("gcn", "oulu", status="diverged", warnings=(EVIL,))


def log(store: Store, record: Record, epochs: int = 5) -> None:
    """Write what a run logs per epoch."""
    lines = ["epoch,train/total,val/uar", *(f"{e},{2 / (e + 1)},{0.2 + 0.05 * e}" for e in range(epochs))]
    run = store.run_dir(record.method, record.dataset, record.key)
    run.history_file.write_text("\n".join(lines) + "\n")


def keep(store: Store, record: Record) -> None:
    """Write what a run on drawn faces keeps of its worst mistakes; later seeds are surer."""
    picture = base64.b64encode(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()).decode()
    worst = Mistake(
        sample_id=EVIL, truth="fear", answer="anger", probability=0.5 + record.seed / 10, picture=picture
    )
    fingerprint = record.targets[record.dataset].fingerprint
    kept = Mistakes(checkpoint=str(record.checkpoint), fingerprint=fingerprint, mistakes=(worst,))
    run = store.run_dir(record.method, record.dataset, record.key)
    write_mistakes(mistakes_file(run, record.dataset), kept)


@pytest.fixture(scope="session")
def board_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store, with a damaged record."""
    store = Store(tmp_path_factory.mktemp("board") / "runs")
    fill(store)
    damaged = store.root / "gcn" / "mmi" / "0123456789abcdef" / "record.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text(EVIL)
    return store


@pytest.fixture(scope="session")
def board(board_store: Store) -> Board:
    """Its tables."""
    return read_board(board_store)


@pytest.fixture
def one_seed(tmp_path: Path) -> Board:
    """The board of a store with a seed per cell."""
    store = Store(tmp_path / "one" / "runs")
    fill(store, seeds=(0,))
    return read_board(store)
