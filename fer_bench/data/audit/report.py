"""The report of a check: what is wrong with a dataset, how much of it is affected and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fer_bench.errors import StoreError
from fer_bench.files import write_text

MOST_NAMED = 10
"""Rows or files that a finding names; a file lists all."""
Severity = Literal["error", "warning", "note"]
PUBLISHED = ("counts", "enlarged")
"""Kinds of findings whose share is of the published number."""


@dataclass(frozen=True)
class Finding:
    """One problem, or one fact worth knowing.

    Attributes:
        severity: `error` makes runs fail or numbers wrong, `warning` may, `note` is for information.
        message: What was found.
        rows: Rows affected.
        share: Share of all rows, or of the published number for the kinds in `PUBLISHED`.
        kind: One word for programs.
        advice: What to do.
        names: The first rows or files that it is about.
        listed_in: File with all of them, where there are more.
    """

    severity: Severity
    message: str
    rows: int = 0
    share: float = 0.0
    kind: str = "other"
    advice: str = ""
    names: tuple[str, ...] = ()
    listed_in: str = ""


@dataclass
class Report:
    """The findings of a check of one dataset.

    Attributes:
        dataset: Its name.
        rows: Usable rows.
        findings: In the order in which they were found.
        is_real: Whether these are the licensed data, not drawn faces.
        unreadable: Paths that cannot be decoded, relative to the dataset's base folder.
        absent: Paths of listed pictures, and folders of listed videos, that are not there.
        copies: Sample ids of training and validation rows whose pixels are those of a test row.
        is_official: Whether there is an official release to compare with; advice depends on it.
        folder: Where lists of names go; None lists nothing.
    """

    dataset: str
    rows: int = 0
    is_real: bool = True
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    is_official: bool = True
    folder: Path | None = None

    def add(
        self,
        severity: Severity,
        message: str,
        rows: int = 0,
        *,
        kind: str = "other",
        advice: str = "",
        of: int | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Add a finding.

        Args:
            severity: How bad it is.
            message: What it is.
            rows: Rows affected.
            kind: What it is about.
            advice: What to do.
            of: Rows of which `rows` is a share, by default all rows.
            names: All rows or files that it is about; the report names the first and lists all in a file.
        """
        whole = self.rows if of is None else of
        share = min(1.0, rows / whole) if whole else 0.0
        listed = self._list(kind, names) if len(names) > MOST_NAMED else ""
        first = tuple(names[:MOST_NAMED])
        self.findings.append(Finding(severity, message, rows, share, kind, advice, first, listed))

    def _list(self, kind: str, names: Sequence[str]) -> str:
        """Write all names into a file and return its path; empty where it cannot be written."""
        if self.folder is None:
            return ""
        number = sum(finding.kind == kind for finding in self.findings)
        name = kind.replace("-", "_") + (f"_{number + 1}" if number else "")
        file = self.folder / f"{self.dataset}-{name}.txt"
        try:
            write_text(file, "".join(f"{self.dataset}: {name}\n" for name in names))
        except StoreError:
            return ""
        return str(file)

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return self.number_of("error") > 0

    def number_of(self, severity: Severity) -> int:
        """Return how many findings are that severe."""
        return sum(f.severity == severity for f in self.findings)

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        kind = "" if self.is_real else " (synthetic)"
        lines = [f"{self.dataset}{kind}: {self.rows} usable rows"]
        for finding in self.findings:
            whole = "those published" if finding.kind in PUBLISHED else "rows"
            share = f" ({finding.share:.2%} of {whole})" if finding.rows else ""
            lines.append(f"  {finding.severity}: {finding.message}{share}")
            if finding.names:
                lines.append(f"    named: {', '.join(finding.names)}")
            if finding.listed_in:
                lines.append(f"    all of them: {finding.listed_in}")
            if finding.advice:
                lines.append(f"    {finding.advice}")
        if not self.number_of("error") + self.number_of("warning"):
            lines.append("  ok: no error, no warning")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        found = asdict(self)
        del found["folder"], found["is_official"]
        return found
