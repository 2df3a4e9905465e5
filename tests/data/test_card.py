from __future__ import annotations

import pytest
from pydantic import ValidationError

from fer_bench import datasets
from fer_bench.data.audit.describe import as_text
from fer_bench.data.card import (
    Card,
    Folds,
    HashSplit,
    NativeClass,
    Official,
    Protocol,
    Stratified,
    fold_protocols,
    native_classes,
)
from fer_bench.emotions import LABEL_SETS, Emotion

EVERY = pytest.mark.parametrize("name", datasets.names())


def card(**changes: object) -> Card:
    fields: dict[str, object] = {
        "name": "toy",
        "title": "Toy",
        "setting": "wild",
        "citation": "",
        "licence": "",
        "obtain": "",
        "classes": (NativeClass("1", "joy", Emotion.HAPPINESS),),
        "tree": (),
        "protocols": (Protocol(name="p", label_set=(Emotion.HAPPINESS,), split=Official()),),
        "default_protocol": "p",
        "quick_protocol": "p",
        "unit": "image",
    }
    return Card.model_validate({**fields, **changes})


@EVERY
def test_every_native_code_means_an_emotion_or_is_dropped(name):
    card = datasets.get(name).card
    assert card.name == name
    for native in card.classes:
        assert card.emotion_of(native.code) is native.emotion
    with pytest.raises(KeyError):
        card.emotion_of("no such code")


@EVERY
def test_the_main_protocols_have_known_label_sets(name):
    card = datasets.get(name).card
    names = [protocol.name for protocol in card.protocols]
    assert len(set(names)) == len(names)
    assert {card.default_protocol, card.quick_protocol} <= set(names)
    for protocol in card.protocols:
        assert set(protocol.label_set) <= set(card.emotions)
        if name != "folder":
            assert protocol.label_set in LABEL_SETS.values()


@EVERY
def test_no_fact_rests_on_memory_and_each_names_its_source(name):
    card = datasets.get(name).card
    for fact in (*card.counts, *card.quirks):
        assert fact.trust in ("page", "code", "secondary", "inferred")
        assert fact.source.strip()
    codes = {native.code for native in card.classes}
    assert all(count.code is None or count.code in codes for count in card.counts)
    assert all(count.n > 0 for count in card.counts)
    known = {"mmafedb", "ferplus", *datasets.names()}
    assert set(card.shares_pixels_with) <= known - {name}


@EVERY
def test_counts_per_class_add_up_to_the_total_where_both_are_given(name):
    counts = datasets.get(name).card.counts
    for total in (count for count in counts if count.code is None):
        same = [c for c in counts if (c.split, c.unit) == (total.split, total.unit)]
        parts = [c.n for c in same if c.code is not None and c.layout in ("", total.layout)]
        if parts and not datasets.get(name).card.has_va:  # else rows without an expression count as well
            assert sum(parts) == total.n
        assert sum(parts) <= total.n


@pytest.mark.parametrize("name", ["ckplus", "mmi", "oulu"])
def test_lab_datasets_are_tested_by_subject_with_all_rows(name):
    card = datasets.get(name).card
    assert (card.setting, card.unit, card.as_target, card.has_reference) == ("lab", "subject", "all", True)
    default = next(p for p in card.protocols if p.name == card.default_protocol)
    quick = next(p for p in card.protocols if p.name == card.quick_protocol)
    assert (default.split, quick.split) == (Folds(), Folds(k=4))
    assert default.label_set == quick.label_set


@EVERY
def test_a_card_is_readable_text(name):
    card = datasets.get(name).card
    text = as_text(card)
    for part in (card.title, card.default_protocol, card.classes[0].name, card.tree[0].path):
        assert part in text
    assert "memory" not in text
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_the_ten_published_ck_fold_sizes_make_327():
    sizes = datasets.get("ckplus").card.fold_sizes
    assert (len(sizes), sum(sizes)) == (10, 327)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"default_protocol": "q"}, "no protocol 'q'"),
        ({"quick_protocol": "q"}, "no protocol 'q'"),
        (
            {"protocols": (Protocol(name="p", label_set=(Emotion.HAPPINESS,), split=Official()),) * 2},
            "names repeat",
        ),
        ({"classes": (NativeClass("1", "a", Emotion.HAPPINESS),) * 2}, "codes repeat"),
        (
            {"protocols": (Protocol(name="p", label_set=(Emotion.FEAR,), split=Official()),)},
            "are not the dataset's",
        ),
        (
            {"protocols": (Protocol(name="p", label_set=(Emotion.HAPPINESS,) * 2, split=Official()),)},
            "classes repeat",
        ),
        ({"protocols": (Protocol(name="p", label_set=(), split=Official()),)}, "no class"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(changes, words):
    assert card().name == "toy"
    with pytest.raises(ValidationError, match=words):
        card(**changes)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (Folds, {"k": 1}),
        (Official, {"test": "val", "validation": "official"}),
        (Official, {"fraction": 0.0}),
        (HashSplit, {"train": 0.8, "val": 0.2}),
        (Stratified, {"train": 0.8, "val": 0.2}),
        (Stratified, {"train": float("nan")}),
    ],
)
def test_a_split_that_leaves_a_role_empty_is_refused(rule, values):
    with pytest.raises(ValidationError):
        rule(**values)


def test_neutral_first_frames_add_neutral_to_the_emotions():
    assert card().emotions == (Emotion.HAPPINESS,)
    assert card(has_reference=True).emotions == (Emotion.NEUTRAL, Emotion.HAPPINESS)


def test_prose_decides_no_row():
    assert (
        card(citation="other", licence="other", title="other").deciding_fields() == card().deciding_fields()
    )
    changed = card(classes=(NativeClass("2", "joy", Emotion.HAPPINESS),))
    assert changed.deciding_fields() != card().deciding_fields()
    assert card(version=2).deciding_fields() != card().deciding_fields()


def test_lab_protocols_come_as_a_family_per_label_set():
    family = fold_protocols({"6": LABEL_SETS["6"], "7": LABEL_SETS["7"]}, variants=("VL",), contiguous=True)
    assert [p.name for p in family[:4]] == ["6-10fold", "6-10fold-train9", "6-4fold", "6-contiguous"]
    assert all(p.variants == ("VL",) for p in family)
    assert [p.label_set for p in family[::4]] == [LABEL_SETS["6"], LABEL_SETS["7"]]
    assert family[1].split == Folds(validation="none")
    assert family[3].split == Folds(rule="contiguous")


def test_classes_take_their_emotions_from_their_names():
    found = native_classes(("Happy", "No-Face"), first=3)
    assert found == (NativeClass("3", "Happy", Emotion.HAPPINESS), NativeClass("4", "No-Face", None))
    assert native_classes(("afraid",), ("AF",)) == (NativeClass("AF", "afraid", Emotion.FEAR),)
