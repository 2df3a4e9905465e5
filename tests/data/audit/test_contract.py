"""A table of readers that break a promise, and the check that says so."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from fer_bench.data.audit.contract import check_contract
from fer_bench.data.card import Official
from fer_bench.errors import DataError
from tests.data import toy as toy_module
from tests.data.toy import Toy, toy_rows

CARD = toy_module.CARD.model_copy(  # its official rule would carve validation out of a person's rows
    update={
        "protocols": (
            *toy_module.CARD.protocols[:2],
            toy_module.CARD.protocols[2].model_copy(update={"split": Official(carve="group")}),
        )
    }
)


def check(make, name="toy"):
    return {result.name: result for result in check_contract(name, make)}


@pytest.fixture
def toy(make_toy):
    return make_toy(toy_rows(8))


def again(toy, **methods):
    """Return a function that opens the toy with some methods replaced."""
    kind = type("Broken", (Toy,), {"given": toy.given, "card": CARD, **methods})
    return lambda: kind(toy.root)


def test_a_good_dataset_keeps_all(toy):
    results = check(again(toy))
    assert all(result.ok for result in results.values()), results
    assert list(results) == ["card", "locate", "index", "rows", "paths", "protocols", "pictures"]


def flicker(self, path, frames):
    return [np.random.default_rng().integers(0, 256, (20, 20, 3)).astype(np.uint8) for _ in frames]


def changing(self):
    return [{**row, "age": None, "gender": None, "valence": id(self) % 997 / 997} for row in self.given]


def crash(self):
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("methods", "broken", "words"),
    [
        ({"card": CARD.model_copy(update={"name": "other"})}, "card", "registered under"),
        ({"card": CARD.model_copy(update={"licence": " "})}, "card", "no licence"),
        ({"card": CARD.model_copy(update={"tree": CARD.tree[1:]})}, "card", "no required entry"),
        ({"locate": classmethod(lambda cls, folder: folder)}, "locate", "empty folder"),
        ({"rows": lambda self: [{**r, "native_label": "x"} for r in self.given]}, "index", "native label"),
        (
            {"rows": lambda self: [{**r, "label": "contempt"} for r in self.given]},
            "index",
            "label is not among",
        ),
        ({"rows": lambda self: [{**r, "valence": 0.1} for r in self.given]}, "index", "valence"),
        ({"rows": lambda self: [{**r, "au": [1] * 12} for r in self.given]}, "index", "action units"),
        (
            {"card": CARD.model_copy(update={"has_reference": False, "protocols": CARD.protocols[:1]})},
            "index",
            "label|neutral",
        ),
        ({"rows": crash}, "index", "ZeroDivisionError: oh; a reader raises DataError"),
        ({"rows": changing}, "rows", "two readings give different indexes"),
        (
            {"rows": lambda self: [{**r, "subject": None, "reference_id": None} for r in self.given]},
            "protocols",
            "has no subject",
        ),
        ({"load": flicker}, "pictures", "twice gives different"),
        (
            {"load": lambda self, path, frames: [np.zeros((20, 20), np.uint8)] * len(frames)},
            "pictures",
            "does not return RGB",
        ),
        ({"load": lambda self, path, frames: []}, "pictures", "another number"),
    ],
)
def test_a_broken_promise_is_named(toy, methods, broken, words):
    results = check(again(toy, **methods))
    assert not results[broken].ok, results
    assert re.search(words, results[broken].message), results[broken].message


def test_a_link_out_of_the_root_is_named(toy, tmp_path):
    picture = toy.base / toy.given[0]["path"]
    picture.rename(tmp_path / "outside.png")
    picture.symlink_to(tmp_path / "outside.png")
    results = check(again(toy))
    assert not results["paths"].ok
    assert "leaves the dataset root" in results["paths"].message


def test_roles_that_depend_on_other_rows_are_named(toy, monkeypatch):
    from fer_bench.data.audit import contract

    def by_position(index, card, protocol, fold=1):
        return np.array(["train", "test", "val"])[np.arange(len(index)) // 3 % 3]

    monkeypatch.setattr(contract, "assign_roles", by_position)
    rows = [{**row, "group": row["sequence"]} for row in toy.given]
    results = check(again(toy, rows=lambda self: rows))
    assert not results["protocols"].ok
    assert "depend on other rows or their order" in results["protocols"].message


def test_a_group_on_both_sides_is_named(toy):
    rows = [{**row, "group": "twins" if row["subject"] < "S02" else row["group"]} for row in toy.given]
    results = check(again(toy, rows=lambda self: rows))
    assert "a group is on both sides (found 'twins')" in results["protocols"].message


def test_protocols_without_enough_data_are_listed_and_no_fault(make_toy):
    toy = make_toy([row for row in toy_rows(8) if row["subject"] != "S00"])
    results = check(again(toy))
    assert results["protocols"].ok
    assert "not with these data: 6-official" in results["protocols"].message


def test_what_cannot_be_opened_is_one_line(tmp_path):
    results = check(lambda: Toy(tmp_path))
    assert [result.ok for result in results.values()] == [False]

    def fail():
        raise DataError("gone")

    assert check(fail)["opens"].message == "gone"


@pytest.mark.parametrize("name", ["oulu", "ckplus", "rafdb"])
def test_built_in_datasets_keep_all(tiny_root, name):
    from fer_bench import datasets

    results = check(lambda: datasets.get(name)(tiny_root), name)
    assert all(result.ok for result in results.values()), results


def test_unreadable_pictures_are_named(toy):
    (toy.base / sorted(row["path"] for row in toy.given)[0]).write_bytes(b"")
    assert "cannot be decoded" in check(again(toy))["pictures"].message
    assert cv2.imread(str(toy.base / toy.given[-1]["path"])) is not None
