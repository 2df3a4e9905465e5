from __future__ import annotations

import pytest

from fer_bench.data.audit.describe import as_markdown, as_text, split_counts
from fer_bench.data.card import ExpectedCount, Quirk
from fer_bench.errors import UsageError
from tests.data.toy import CARD, toy_rows


def test_a_described_card_says_what_is_needed_known_and_doubted():
    card = CARD.model_copy(
        update={
            "counts": (
                ExpectedCount(split="train", code="fear", unit="images", n=7, trust="page", source="ReadMe"),
                ExpectedCount(split="none", code=None, unit="subjects", n=8, trust="code", source="a list"),
                ExpectedCount(
                    split="none", code=None, unit="rows", n=9, trust="code", source="a list", layout="crops"
                ),
            ),
            "quirks": (Quirk("Names have gaps. " * 12, "inferred", "copies"),),
            "fold_sizes": (3, 4),
            "shares_pixels_with": ("other",),
        }
    )
    text = as_text(card)
    assert "pictures/<id>.png  a face\n" in text
    assert "notes.txt" in next(line for line in text.splitlines() if "(optional)" in line)
    assert "7 images train, class fear [page: ReadMe]" in text
    assert "8 subjects, all [code: a list]" in text
    assert "9 rows, all of crops [code: a list]" in text
    page = as_markdown(card)
    assert "| 8 subjects |  | all | code | a list | all |" in page
    assert "| 9 rows |  | all | code | a list | crops |" in page
    assert "| layout |" not in as_markdown(card.model_copy(update={"counts": card.counts[:2]}))
    assert "sequences per fold: 3, 4" in text
    assert "[inferred: copies]" in text
    assert "Never counted as cross-dataset with: other" in text
    assert " *6-folds " in text
    assert " *7-folds " not in text
    quirk = text[text.index("Quirks") :]
    assert max(map(len, quirk.splitlines())) <= 100


def test_split_counts_are_those_of_the_protocol_and_fold(make_toy):
    toy = make_toy(toy_rows(8))
    table = split_counts(toy, None, 2)
    assert table.index.tolist() == ["train", "val", "test"]
    assert table["rows"].tolist() == [4 * 12, 2 * 12, 2 * 12]
    assert table["groups"].tolist() == [4, 2, 2]
    assert table["fear"].tolist() == [8, 4, 4]
    assert "neutral" not in table.columns
    assert table.attrs["protocol"] == "6-folds, fold 2"
    seven = split_counts(toy, "7-folds", 1)
    assert seven["neutral"].tolist() == [4 * 6, 2 * 6, 2 * 6]
    assert (seven.drop(columns=["rows", "groups"]).sum(axis=1) == seven["rows"]).all()
    with pytest.raises(UsageError, match=r"unknown protocol"):
        split_counts(toy, "9", 1)
