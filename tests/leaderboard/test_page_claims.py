"""Papers' claims beside our scores: every one of a method's, with its distance and what speaks against it."""

from __future__ import annotations

import re

import pytest

from fer_bench.leaderboard.page import read_board, write_leaderboard
from fer_bench.leaderboard.sections.claims import compared, summary
from fer_bench.methods.claims import claims_of
from tests.leaderboard.test_page import tables_are_regular

REAL = {"data_kind": "real", "profile": "paper"}


@pytest.fixture
def real(add):
    """Fill the store with runs that papers' claims are about, and with others of the same methods."""
    add("resemotenet", "rafdb", targets=("affectnet7",))
    add("resemotenet", "rafdb", targets=(), data_kind="real")
    add("resemotenet", "rafdb", targets=(), **REAL)
    add("ssmfar", "rafdb", targets=(), **REAL)  # its paper claims nothing about rafdb
    return add("cafe", "rafdb", targets=("affectnet7",), **REAL)


def test_claims_stand_beside_real_runs_under_the_papers_recipe_alone(store, add, tmp_path):
    add("resemotenet", "rafdb", targets=("affectnet7",))
    add("resemotenet", "rafdb", targets=(), data_kind="real")
    write_leaderboard(store, tmp_path)
    assert not (tmp_path / "claims.md").exists()
    assert "claims" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_every_claim_of_a_method_is_listed_once_with_its_place(store, real, tmp_path):
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    tables_are_regular(text)
    for name in ("resemotenet", "cafe"):
        own = [claim for claim in claims_of(name).claims if claim.of == name]
        part = text.partition(f"## [{name}]")[2].partition("\n## ")[0]
        rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
        assert len([row for row in rows if not row.startswith("| ---")]) == len(own)
        for claim in own:
            assert any(f" {claim.value} " in row and claim.where in row for row in rows)
    assert "SCN" not in text  # a baseline of the paper's table, which was not run here
    assert "ssmfar" not in text


def test_the_distance_is_ours_minus_theirs_with_the_interval_of_ours(store, real):
    section = read_board(store).sections[0]
    assert (section.data_kind, section.profile) == ("real", "paper")
    found = {one.claim.target: one for one in compared(section, "cafe") if one.value is not None}
    assert set(found) == {"rafdb", "affectnet7"}
    value = section.cell("cafe", "rafdb").in_domain.estimate.values["accuracy"]
    distance = found["rafdb"].distance
    assert distance.value == pytest.approx(value.value - 0.8872)
    assert distance.interval.low == pytest.approx(value.interval.low - 0.8872)
    told = summary(section)
    assert told["measured"] == 3  # and one of resemotenet
    assert told["claims"] > told["contested"] > 0


def test_what_speaks_against_a_claim_is_named(store, real, tmp_path):
    write_leaderboard(store, tmp_path)
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("|") and "94.76" in line]
    assert row.startswith("| [rafdb](rafdb.md) | [rafdb](rafdb.md) | 94.76 accuracy |")
    (numbers,) = re.findall(r"contested ([\d, ]+)", row)
    part = text.partition("## [resemotenet]")[2].partition("\n## ")[0]
    for number in numbers.strip().split(", "):
        assert re.search(rf"^{number}\. ", part, re.MULTILINE)
    assert "Here: rafdb official, 1 seed." in part
    first = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert re.search(r"3 of \d+ claims of the papers have a score here; the median distance is [+-]\d", first)
    assert "[all claims](claims.md)" in first
