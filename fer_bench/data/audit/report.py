"""The report of a check: what is wrong with a dataset, how much of it is affected and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

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
    """

    severity: Severity
    message: str
    rows: int = 0
    share: float = 0.0
    kind: str = "other"
    advice: str = ""


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
    """

    dataset: str
    rows: int = 0
    is_real: bool = True
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    def add(
        self,
        severity: Severity,
        message: str,
        rows: int = 0,
        *,
        kind: str = "other",
        advice: str = "",
        of: int | None = None,
    ) -> None:
        """Add a finding; its share is of `of` rows, by default of all rows."""
        whole = self.rows if of is None else of
        share = min(1.0, rows / whole) if whole else 0.0
        self.findings.append(Finding(severity, message, rows, share, kind, advice))

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
            if finding.advice:
                lines.append(f"    {finding.advice}")
        if not self.number_of("error") + self.number_of("warning"):
            lines.append("  ok: no error, no warning")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)
