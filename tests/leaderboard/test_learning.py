"""Learning curves: folds averaged, long ones thinned, damage ignored."""

import pytest

from fer_bench.leaderboard.learning import MOST_EPOCHS, learning_curves


@pytest.fixture
def write(store, add):
    def run(fold, lines):
        record = add("gcn", "oulu", fold=fold, targets=())
        folder = store.run_dir(record.method, record.dataset, record.key)
        if lines is not None:
            folder.history_file.write_text("\n".join(lines))
        return record

    return run


def test_folds_are_averaged_by_epoch(store, write):
    first = write(1, ["epoch,train/total,val/uar", "0,2.0,0.2", "1,1.0,0.4"])
    second = write(2, ["epoch,train/total,val/uar", "0,4.0,0.4"])
    found = learning_curves(store, [first, second])
    assert [(one.epoch, one.loss, one.uar) for one in found] == [
        (0, 3.0, pytest.approx(0.3)),
        (1, 1.0, 0.4),
    ]


def test_long_curves_keep_first_last_and_chosen_epochs(store, write):
    record = write(1, ["epoch,val/uar", *(f"{e},{e / 1000}" for e in range(500))])
    found = learning_curves(store, [record])
    epochs = [one.epoch for one in found]
    assert len(epochs) <= MOST_EPOCHS + 2
    assert {0, 3, 499} <= {*epochs}
    assert [one.epoch for one in found if one.chosen] == [3]
    assert all(one.loss is None for one in found)


@pytest.mark.parametrize(
    "lines", [None, [""], ["epoch,val/uar", "x,0.5"], ["other", "1"], ["epoch,val/uar", "0,-"]]
)
def test_absent_or_damaged_metrics_leave_no_curve(store, write, lines):
    assert learning_curves(store, [write(1, lines)]) == ()


def test_a_missing_value_is_none(store, write):
    (found,) = learning_curves(store, [write(1, ["epoch,train/total,val/uar", "0,,0.5"])])
    assert (found.loss, found.uar) == (None, 0.5)
