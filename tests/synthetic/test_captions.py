"""Captions: what they say is in the picture, and neutral ones say nothing about the expression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_bench.emotions import Emotion
from fer_bench.synthetic.anatomy import FACE_AUS, Light, Pose, au_array
from fer_bench.synthetic.camera import Camera
from fer_bench.synthetic.captions import (
    ADJECTIVES,
    FEELINGS,
    MOVEMENTS,
    Captions,
    describe,
    expression_words,
    prompts,
)
from fer_bench.synthetic.expressions import Expression, Style
from fer_bench.synthetic.population import Makeup, Person, draw_person
from fer_bench.synthetic.shots import Scene, arrange


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def person(**changes: object) -> Person:
    found = draw_person(rng(1), Makeup(), 0)
    who = {name: value for name, value in changes.items() if name in ("glasses", "beard", "hair_style")}
    rest = {name: value for name, value in changes.items() if name not in who}
    return replace(found, identity=replace(found.identity, **who), **rest)


def scene(**changes: object) -> Scene:
    return replace(arrange(Camera(), (64, 64), rng()), **changes)


def face(emotion: Emotion = Emotion.HAPPINESS, au: dict[int, float] | None = None) -> Expression:
    return Expression(emotion, au_array(au or {}), 1.0)


def many(who: Person, what: Expression, how: Scene, count: int = 40) -> list[Captions]:
    return [describe(who, what, how, rng(seed)) for seed in range(count)]


def test_the_same_chance_gives_the_same_text():
    first, second = (describe(person(), face(), scene(), rng(3)) for _ in range(2))
    assert first == second
    assert len({caption.full for caption in many(person(), face(au={12: 1.0}), scene())}) > 5


@pytest.mark.parametrize("emotion", list(Emotion))
def test_full_captions_name_the_emotion_and_neutral_ones_never(emotion):
    makeup = Makeup((4, 76), 0.5, (0.4, 0.3, 0.3), 0.5, 0.5)
    for number in range(30):
        someone = draw_person(rng(number), makeup, number)
        shown = someone.express(rng(number), emotion, Style())
        caption = describe(someone, shown, scene(), rng(number))
        assert any(f" {adjective} " in caption.full for adjective in ADJECTIVES[emotion])
        assert not set(caption.neutral.replace(",", " ").split()) & expression_words()


def test_every_movement_and_feeling_is_an_expression_word():
    words = expression_words()
    for phrase in [*MOVEMENTS.values(), *(word for pair in FEELINGS for word in pair), "strong", "slight"]:
        assert set(phrase.split()) - {"a"} <= words
    assert set(MOVEMENTS) == set(FACE_AUS)


def test_movements_are_those_of_the_face():
    texts = [caption.full for caption in many(person(), face(au={9: 0.6, 26: 0.3, 12: 0.1}), scene())]
    assert any("a wrinkled nose" in text for text in texts)
    assert any("a slight dropped jaw" in text for text in texts)
    assert not any(MOVEMENTS[12] in text for text in texts)  # too weak to be seen
    strong = [caption.full for caption in many(person(), face(au={9: 0.9}), scene())]
    assert any("a strong wrinkled nose" in text for text in strong)


def test_feelings_follow_the_units():
    happy = [caption.full for caption in many(person(), face(au={6: 1.0, 12: 1.0}), scene())]
    assert any("in a pleasant mood" in text for text in happy)
    assert not any("unpleasant" in text for text in happy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gender": "female", "years": 8}, "girl"),
        ({"gender": "male", "years": 17}, "teenage"),
        ({"gender": "female", "years": 25}, "young"),
        ({"gender": "male", "years": 45}, "middle-aged"),
        ({"gender": "male", "years": 70}, "elderly"),
        ({"glasses": 1}, "with round glasses"),
        ({"beard": 3}, "with a full beard"),
        ({"hair_style": 6}, "with curly hair"),
    ],
)
def test_who_is_in_the_picture_is_said(changes, said):
    for kind in ("full", "neutral"):
        assert any(said in getattr(c, kind) for c in many(person(**changes), face(), scene()))


def test_what_is_not_there_is_not_said():
    plain = person(glasses=0, beard=0, gender="male", years=40)
    for caption in many(plain, face(), scene()):
        for absent in ("glasses", "beard", "woman", "girl", "elderly"):
            assert absent not in caption.full


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pose": Pose(yaw=-20)}, "head turned to one side"),
        ({"pose": Pose(pitch=12)}, "head bent down"),
        ({"pose": Pose(pitch=-12)}, "head held high"),
        ({"pose": Pose(roll=9)}, "head tilted"),
        ({"grey": True}, "black-and-white"),
        ({"noise": 5.0}, "grainy"),
        ({"coarse": 0.6}, "blurry"),
        ({"gamma": 1.3}, "dark"),
        ({"gamma": 0.76}, "bright"),
        ({"light": Light((0.9, -0.2, 1.0), 0.3)}, "lit from one side"),
        ({"light": Light((0.1, -0.8, 1.0), 0.3)}, "lit from above"),
        ({"occlusion": ("hand", 1)}, "partly covered"),
    ],
)
def test_how_the_picture_was_taken_is_said(changes, said):
    base = {"grey": False, "noise": 1.0, "coarse": 1.0, "blur": 0.0, "gamma": 1.0, "occlusion": None}
    base |= {"pose": Pose(), "light": Light((0, 0, 1), 0.6, 1.0)}
    assert said not in describe(person(), face(), scene(**base), rng()).full
    found = describe(person(), face(), scene(**{**base, **changes}), rng())
    assert said in found.full
    assert said in found.neutral


def test_articles_and_prompts_read_well():
    assert all("a angry" not in prompt for prompt in prompts(Emotion.ANGER))
    assert "a photo of an angry woman" in prompts(Emotion.ANGER)
    assert "a photo of a happy boy" in prompts(Emotion.HAPPINESS)
    texts = [text for emotion in Emotion for text in prompts(emotion)]
    assert len(set(texts)) == len(texts)
