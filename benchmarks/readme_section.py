"""The sections of READMEs that the evidence scripts write."""

from __future__ import annotations

from pathlib import Path

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
