"""Leaks that a check found, kept beside its state so that runs on the same files can repeat them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from fer_bench.data.audit.report import Report
from fer_bench.data.audit.scan import state_file
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import StoreError
from fer_bench.files import write_json

FINDINGS = "findings"
"""Folder of the cache for what checks found: leaks, and lists of the rows that a finding is about."""
LEAKS = ("leak", "near-leak", "group", "subject")
"""Kinds of findings that make scores too good."""


def store_leaks(report: Report, state: Path, protocol: str) -> None:
    """Keep the leaks of a report; a cache that cannot be written keeps nothing.

    Args:
        report: The report of a finished check.
        state: The file for the state of the check, see `state_file`.
        protocol: Name of the protocol whose parts were compared.
    """
    found = [
        f"{finding.message} ({finding.share:.2%} of rows)"
        for finding in report.findings
        if finding.kind in LEAKS and finding.severity != "note"
    ]
    file = _file(state)
    with contextlib.suppress(StoreError, OSError):
        if found:
            write_json(file, {"protocol": protocol, "leaks": found})
        else:
            file.unlink(missing_ok=True)


def known_leaks(dataset: FaceDataset, protocol: str, *, cache: Path | None = None) -> list[str]:
    """Return the leaks that a check of the same rows and files found under a protocol; none if unchecked.

    Args:
        dataset: The dataset.
        protocol: Name of the protocol of a run.
        cache: Folder for the state of the check, the user's cache by default.
    """
    try:
        known = json.loads(_file(state_file(dataset, cache)).read_text(encoding="utf-8"))
        found = [str(leak) for leak in known["leaks"]]
        checked = known["protocol"]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # never checked, or damaged: a check writes it anew
    return [f"fer-bench data verify found: {leak}" for leak in found] if checked == protocol else []


def _file(state: Path) -> Path:
    return state.parent.parent / FINDINGS / f"{state.stem}.json"
