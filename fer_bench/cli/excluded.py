"""The file of `--exclude`."""

from __future__ import annotations

from pathlib import Path

from fer_bench.errors import DataError, nearest


def read_exclude(path: Path) -> dict[str, list[str]]:
    """Return what a file of `--exclude` lists: sample ids or paths per dataset.

    Raises:
        DataError: The file is absent, or a line does not name a dataset and a sample.
    """
    from fer_bench import datasets
    from fer_bench.data.reading.textfile import numbered_lines

    found: dict[str, list[str]] = {}
    if not path.is_file():
        raise DataError(
            "the exclude file does not exist", file=path, hint="fer-bench data verify --write-exclude FILE"
        )
    for number, line in numbered_lines(path):
        name, colon, what = line.partition(":")
        if not colon or not what.strip():
            raise DataError(
                "expected `dataset: sample or path`",
                file=path,
                line=number,
                value=line,
                hint="such a list is written by: fer-bench data verify --write-exclude FILE",
            )
        if name.strip() not in datasets.names():
            hint = nearest(name.strip(), datasets.names())
            raise DataError("unknown dataset", file=path, line=number, value=name.strip(), hint=hint)
        found.setdefault(name.strip(), []).append(what.strip())
    return found
