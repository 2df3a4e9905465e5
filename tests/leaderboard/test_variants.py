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


def test_models_that_see_an_enrolled_picture_never_have_the_plain_name(record):
    def run(reference: str, key: str, finished: float):
        method = {"reference": reference}
        return record(
            key=key * 16,
            settings={"method": method},
            key_fields={"method_settings": method, "seed": 0},
            timing={"finished_at": finished},
        )

    enrolled, usual = run("enrolled", "e", 9.0), run("generated", "f", 1.0)
    named = "gcn [method_settings.reference=enrolled]"
    assert [label for label, _, _ in variants([enrolled])] == [named]
    both = {label: usual for label, usual, _ in variants([enrolled, enrolled, usual])}
    assert both == {"gcn": True, named: False}
