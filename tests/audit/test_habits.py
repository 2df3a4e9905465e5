import pytest

from fer_bench.audit.habits import ARMS, HABITS, HONEST, arms_of, chosen_habits
from fer_bench.errors import UsageError


def test_all_habits_in_order_without_a_name():
    assert chosen_habits(()) == list(HABITS.values())
    assert [h.name for h in chosen_habits(("bgr", "peek"))] == ["peek", "bgr"]


def test_an_unknown_habit_is_refused():
    with pytest.raises(UsageError, match="unknown habit"):
        chosen_habits(("peak",))


def test_the_arms_are_those_that_the_habits_need():
    assert [a.name for a in arms_of(chosen_habits(("bgr",)))] == [HONEST]
    assert [a.name for a in arms_of(chosen_habits(("augment-first",)))] == ["copies-kept", "copies-anywhere"]
    assert {a.name for a in arms_of(chosen_habits(()))} == set(ARMS)
