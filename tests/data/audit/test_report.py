from __future__ import annotations

from pathlib import Path

import pytest

from fer_bench.data.audit.report import Report


@pytest.mark.parametrize("writable", [True, False])
def test_a_finding_names_the_first_ten_and_a_file_with_all(tmp_path: Path, writable: bool) -> None:
    folder = tmp_path / "verify"
    if not writable:
        folder.touch()
    report = Report("toy", rows=40, folder=folder)
    report.add("warning", "2 picture(s) are black", 2, kind="constant", names=["a.png", "b.png"])
    report.add("note", "12 boxes are void", kind="reader", names=[f"{i}.jpg" for i in range(12)])
    few, many = report.findings
    assert (few.names, few.listed_in) == (("a.png", "b.png"), "")
    assert many.names == tuple(f"{i}.jpg" for i in range(10))
    assert bool(many.listed_in) == writable
    if writable:
        assert Path(many.listed_in).read_text().splitlines()[10:] == ["toy: 10.jpg", "toy: 11.jpg"]
