from fer_bench.config import SweepConfig
from fer_bench.runs.plan import plan_sweep


def plan_one(
    workspace, *, method, dataset, protocol=None, fold=None, seed=0, overrides=(), max_epochs=None, **fields
):
    """Plan a single run: a sweep of one cell. Further keyword arguments are fields of `SweepConfig`."""
    epochs = () if max_epochs is None else (f"train.max_epochs={max_epochs}",)
    sweep = SweepConfig(
        methods=(method,),
        datasets=(dataset,),
        protocols={} if protocol is None else {dataset: protocol},
        folds="default" if fold is None else (fold,),
        seeds=(seed,),
        set=(*overrides, *epochs),
        **{"device": "cpu", **fields},
    )
    (run,), _ = plan_sweep(sweep, workspace, elsewhere=True)  # GPUs need not be here
    return run
