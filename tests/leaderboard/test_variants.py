from fer_bench.leaderboard.variants import variants
from tests.results.conftest import record

__all__ = ["record"]


def test_runs_that_start_from_a_checkpoint_are_named_by_its_weights(record):
    plain = {"weights": {"backbone": "1" * 64}, "seed": 0}
    tuned = {"weights": {}, "seed": 0, "init": {"weights": "ab" * 32, "classes": ["fear", "anger"]}}
    cells = variants([record(key_fields=plain), record(key="f" * 16, key_fields=tuned)])
    labels = {label for label, _, _ in cells}
    assert "gcn" in labels
    assert labels - {"gcn"} <= {"gcn [init=abababab]", "gcn [init=unset]"}
    assert len(labels) == 2
