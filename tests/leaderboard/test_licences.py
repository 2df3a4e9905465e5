import pytest

from fer_bench import datasets
from fer_bench.leaderboard.licences import DRAWN, all_of, commercial

UNKNOWN = {"fer2013", "ferplus", "folder", "mmafedb", "sfew"}
"""Their cards neither forbid commercial use nor name a free licence."""


def test_cards_forbid_commercial_use_or_leave_it_open_and_none_allows_it():
    usable = datasets.REGISTRY.usable()
    found = {name: commercial(usable[name].card.licence) for name in datasets.names()}
    assert {name for name, answer in found.items() if answer == "unknown"} == UNKNOWN
    assert {answer for name, answer in found.items() if name not in UNKNOWN} == {"no"}


@pytest.mark.parametrize(
    ("terms", "answer"),
    [
        ("MIT", "yes"),
        ("Apache-2.0", "yes"),
        (DRAWN, "yes"),
        ("Apache-2.0 for the code; AffectNet's terms may bind too", "unknown"),
        ("The labels are under the MIT licence; the pictures are not.", "unknown"),
        ("Free for research only.", "no"),
    ],
)
def test_only_a_free_licence_alone_allows_it(terms, answer):
    assert commercial(terms) == answer


def test_all_terms_must_allow_it():
    assert all_of(["yes", "yes"]) == "yes"
    assert all_of(["yes", "unknown"]) == "unknown"
    assert all_of(["unknown", "no", "yes"]) == "no"
