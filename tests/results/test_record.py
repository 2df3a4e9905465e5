import json
from pathlib import Path

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


def test_a_record_of_schema_1_is_read_with_its_metrics_and_breakdown():
    """The file was written before metrics were registered entries."""
    found = read_record(Path(__file__).with_name("record_schema_1.json"))
    own, other = found.scores
    assert found.schema_version == 2
    assert own.metrics == {
        "accuracy": 0.797979797979798,
        "uar": 0.797979797979798,
        "macro_f1": 0.7998994869285966,
        "transfer": 0.7575757575757576,
        "mcc": 0.7588543673590809,
    }
    assert own.uar == own.metrics["uar"]
    assert own.breakdown.worst_recall == min(v.recall for v in own.breakdown.per_class.values())
    assert (other.breakdown, set(other.metrics)) == (None, {"accuracy", "uar", "macro_f1", "transfer"})


def test_a_score_without_uar_is_refused(tmp_path):
    raw = json.loads(Path(__file__).with_name("record_schema_1.json").read_text())
    del raw["scores"][0]["uar"]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(StoreError, match="UAR"):
        read_record(path)
