"""What keys are made of."""

from importlib.util import find_spec

from fer_bench.evaluation.rescore import NOT_SCORING
from fer_bench.runs.keys import NOT_DECIDING, TRAINING_CODE, UNION_CODE, training_modules


def test_every_module_that_is_declared_exists():
    """A module that moves away from its declaration would count, or not count, without a word."""
    for name in (*NOT_DECIDING, *NOT_SCORING, *TRAINING_CODE, *UNION_CODE):
        assert find_spec(name.removesuffix(".*")) is not None, name


def test_what_trains_counts_and_what_stores_does_not():
    modules = set(training_modules())
    assert {"fer_bench.runs.training.fit", "fer_bench.data.loading.transforms"} <= modules
    assert not [name for name in modules if name.startswith(("fer_bench.results", "fer_bench.workspace"))]
