import pytest

from fer_bench.results.record import Record

CLASSES = ("happiness", "anger")


@pytest.fixture(scope="session")
def record():
    """Return a function that makes a record."""

    def make(**changes):
        values = {
            "status": "done",
            "key": "0123456789abcdef",
            "method": "gcn",
            "dataset": "oulu",
            "protocol": "6-4fold",
            "fold": 1,
            "folds": 4,
            "seed": 0,
            "profile": "quick",
            "data_kind": "synthetic",
            "classes": CLASSES,
            "settings": {},
            "key_fields": {},
        }
        return Record(**{**values, **changes})

    return make
