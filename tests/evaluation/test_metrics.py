import numpy as np
import pytest

from fer_bench.errors import UsageError
from fer_bench.evaluation import confusion, metrics
from fer_bench.evaluation.contributions import contributions
from fer_bench.evaluation.estimates import answers, estimate
from fer_bench.evaluation.metrics import BUILT_IN, Metric

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


def test_a_new_metric_gets_quantiles_of_its_resamples_as_interval(installed, make):
    installed("ERROR")
    rng = np.random.default_rng(0)
    labels = np.tile(SEVEN, 40)
    logits = rng.normal(size=(280, 7)) + 1.5 * (labels[:, None] == np.array(SEVEN))
    one = answers(make(SEVEN, labels.tolist(), logits), SEVEN)
    found = estimate([one], "rafdb").values
    assert found["error"].value == pytest.approx(1 - found["accuracy"].value)
    assert found["error"].draws == pytest.approx(1 - found["accuracy"].draws)
    assert found["error"].interval.low < found["error"].value < found["error"].interval.high


def test_a_new_metric_has_no_interval_where_resamples_say_too_little(installed, make):
    installed("ERROR")
    labels = ["happiness"] * 40 + ["fear"] * 2
    one = answers(make(SEVEN, labels, np.tile([0, 1, 0, 0, 0, 0, 0], (42, 1))), SEVEN)
    found = estimate([one], "rafdb").values
    assert (found["uar"].value, found["error"].value) == (0.5, pytest.approx(2 / 42))
    assert (found["uar"].interval is None, found["error"].interval) == (False, None)


def test_intervals_are_made_by_the_rule_of_each_metric(make):
    labels = np.tile(SEVEN, 10)
    one = answers(make(SEVEN, labels.tolist(), np.random.default_rng(0).normal(size=(70, 7))), SEVEN)
    by_class = contributions([one], np.ones(1))
    by_rows = contributions([one], np.ones(1), by_class=False)
    draws = {name: np.linspace(0, 1, 1001) for name in metrics.estimated()}
    values = dict.fromkeys(draws, 0.5)
    found = metrics.with_intervals(values, draws, by_class, by_rows)
    assert list(found) == list(values)
    assert found["uar"].interval == found["macro_f1"].interval != found["accuracy"].interval
    assert found["transfer"].spread.variance > found["uar"].spread.variance
