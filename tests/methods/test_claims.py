"""Claims: every file of the registry is read, and bad ones are refused with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_bench import datasets, methods
from fer_bench.errors import UsageError
from fer_bench.methods.claims import claims_of, read_claims


@pytest.mark.parametrize("name", sorted(methods.BUILT_IN))
def test_claims_name_datasets_of_the_suite(name: str) -> None:
    """A claim about an unknown dataset would never be shown beside a run."""
    found = claims_of(name)
    for claim in found.claims if found else ():
        assert set(claim.source) <= set(datasets.names())
        assert claim.target == "mean" or claim.target in datasets.names()
        assert 0 < float(claim.value) <= 100


def test_resemotenet_has_its_contested_numbers() -> None:
    """Both printed values of AffectNet stand, and the contested ones carry evidence."""
    found = claims_of("resemotenet")
    assert found is not None
    values = {(claim.target, claim.value): claim for claim in found.claims}
    assert set(values) == {
        ("fer2013", "79.79"),
        ("rafdb", "94.76"),
        ("affectnet7", "72.93"),
        ("affectnet7", "72.39"),
        ("expw", "75.67"),
        ("ckplus", "100"),
        ("ferplus", "91.64"),
    }
    threads = {e.where.rpartition("/")[2] for claim in found.claims for e in claim.evidence}
    assert {"7", "12", "23", "25", "30", "32", "36", "39", "42", "47", "48", "50"} <= threads
    for name, value in (("ckplus", "100"), ("ferplus", "91.64")):
        assert "README" in values[name, value].where


def test_ssmfar_has_none() -> None:
    """No number of the method was found in any source, so none is claimed."""
    assert claims_of("ssmfar") is None


def test_an_unknown_method_is_refused() -> None:
    """With the nearest name."""
    with pytest.raises(UsageError, match="resemotenet"):
        claims_of("resemotnet")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("paper: [", "not valid YAML"),
        ("paper: P\nclaims: []", "claims"),
        (
            "paper: P\nclaims: [{of: a, source: [rafdb], target: rafdb, metric: war, value: '1', where: W}]",
            "metric",
        ),
        (
            "paper: P\nclaims: [{of: a, source: [rafdb], target: rafdb, metric: uar, value: 94.7, where: W}]",
            "value",
        ),
        ("paper: P\nclaims: [{of: a, source: [rafdb], target: rafdb, metric: uar, value: '1'}]", "where"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    """A number without quotes would lose digits as printed, so it is refused too."""
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=place) as caught:
        read_claims(path)
    assert str(path) in str(caught.value)
