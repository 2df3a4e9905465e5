import numpy as np
import pytest

from fer_bench.emotions import ACTION_UNITS, LABEL_SETS, Emotion
from fer_bench.synthetic.anatomy import FACE_AUS
from fer_bench.synthetic.expressions import (
    PROTOTYPES,
    STYLES,
    Style,
    at_strength,
    behind_label,
    coded_units,
    valence_arousal,
    votes,
)
from fer_bench.synthetic.population import MAKEUP, Population, with_cloth

CLEAR = Style((1.0, 1.0), blend=0.0, stray=0.0)


def apexes(emotion, count=40):
    population = Population("rafdb")
    return [population.person(i).express(population.rng("t", i), emotion, CLEAR).au for i in range(count)]


def mean_level(emotion, unit):
    return float(np.mean([au[FACE_AUS.index(unit)].max() for au in apexes(emotion)]))


def test_a_person_is_the_same_whenever_asked_and_whatever_was_asked_before():
    first = Population("oulu", seed=3).person(7)
    population = Population("oulu", seed=3)
    for number in range(5):
        population.person(number)
    again = population.person(7)
    assert first.identity == again.identity
    np.testing.assert_array_equal(first.rest, again.rest)


@pytest.mark.parametrize(
    "other",
    [Population("mmi"), Population("oulu", "development"), Population("oulu", seed=1)],
    ids=["dataset", "population", "seed"],
)
def test_datasets_populations_and_seeds_have_other_people(other):
    mine = Population("oulu")
    assert mine.person(0).identity != mine.person(1).identity
    assert not {mine.person(i).identity for i in range(10)} & {other.person(i).identity for i in range(10)}
    assert mine.rng("photo", 1).random() != other.rng("photo", 1).random()


def test_topics_and_numbers_have_their_own_chance():
    population = Population("ckplus")
    draws = {population.rng(*key).random() for key in (("a", 1), ("a", 2), ("b", 1), ("a", 1, 0), ("a",))}
    assert len(draws) == 5


@pytest.mark.parametrize(
    ("emotion", "units"),
    [
        (Emotion.HAPPINESS, (6, 12)),
        (Emotion.SADNESS, (1, 4, 15)),
        (Emotion.SURPRISE, (1, 2, 5, 25, 26)),
        (Emotion.FEAR, (1, 4, 5, 20, 25)),
        (Emotion.ANGER, (4, 7)),
        (Emotion.CONTEMPT, (14,)),
    ],
)
def test_an_emotion_shows_its_action_units(emotion, units):
    for unit in units:
        assert mean_level(emotion, unit) > 0.35
        assert mean_level(Emotion.NEUTRAL, unit) < 0.1


def test_disgust_wrinkles_the_nose_or_raises_the_lip():
    for au in apexes(Emotion.DISGUST):
        assert max(au[FACE_AUS.index(9)].max(), au[FACE_AUS.index(10)].max()) > 0.3


def test_contempt_is_one_sided_and_on_either_side():
    row = FACE_AUS.index(14)
    sides = {int(au[row].argmax()) for au in apexes(Emotion.CONTEMPT)}
    assert sides == {0, 1}
    for au in apexes(Emotion.CONTEMPT):
        assert au[row].min() < 0.5 * au[row].max()


def test_valence_and_arousal_follow_the_expression():
    mean = {e: np.mean([valence_arousal(au) for au in apexes(e)], axis=0) for e in Emotion}
    assert mean[Emotion.HAPPINESS][0] > 0.5
    for emotion in (Emotion.SADNESS, Emotion.FEAR, Emotion.DISGUST, Emotion.ANGER):
        assert mean[emotion][0] < -0.3
    assert mean[Emotion.SADNESS][1] < mean[Emotion.NEUTRAL][1] + 0.05
    assert min(mean[Emotion.SURPRISE][1], mean[Emotion.FEAR][1]) > 0.5
    assert np.abs(mean[Emotion.NEUTRAL]).max() < 0.2
    assert all(-1 <= v <= 1 for au in apexes(Emotion.FEAR) for v in valence_arousal(au))


