from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.emotions import (
    ACTION_UNITS,
    BASIC_SIX,
    LABEL_SETS,
    NEVER_TRANSFERRED,
    Emotion,
    aliases,
    match_emotion,
    pair_label_set,
    project,
)

EMOTIONS = st.sets(st.sampled_from(list(Emotion)))


def test_an_alias_means_one_emotion_only():
    names = [alias for emotion in Emotion for alias in aliases(emotion)]
    assert len(names) == len(set(names))
    assert all(match_emotion(alias) is emotion for emotion in Emotion for alias in aliases(emotion))


def test_every_emotion_is_matched_by_its_own_name():
    assert [match_emotion(emotion.value) for emotion in Emotion] == list(Emotion)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Happy", Emotion.HAPPINESS),
        ("ANGER", Emotion.ANGER),
        ("03_sad", Emotion.SADNESS),
        ("7-Neutral", Emotion.NEUTRAL),
        (" fear ", Emotion.FEAR),
        ("2. disgusted", Emotion.DISGUST),
        ("AF", Emotion.FEAR),  # KDEF's code for afraid
        ("Others", Emotion.OTHER),
        ("sadly", None),
        ("happy faces", None),
        ("12", None),
        ("", None),
    ],
)
def test_names_are_matched_in_any_case_and_without_sort_prefix(name, meant):
    assert match_emotion(name) is meant


@given(EMOTIONS, EMOTIONS, EMOTIONS)
def test_a_pair_label_set_is_what_all_three_know_in_canonical_order(source, target, present):
    found = pair_label_set(source, target, present)
    assert set(found) == (source & target & present) - {Emotion.CONTEMPT, Emotion.OTHER}
    assert list(found) == sorted(found, key=list(Emotion).index)


def test_a_pair_label_set_takes_names_and_leaves_out_what_the_target_has_no_row_of():
    eight = [emotion.value for emotion in LABEL_SETS["8"]]
    assert pair_label_set(eight, eight, eight) == LABEL_SETS["7"]
    assert pair_label_set(eight, LABEL_SETS["8o"], ["fear", "other", "neutral"]) == (
        Emotion.NEUTRAL,
        Emotion.FEAR,
    )
    with pytest.raises(ValueError, match=r"joy"):
        pair_label_set(["joy"], eight, eight)


def test_label_sets_have_the_size_of_their_name_and_no_repetition():
    assert {name: len(classes) for name, classes in LABEL_SETS.items()} == {
        "6": 6,
        "7": 7,
        "7c": 7,
        "8": 8,
        "8o": 8,
    }
    assert all(len(set(classes)) == len(classes) for classes in LABEL_SETS.values())
    assert set(BASIC_SIX).isdisjoint(NEVER_TRANSFERRED | {Emotion.NEUTRAL})


@pytest.mark.parametrize("emotion", list(Emotion))
def test_projecting_through_a_larger_set_changes_nothing(emotion):
    eight = project(emotion, LABEL_SETS["8"])
    seven = project(eight, LABEL_SETS["7"])
    six = project(seven, LABEL_SETS["6"])
    assert seven is project(emotion, LABEL_SETS["7"])
    assert six is project(emotion, LABEL_SETS["6"])
    assert project(None, LABEL_SETS["8"]) is None


def test_a_class_outside_the_set_is_dropped_and_never_renamed():
    assert project(Emotion.CONTEMPT, LABEL_SETS["7"]) is None
    assert project(Emotion.NEUTRAL, LABEL_SETS["6"]) is None
    assert project(Emotion.FEAR, LABEL_SETS["6"]) is Emotion.FEAR


def test_action_units_are_the_aff_wild2_list():
    assert ACTION_UNITS == (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
