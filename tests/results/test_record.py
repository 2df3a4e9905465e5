import pytest

from fer_bench.errors import StoreError
from fer_bench.results.record import read_record
from fer_bench.results.store import Store


def test_survives_a_round_trip(tmp_path, record):
    run = Store(tmp_path).run_dir("gcn", "oulu", "0123456789abcdef")
    written = record(warnings=("a | b",), timing={"train": 1.5})
    run.write_record(written)
    assert run.read_record() == written


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "readable JSON"),
        ("[]", "schema"),
        ('{"schema_version": 99}', "schema"),
        ('{"schema_version": 1, "status": "nonsense"}', "invalid record"),
    ],
)
def test_damage_is_named(tmp_path, content, word):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(StoreError, match=word) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


def test_no_run_has_no_record(tmp_path):
    assert Store(tmp_path).run_dir("gcn", "oulu", "x").read_record() is None
