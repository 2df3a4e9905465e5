import numpy as np
import pytest

from fer_bench.errors import UsageError
from fer_bench.evaluation import confusion, intervals, metrics
from fer_bench.evaluation.estimates import answers, estimate
from fer_bench.evaluation.intervals import Sample
from fer_bench.evaluation.metrics import BUILT_IN, Metric
from fer_bench.evaluation.statistics import find_units

SEVEN = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"]


@pytest.fixture
def installed(monkeypatch):
    """Return a function that installs what entry points of other packages name, by their place here."""

    def install(*names):
        targets = {name: f"{__name__}:{name}" for name in names}
        monkeypatch.setattr(metrics.OTHERS, "targets", targets)
        metrics.registry.cache_clear()

    yield install
    monkeypatch.undo()
    metrics.registry.cache_clear()


def error(counts):
    return 1 - confusion.accuracy(counts)


ERROR = Metric("error", "error", error)
MINE = Metric("uar", "mine", error)


def test_values_are_shown_in_percent_or_with_two_decimals():
    uar, transfer = metrics.registry()["uar"], metrics.registry()["transfer"]
    assert (uar.heading, uar.number(0.1234), uar.text(0.1234), uar.text(None)) == (
        "UAR, %",
        "12.3",
        "12.3%",
        "-",
    )
    assert (transfer.heading, transfer.number(0.126), transfer.text(0.126)) == ("transfer", "0.13", "0.13")
    assert Metric("e", "error", error, higher_is_better=False).heading == "error, % (lower is better)"


def test_an_undefined_value_is_none():
    one_class = np.array([[3, 0], [0, 0]])
    assert metrics.registry()["transfer"].of(one_class) is None
    assert metrics.registry()["uar"].of(one_class) == 1


def test_places_list_the_metrics_that_are_shown_there():
    def names(place, **how):
        return [metric.name for metric in metrics.shown_in(place, **how)]

    assert names("cli") == ["accuracy", "uar", "macro_f1", "transfer"]
    assert names("page", ranking_first=True) == ["uar", "accuracy", "macro_f1"]
    assert names("cells", ranking_first=True) == ["uar", "accuracy", "macro_f1", "transfer"]
    assert "mcc" not in metrics.estimated()


def test_another_package_adds_a_metric_and_replaces_none(installed):
    installed("ERROR", "MINE")
    assert list(metrics.registry()) == [*(metric.name for metric in BUILT_IN), "error"]
    assert metrics.registry()["uar"].title == "UAR"
    assert metrics.modules() == (__name__,)


def test_an_entry_point_that_names_something_else_is_refused(installed):
    installed("error")
    with pytest.raises(UsageError, match=r"not a Metric.*test_metrics:error"):
        metrics.registry()


def test_a_new_metric_gets_an_interval_over_units_and_seeds(installed, make):
    installed("ERROR")
    rng = np.random.default_rng(0)
    labels = np.tile(SEVEN, 40)
    models = []
    for skill in (1.0, 1.5, 2.0):
        logits = rng.normal(size=(280, 7)) + skill * (labels[:, None] == np.array(SEVEN))
        models.append(answers(make(SEVEN, labels.tolist(), logits), SEVEN))
    found = estimate(models, "rafdb").values
    error, accuracy = found["error"], found["accuracy"]
    assert error.value == pytest.approx(1 - accuracy.value)
    spreads = [value.combined.spread for value in (error, accuracy)]
    unseen = [value.combined.parts[0].unseen for value in (error, accuracy)]
    assert spreads[0].seeds == pytest.approx(spreads[1].seeds, rel=1e-3)
    assert spreads[0].units - unseen[0] == pytest.approx(spreads[1].units - unseen[1], rel=1e-3)
    assert error.interval.low < error.value < error.interval.high
    one = estimate(models[:1], "rafdb").values["error"].interval
    assert error.interval.high - error.interval.low > one.high - one.low


def test_intervals_are_made_by_the_rule_of_each_metric(make):
    labels = np.tile(SEVEN, 10)
    one = answers(make(SEVEN, labels.tolist(), np.random.default_rng(0).normal(size=(70, 7))), SEVEN)
    sample = Sample((one,), (0,), find_units([one]), "rafdb", "source")
    found = estimate([one], "rafdb", seeds=[0], training="source").values
    assert list(found) == list(metrics.estimated())
    for name, metric in metrics.estimated().items():
        assert found[name] == metric.interval(sample, metric.function)
    rules = {metric.interval for metric in BUILT_IN if metric.shown}
    assert rules == {intervals.of_rows, intervals.of_recalls, intervals.of_share, intervals.chance_corrected}
    assert Metric("e", "error", error).interval is intervals.of_counts