def test_coded_units_stand_in_the_suite_order():
    au = np.zeros((len(FACE_AUS), 2))
    au[FACE_AUS.index(12), 0] = 0.8
    au[FACE_AUS.index(1)] = 0.1
    assert coded_units(au).tolist() == [int(unit == 12) for unit in ACTION_UNITS]


def test_a_sequence_goes_from_rest_to_apex():
    rest, apex = np.full((17, 2), 0.1), np.full((17, 2), 0.7)
    np.testing.assert_allclose(at_strength(rest, apex, 0.0), rest)
    np.testing.assert_allclose(at_strength(rest, apex, 1.0), apex)
    np.testing.assert_allclose(at_strength(rest, apex, 0.5), 0.4)


def test_labels_are_wrong_as_often_as_the_style_says():
    rng = np.random.default_rng(0)
    style = Style(mislabelled=0.2)
    shown = [behind_label(rng, Emotion.FEAR, style) for _ in range(3000)]
    assert np.mean([e is not Emotion.FEAR for e in shown]) == pytest.approx(0.2, abs=0.03)
    assert behind_label(rng, Emotion.FEAR, CLEAR) is Emotion.FEAR


@pytest.mark.parametrize("clarity", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("shown", [None, Emotion.CONTEMPT])
def test_the_label_always_has_the_most_votes(clarity, shown):
    rng = np.random.default_rng(1)
    for label in LABEL_SETS["7"]:
        given = votes(rng, label, shown or label, clarity, LABEL_SETS["7"])
        assert given.sum() == pytest.approx(1)
        winner = LABEL_SETS["7"].index(label)
        assert given[winner] > np.delete(given, winner).max()


def test_people_vote_for_the_emotion_shown_whatever_the_label():
    rng = np.random.default_rng(2)
    classes = LABEL_SETS["7"]
    fear, surprise = classes.index(Emotion.FEAR), classes.index(Emotion.SURPRISE)
    wrong = np.mean([votes(rng, Emotion.SURPRISE, Emotion.FEAR, 0.9, classes) for _ in range(200)], axis=0)
    assert np.argsort(wrong)[::-1][:2].tolist() == [surprise, fear]
    assert wrong[surprise] - wrong[fear] < 0.03  # it won by one vote
    assert wrong[fear] > 0.4
    right = np.mean(
        [votes(rng, Emotion.SURPRISE, Emotion.SURPRISE, 0.9, classes) for _ in range(200)], axis=0
    )
    assert right[surprise] > 0.8


def test_every_dataset_has_its_people_and_every_emotion_its_prototype():
    assert set(MAKEUP) == set(STYLES)
    assert set(PROTOTYPES) == set(Emotion)


def test_other_clothes_leave_the_face():
    person = Population("mmi").person(0)
    changed = with_cloth(person, np.random.default_rng(0))
    kept = {k: v for k, v in vars(changed.identity).items() if k != "cloth"}
    assert kept == {k: v for k, v in vars(person.identity).items() if k != "cloth"}


def test_datasets_have_habits_of_their_own():
    """Fear with the jaw dropped is the second variant: a dataset shows it as often as its habit says."""
    population = Population("rafdb")

    def jaw_drops(first):
        style = Style((1.0, 1.0), {Emotion.FEAR: (first, 1 - first)}, blend=0.0, stray=0.0)
        rng = population.rng("habits")
        drawn = [population.person(i % 20).express(rng, Emotion.FEAR, style).au for i in range(300)]
        return np.mean([au[FACE_AUS.index(26)].mean() > 0.25 for au in drawn])

    assert jaw_drops(0.0) > 0.55
    assert jaw_drops(1.0) < 0.35
    assert jaw_drops(0.0) > jaw_drops(0.5) > jaw_drops(1.0)
    assert len({repr(sorted(STYLES[name].habits.items())) for name in STYLES}) == len(STYLES)
    for style in STYLES.values():
        for emotion, shares in style.habits.items():
            assert len(shares) == len(PROTOTYPES[emotion])
            assert sum(shares) == pytest.approx(1)
