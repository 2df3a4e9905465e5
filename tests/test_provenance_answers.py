"""Answers are looked up while the code is the same, and only where nothing else can have changed them."""

import sys

import pytest

from fer_bench.provenance import answers, code_hash
from fer_bench.provenance.answers import kept, remembering


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path))
    return tmp_path


class Asked:
    """Counts how often it is asked."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"times": self.times}


def ask_twice(**options):
    """Ask in two commands; return how often the answer was computed."""
    asked = Asked()
    for _ in range(2):
        with remembering():
            kept("question", ["given"], asked, **options)
    return asked.times


def test_the_second_command_finds_the_answer_of_the_first(cache):
    assert ask_twice() == 1


def test_nothing_is_looked_up_outside_a_command(cache):
    asked = Asked()
    for _ in range(2):
        kept("question", ["given"], asked)
    assert asked.times == 2
    assert list(cache.iterdir()) == []


def test_another_question_has_another_answer(cache):
    with remembering():
        found = [kept("question", given, lambda given=given: given) for given in ([1], [2])]
        assert found == [[1], [2]]


def test_other_code_asks_anew(cache, monkeypatch):
    states = iter("aabb")
    monkeypatch.setattr(answers, "code_state", lambda: next(states))
    assert ask_twice() == 2


def test_code_that_was_edited_meanwhile_keeps_nothing(cache, monkeypatch):
    states = iter("abcd")
    monkeypatch.setattr(answers, "code_state", lambda: next(states))
    assert ask_twice() == 2
    assert list(cache.iterdir()) == []


def test_what_depends_on_more_is_not_kept(cache):
    assert ask_twice(keeps=lambda found: False) == 2


def test_a_loaded_module_is_asked_itself(cache, monkeypatch):
    assert ask_twice(unless_loaded="not_loaded_yet") == 1
    monkeypatch.setitem(sys.modules, "not_loaded_yet", None)
    assert ask_twice(unless_loaded="not_loaded_yet") == 2


@pytest.mark.parametrize("content", ["", "[]", '{"state": 1}'])
def test_a_damaged_file_is_as_good_as_none(cache, content):
    assert ask_twice() == 1
    (file,) = (cache / answers.FOLDER).iterdir()
    file.write_text(content)
    assert ask_twice() == 1


def test_a_cache_that_cannot_be_written_is_no_error(cache, monkeypatch):
    (cache / answers.FOLDER).touch()
    assert ask_twice() == 2


def test_the_hash_of_code_is_the_same_from_the_cache(cache, monkeypatch):
    roots = ["fer_bench.emotions"]
    with remembering():
        first = code_hash(roots)
    monkeypatch.setattr("fer_bench.provenance.Closure", None)
    with remembering():
        assert code_hash(roots) == first
    with remembering(), pytest.raises(TypeError):
        code_hash(["tests.mylab"])  # the code of others is read each time


def test_every_file_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "PACKAGE", tmp_path)
    seen = []
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.json", "{}")):
        (tmp_path / name).write_text(text)
        seen.append(answers.code_state())
    assert len(set(seen)) == 3
    assert answers.code_state() == seen[-1]
