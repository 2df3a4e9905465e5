"""Write what the stored runs of the sweep `ablation_cafe` say about cafe into its README, and a figure.

    fer-bench sweep ablation_cafe --runs-dir runs-evidence
    python benchmarks/evidence_cafe.py --runs-dir runs-evidence

Nothing is trained here, and the same store gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from readme_section import write_section
from sweep_runs import finished_runs, refuse_empty, runs_of_variant

from fer_bench.config import SweepConfig
from fer_bench.errors import StoreError
from fer_bench.evaluation import intervals
from fer_bench.evaluation.estimates import answers, estimate
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import mean_and_sd
from fer_bench.evaluation.stored import read_scored
from fer_bench.evaluation.transfer import counted_targets, never_cross
from fer_bench.figures import new_figure, save_figure
from fer_bench.leaderboard.markup import percent, points
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

ROOT = Path(__file__).parents[1]
SWEEP = "ablation_cafe"
README = ROOT / "fer_bench" / "methods" / "cafe" / "README.md"
FIGURE = ROOT / "docs" / "figures" / "cafe-channels.png"
SECTION = "cafe_evidence"
PROBE, WHOLE = "frozen tower alone (linear probe)", "mask, separation and diversity"
STEPS: tuple[tuple[str, str], ...] = (
    (PROBE, "mask"),
    ("residual network alone", "mask"),
    ("mask", "mask and separation"),
    ("mask and separation", WHOLE),
    (PROBE, WHOLE),
    (f"neutral {PROBE.removeprefix('frozen ')}", "neutral tower, whole method"),
    ("neutral tower, whole method", WHOLE),
)
"""What is compared: less of the method first. The paper says that the first four are gains."""
DRAWN = ("mask", "mask and separation", WHOLE)


@dataclass(frozen=True)
class Arm:
    """The repetitions of one variant.

    Attributes:
        records: One per seed.
        in_domain: Mean UAR on the source's test rows.
        targets: Mean transfer per target.
        mean: Mean of these.
        sd: Spread of that mean over seeds, None for a single one.
    """

    records: tuple[Record, ...]
    in_domain: Value
    targets: Mapping[str, Value]
    mean: Value
    sd: float | None


Arms = dict[str, Arm]


def read_arms(store: Store, sweep: SweepConfig) -> Arms:
    """Return the finished runs of a sweep by variant; of several with one seed the last finished counts.

    Raises:
        StoreError: The store has none of them, mixes synthetic and real data, or the runs lack targets.
    """
    records = [r for r in finished_runs(store, "cafe", sweep) if r.dataset == sweep.datasets[0]]
    found: Arms = {}
    for name, change in sweep.variants.items():
        if by_seed := {r.seed: r for r in runs_of_variant(records, sweep, change)}:
            found[name] = _arm(store, tuple(by_seed[seed] for seed in sorted(by_seed)))
    refuse_empty(found, store, SWEEP)
    if len({(tuple(arm.targets), len(arm.records)) for arm in found.values()}) > 1:
        raise StoreError("the runs differ in targets or seeds: finish the sweep first", file=store.root)
    return found


def _arm(store: Store, records: tuple[Record, ...]) -> Arm:
    source = records[0].dataset
    named = sorted({s.target for s in records[0].scores})
    targets = counted_targets(source, named, never_cross(named))
    if not targets:
        raise StoreError("a run was tested on no other dataset", file=store.root, value=records[0].key)

    def on(target: str) -> Any:
        scores = [score for r in records if (score := r.score(target, r.headline)) is not None]
        if len(scores) < len(records):
            raise StoreError(f"a run has no score on {target}: finish the sweep first", file=store.root)
        given = [
            answers(read_scored(store, r, target, r.headline), s.label_set)
            for r, s in zip(records, scores, strict=True)
        ]
        return estimate(given, target, seeds=[r.seed for r in records])

    found = {target: on(target) for target in targets}
    transfers = {target: one.values["transfer"] for target, one in found.items()}
    by_seed = [np.mean([one.by_seed["transfer"][r.seed] for one in found.values()]) for r in records]
    return Arm(
        records,
        on(source).values["uar"],
        transfers,
        intervals.average(list(transfers.values())),
        mean_and_sd([float(value) for value in by_seed])[1],
    )


def text(arms: Arms) -> str:
    """Return the section of the README: what each variant reaches, and what each step brings."""
    first = next(iter(arms.values()))
    record, targets = first.records[0], list(first.targets)
    drawn = record.data_kind == "synthetic"
    banner = "**SYNTHETIC DATA.** Drawn faces; this says nothing about real ones." if drawn else "Real data."
    seeds = len(first.records)
    header = ("variant", f"{record.dataset} UAR", *targets, "mean transfer", "sd")
    lines = [
        f"{banner} Profile {record.profile}, trained on {record.dataset}, {seeds} seed(s).",
        "In-domain UAR in %, then the transfer score x 100 on each target and its mean; brackets are 95 %",
        "intervals over test units and seeds, sd is over seeds.",
        "",
        *_row(header),
        f"|---{'|--:' * (len(header) - 1)}|",
    ]
    for name, arm in arms.items():
        cells = [f"{100 * value.value:.1f}" for value in arm.targets.values()]
        lines += _row((name, percent(arm.in_domain), *cells, percent(arm.mean), points(arm.sd)))
    lines += [
        "",
        "What a step changes in the mean transfer x 100 (on the same test units), and whether it agrees with",
    ]
    lines += ["the paper, for which each of the first four is a gain:", ""]
    lines += [*_row(("step", "change", "the paper's order")), "|---|--:|---|"]
    for number, (less, more) in enumerate(STEPS):
        if less in arms and more in arms:
            change, verdict = _step(arms[less].mean, arms[more].mean)
            lines += _row((f"{less} → {more}", change, verdict if number < 4 else "not in the paper"))
    lines += ["", f"![Which channels each class uses](../../../docs/figures/{FIGURE.name})"]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def _step(less: Value, more: Value) -> tuple[str, str]:
    change, found = 100 * (more.value - less.value), intervals.difference(more, less)
    if found is None or found.interval is None:
        return f"{change:+.1f}", "too few units to say"
    low, high = found.interval.low, found.interval.high
    verdict = "agrees" if low > 0 else "the opposite" if high < 0 else "not separable"
    return f"{change:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]", verdict


def contributions(store: Store, record: Record, workspace: Workspace) -> NDArray[np.float64]:
    """Return what each channel adds to the logit of a row's own class, mean over its test rows [C, D]."""
    import torch

    from fer_bench.data.loading.datamodule import evaluation_batches
    from fer_bench.data.loading.union_module import make_datamodule
    from fer_bench.runs.training.checkpoints import load_weights

    run = store.run_dir(record.method, record.dataset, record.key)
    method: Any = load_weights(run.checkpoints / f"{record.headline}.pt")
    dataset, spec = workspace.source(record.dataset).dataset, method.input_spec(method.settings)
    data = make_datamodule(dataset, spec=spec, protocol=record.protocol, fold=record.fold)
    rows, pack = data.rows("test"), workspace.pack(record.dataset, spec.size)
    sums = torch.zeros(len(record.classes), method.network.width, dtype=torch.float64)
    count = torch.zeros(len(record.classes), 1, dtype=torch.float64)
    with torch.inference_mode():
        for batch in evaluation_batches(pack, dataset, record.classes, rows, spec, torch.device("cpu")):
            feature, label = method.network(batch["image"]).feature, batch["label"]
            sums.index_add_(0, label, (feature * method.network.head.weight[label]).double())
            count.index_add_(0, label, torch.ones(len(label), 1, dtype=torch.float64))
    found: NDArray[np.float64] = (sums / count.clamp(min=1)).numpy()
    return found


