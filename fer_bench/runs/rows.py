"""Named subsets of rows, as `--rows` and sweep files name them: `rafdb:occlusion=list.txt`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from fer_bench.data.reading.row_list import read_row_list
from fer_bench.datasets import members_of
from fer_bench.errors import UsageError, nearest
from fer_bench.evaluation.stored import stored_index
from fer_bench.results.store import Store
from fer_bench.results.subsets import Subset, check_subset_name
from fer_bench.workspace.workspace import Workspace

EXAMPLE = "example: --rows rafdb:occlusion=lists/rafdb_occlusion_list.txt"


def parse_rows(texts: Iterable[str]) -> dict[str, str]:
    """Return the files of `[DATASET:]NAME=FILE` by what comes before the equals sign.

    Raises:
        UsageError: A text is not written so, or two have the same name.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not (name.strip() and equals and file.strip()):
            raise UsageError("a subset is written [DATASET:]NAME=FILE", value=text, hint=EXAMPLE)
        if name.strip() in found:
            raise UsageError("a subset is named twice", value=text, hint=EXAMPLE)
        found[name.strip()] = file.strip()
    return found


def subsets_for_runs(
    rows: Mapping[str, str], sources: Sequence[str], targets: Iterable[str], workspace: Workspace
) -> list[Subset]:
    """Read the lists of subsets, before anything is trained.

    Args:
        rows: File by `[DATASET:]NAME`; without a dataset that of a single source.
        sources: What is trained on.
        targets: What is tested on besides.
        workspace: Opened datasets.

    Raises:
        UsageError: The dataset is not tested, or not said where there are several; or a name that no file
            can have.
        DataError: A list cannot be read, or names something else than rows of its dataset.
    """
    members = tuple(dict.fromkeys(member for source in sources for member in members_of(source)))
    tested = tuple(dict.fromkeys((*members, *targets)))
    found = []
    for text, file in rows.items():
        dataset, name = _split(text, members[0] if len(members) == 1 else None)
        if dataset not in tested:
            raise UsageError(f"{dataset} is not tested here", value=text, hint=nearest(dataset, tested))
        index = workspace.source(dataset).dataset.index
        found.append(_read(Path(file), dataset, name, index))
    return found


def subsets_for_store(rows: Mapping[str, str], store: Store) -> list[Subset]:
    """Read the lists of subsets of datasets that a store has predictions on.

    Args:
        rows: File by `DATASET:NAME`.
        store: The store, which keeps the names of the rows that were tested.

    Raises:
        UsageError: No run was tested on the dataset, or it is not said; or a name that no file can have.
        DataError: A list cannot be read, or names something else than rows of its dataset.
        StoreError: A kept index is damaged.
    """
    fingerprints: dict[str, set[str]] = {}
    for summary in store.summaries().values():
        for target, data in summary.targets.items():
            fingerprints.setdefault(target, set()).add(data.fingerprint)
    found = []
    for text, file in rows.items():
        dataset, name = _split(text, next(iter(fingerprints)) if len(fingerprints) == 1 else None)
        if dataset not in fingerprints:
            hint = nearest(dataset, fingerprints)
            raise UsageError(f"no run of the store was tested on {dataset}", value=text, hint=hint)
        kept = [stored_index(store.root, one) for one in sorted(fingerprints[dataset])]
        known = [index for index in kept if index is not None]
        if not known:
            raise UsageError(f"the store keeps no names of rows of {dataset}", file=store.root, value=text)
        index = pd.concat(known).drop_duplicates("sample_id")
        found.append(_read(Path(file), dataset, name, index))
    return found


def _split(text: str, default: str | None) -> tuple[str, str]:
    dataset, colon, name = text.rpartition(":")
    if not colon and default is None:
        raise UsageError("say which dataset the rows are of", value=text, hint=EXAMPLE)
    check_subset_name(name)
    return (dataset if colon else default) or "", name


def _read(file: Path, dataset: str, name: str, index: pd.DataFrame) -> Subset:
    ids = index["sample_id"].tolist()
    paths = index["path"].fillna("").tolist() if "path" in index.columns else [""] * len(ids)
    listed = read_row_list(file, dataset, ids, paths)
    return Subset(dataset=dataset, name=name, rows=listed.rows, file=file.name, repeated=listed.repeated)
