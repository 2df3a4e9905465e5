import pytest

from fer_bench.errors import UsageError
from fer_bench.registry import Registry


@pytest.fixture
def registry(monkeypatch):
    class Point:
        def __init__(self, name, value):
            self.name, self.value = name, value

    points = [
        Point("ordered", "collections:OrderedDict"),
        Point("own", "json:loads"),
        Point("lost", "json:nothing"),
    ]
    monkeypatch.setattr("fer_bench.registry.entry_points", lambda group: points if group == "things" else [])
    return Registry("thing", "things", {"own": "collections:Counter"})


def test_built_in_names_come_first_and_cannot_be_taken(registry):
    assert registry.names() == ("own", "ordered", "lost")
    assert registry.get("own").__name__ == "Counter"
    assert registry.get("ordered").__name__ == "OrderedDict"


def test_an_unknown_name_gets_near_ones(registry):
    with pytest.raises(UsageError, match=r"unknown thing \(found 'orderd'\)\n  did you mean ordered"):
        registry.get("orderd")


def test_what_another_package_cannot_provide_is_named(registry):
    with pytest.raises(UsageError, match=r"the thing lost cannot be imported.*AttributeError.*json:nothing"):
        registry.get("lost")


def test_a_broken_built_in_one_is_a_programming_error(registry):
    with pytest.raises(AttributeError):
        Registry("thing", "none", {"own": "collections:nothing"}).get("own")
