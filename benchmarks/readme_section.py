"""Write sections between markers of a page, tables of figures and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fer_bench.errors import StoreError
from fer_bench.files import write_text


def write_section(file: Path, name: str, text: str) -> None:
    """Put a text between the markers `<!-- NAME -->` and `<!-- /NAME -->` of a page.

    Raises:
        StoreError: The page lacks the markers.
    """
    page = file.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if start not in page or end not in page:
        raise StoreError("the page has no such section", file=file, value=start.strip())
    before, after = page.partition(start)[0], page.partition(end)[2]
    write_text(file, f"{before}{start}\n{text}\n\n{end}{after}")


def figure_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a markdown table whose first column is text and whose others are figures."""
    rule = "|".join(["---", *["--:"] * (len(header) - 1)])
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV, with four decimals and nothing where a number is missing."""
    return str(frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
