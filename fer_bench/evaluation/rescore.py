"""Computing all scores of a store again from its predictions, without a model or a GPU.

Runs whose files and scoring code have not changed are skipped: `<store>/scores.json` keeps a hash per run.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from fer_bench.emotions import Emotion
from fer_bench.errors import FerBenchError, StoreError
from fer_bench.evaluation import metrics
from fer_bench.evaluation.scoring import score_classes
from fer_bench.evaluation.stored import read_scored, stored_index
from fer_bench.evaluation.subsets import score_subsets
from fer_bench.files import file_hash, short_hash, write_json
from fer_bench.provenance import code_hash
from fer_bench.results.record import Record
from fer_bench.results.store import RunDir, Store
from fer_bench.results.subsets import subset_files

MANIFEST = "scores.json"
AT_LEAST_PER_PROCESS = 20
"""Fewer stale runs are scored in this process, since starting another takes longer."""
NOT_SCORING = (
    "fer_bench.datasets.*",
    "fer_bench.data.reading.*",
    "fer_bench.synthetic.*",
    "fer_bench.workspace.*",
)
"""Modules that scoring imports and that cannot change a score."""
State = Literal["scored", "busy", "unfinished", "failed"]


@dataclass(frozen=True)
class RescoredRun:
    """The outcome for one run.

    Attributes:
        path: Its folder below the store.
        state: `busy` runs are in use by another process, `unfinished` ones have no score yet.
        changed: Whether the record holds other scores now.
        digest: Hash of the scored files, for the manifest; empty unless scored without a problem.
        problem: Why it failed.
    """

    path: str
    state: State
    changed: bool = False
    digest: str = ""
    problem: str = ""


@dataclass(frozen=True)
class RescoredStore:
    """The outcome for all runs of a store.

    Attributes:
        runs: Runs that were not skipped.
        unchanged: Number of runs that were skipped.
    """

    runs: tuple[RescoredRun, ...]
    unchanged: int

    def count(self, state: State) -> int:
        """Return how many runs have a state."""
        return sum(run.state == state for run in self.runs)


def rescore(
    store: Store, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None, all_runs: bool = False
) -> RescoredStore:
    """Compute all scores of finished runs again and put them into their records.

    Args:
        store: The run store.
        jobs: Processes.
        progress: Called with the number of runs done and their total.
        all_runs: Include those that have not changed.

    Returns:
        The outcome per run; damaged runs do not keep the others from being scored.
    """
    version = code_version()
    known = {} if all_runs else _read_manifest(store, version)
    runs = [run.path.relative_to(store.root).as_posix() for run in store.run_dirs()]
    stale = [run for run in runs if known.get(run) is None or known[run] != digest_of(store, run)]
    rescored = []
    for done, run in enumerate(_score_all(store, stale, jobs), start=1):
        rescored.append(run)
        if progress is not None:
            progress(done, len(stale))
    fresh = {run.path: run.digest for run in rescored if run.digest}
    kept = {run: known[run] for run in runs if run in known and run not in stale}
    remembered = dict(sorted((kept | fresh).items()))
    if remembered != known:
        write_json(store.root / MANIFEST, {"version": version, "runs": remembered})
    return RescoredStore(tuple(rescored), len(runs) - len(stale))


def _score_all(store: Store, stale: Sequence[str], jobs: int) -> Iterator[RescoredRun]:
    processes = min(jobs, len(stale) // AT_LEAST_PER_PROCESS)
    if processes < 2:
        yield from map(partial(score_run, store), stale)
        return
    # a forked child could inherit locks of pyarrow's threads
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(score_run, store), stale, chunksize=8)


def score_run(store: Store, run: str) -> RescoredRun:
    """Score one run again and write its record if a score changed.

    Args:
        store: The run store.
        run: Folder of the run below it, `method/dataset/key`.
    """
    folder = RunDir(store.root / run)
    lock = folder.lock()
    try:
        if not lock.acquire():
            return RescoredRun(run, "busy")
    except OSError as error:
        return RescoredRun(run, "failed", problem=f"{run}: the run cannot be locked: {error.strerror}")
    try:
        record = folder.read_record()
        if record is None or record.status != "done":
            return RescoredRun(run, "unfinished")
        changed = _update(store, folder, record)
        return RescoredRun(run, "scored", changed=changed, digest=digest_of(store, run))
    except FerBenchError as error:
        return RescoredRun(run, "failed", problem=str(error))
    finally:
        lock.release()


def _update(store: Store, folder: RunDir, record: Record) -> bool:
    if not folder.holds(record):
        raise StoreError("the record belongs to another folder", file=folder.record_file)
    scores = []
    for old in record.scores:
        predictions = read_scored(store, record, old.target, old.selection)
        new = score_classes(
            predictions,
            tuple(Emotion(name) for name in old.label_set),
            index=stored_index(store.root, predictions.meta.fingerprint),
        )
        if (new.n, new.k) != (old.n, old.k):
            raise StoreError(
                f"{new.n} rows of {new.k} classes can be scored where the record has {old.n} of {old.k}",
                file=folder.predictions_file(old.target, old.selection),
                value=new.n,
            )
        scores.append(new)
    fresh = record.model_copy(update={"scores": tuple(scores)})
    fresh = fresh.model_copy(update={"subsets": score_subsets(store, fresh)})
    if fresh == record:
        return False
    folder.write_record(fresh)
    return True


def digest_of(store: Store, run: str) -> str:
    """Return a hash of a run's record and predictions, and of stored indexes and subsets of its targets."""
    folder = RunDir(store.root / run)
    try:
        summary = folder.read_summary()
        digest = hashlib.sha256(folder.record_file.read_bytes())
        for file in sorted((folder.path / "predictions").glob("*.parquet")):
            digest.update(f"\n{file.name} {file_hash(file)}".encode())
        for fingerprint in sorted({t.fingerprint for t in summary.targets.values()} if summary else ()):
            path = store.root / "indexes" / f"{fingerprint}.parquet"
            known = _index_hash(path, path.stat().st_mtime_ns) if path.exists() else "-"
            digest.update(f"\n{fingerprint} {known}".encode())
        for target in sorted(summary.targets) if summary else ():
            for path in subset_files(store.root, target):
                digest.update(f"\n{target} {path.name} {file_hash(path)}".encode())
    except (OSError, StoreError):
        return ""  # a file is absent or damaged: scoring will say which
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _index_hash(path: Path, written: int) -> str:
    return file_hash(path)


def _read_manifest(store: Store, version: str) -> dict[str, str]:
    """Return the hash per run; none if the manifest is absent, damaged or from other code."""
    try:
        content = json.loads((store.root / MANIFEST).read_text(encoding="utf-8"))
        if content["version"] != version:
            return {}
        return {str(run): str(digest) for run, digest in content["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return a hash of the code that scores, also in other packages, and of what cards say about groups."""
    from fer_bench import datasets

    cards = {name: reader.card.variant_parts for name, reader in datasets.REGISTRY.usable().items()}
    return short_hash([code_hash([__name__, *metrics.modules()], without=NOT_SCORING), cards])