def draw(found: Mapping[str, NDArray[np.float64]], record: Record, path: Path) -> None:
    """Draw contributions of channels per class, one panel per variant, groups of channels between lines."""
    from fer_bench.methods.cafe.losses import group_size

    figure = new_figure(9, 0.6 + 1.9 * len(found))
    axes: Any = figure.subplots(len(found), 1, squeeze=False, sharex=True)
    for axis, (name, values) in zip(axes[:, 0], found.items(), strict=True):
        classes, channels = values.shape
        size = group_size(channels, classes)
        reach = float(np.quantile(np.abs(values), 0.995)) or 1.0
        shown = axis.imshow(
            values, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest"
        )
        for group in range(1, classes + 1):
            axis.axvline(group * size - 0.5, color="black", lw=0.5)
        own = np.mean([np.maximum(values[c, c * size : (c + 1) * size], 0).sum() for c in range(classes)])
        share = own / max(float(np.maximum(values, 0).sum(axis=1).mean()), 1e-12)
        axis.set_yticks(range(classes), record.classes, fontsize=7)
        axis.set_title(f"{name}: {share:.0%} of what speaks for a class is in its own group", fontsize=8)
        figure.colorbar(shown, ax=axis, fraction=0.02)
    figure.supxlabel(
        "channel (lines: groups of the auxiliary losses, in the order of the classes)", fontsize=8
    )
    kind = "SYNTHETIC DATA" if record.data_kind == "synthetic" else "real data"
    title = f"cafe on {record.dataset}: what channels add to the logit of the true class ({kind})"
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    """Write the section and the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-evidence"))
    parser.add_argument("--sweep", default=SWEEP)
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    given = parser.parse_args(arguments)
    store = Store(given.runs_dir)
    arms = read_arms(store, read_sweep(given.sweep))
    workspace = Workspace(find_roots(given.data_root))
    shown = {n: contributions(store, arms[n].records[0], workspace) for n in DRAWN if n in arms}
    if shown:
        draw(shown, next(iter(arms.values())).records[0], given.figure)
    write_section(given.readme, SECTION, text(arms))
    print(f"wrote {given.readme} and {given.figure}")


if __name__ == "__main__":
    main()
