"""Two records in short: what decides a run and what it scored, the rest as counts."""

from fer_bench.results.record import Score
from fer_bench.runs.contrast import differences, shorten

VALUES = {"selection": "val", "label_set": ("happiness", "anger"), "n": 9, "k": 2, "kept_share": 1.0}


def score(target, uar):
    return Score(target=target, metrics={"uar": uar}, unrestricted_uar=uar, **VALUES)


def test_a_setting_is_said_once_and_scores_as_uar(record):
    def made(key, lr, uar, seconds):
        settings = {"method": {"lr": lr, "width": 8}, "train": {"batch_size": 16}}
        fields = {"method_settings": settings["method"], "train": settings["train"], "method_code": "x"}
        scores = (score("rafdb", uar), score("oulu", 0.5), score("mmi", 0.25))
        timing, environment = {"train": seconds}, {"torch": "2", "seconds": seconds}
        return record(
            key=key,
            settings=settings,
            key_fields=fields,
            scores=scores,
            timing=timing,
            environment=environment,
        )

    one, other = made("a", 0.001, 0.25, 1.0), made("b", 0.003, 0.375, 2.0)
    shown, left = shorten(one, other)
    assert shown == {"method.lr": (0.001, 0.003), "UAR on rafdb": ("25.0 %", "37.5 %")}
    assert left == {"timing": 1, "environment": 1, "scores": 2}
    assert shorten(one, one) == ({}, {})


def test_other_methods_and_data_do_not_list_what_follows_from_them(record):
    def made(method, dataset, settings, **fields):
        stored = {"method": settings, "precision": "32"}
        return record(method=method, dataset=dataset, settings=stored, key_fields=fields)

    one = made("gcn", "oulu", {"lr": 1, "margin": 2}, method_code="x", fingerprint="p", training_code="t")
    other = made("cafe", "mmi", {"lr": 3, "mask": 4}, method_code="y", fingerprint="q", training_code="u")
    assert shorten(one, other) == (
        {
            "method": ("gcn", "cafe"),
            "dataset": ("oulu", "mmi"),
            "method.lr": (1, 3),
            "training_code": ("t", "u"),
        },
        {},
    )
    same = made("gcn", "oulu", {"lr": 1, "margin": 2}, method_code="y", fingerprint="q", training_code="t")
    assert shorten(one, same)[0] == {"method_code": ("x", "y"), "fingerprint": ("p", "q")}


def test_lists_of_equal_length_are_compared_place_by_place():
    found = differences({"a": [1, {"b": 2}], "c": 1}, {"a": [1, {"b": 3}], "d": None})
    assert found == {"a[1].b": (2, 3), "c": (1, None)}
