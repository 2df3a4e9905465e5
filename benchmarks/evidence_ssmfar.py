"""Write what the stored runs of the sweep `label_fraction` say about ssmfar: a page and a figure.

    fer-bench sweep label_fraction --runs-dir runs-evidence
    python benchmarks/evidence_ssmfar.py --runs-dir runs-evidence

Nothing is trained here, and the same store gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sweep_runs import finished_runs, refuse_empty, runs_of_variant

from fer_bench.config import SweepConfig
from fer_bench.evaluation import intervals
from fer_bench.evaluation.estimates import answers, estimate
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import mean_and_sd
from fer_bench.figures import new_figure, save_figure
from fer_bench.files import write_text
from fer_bench.leaderboard.markup import percent, points
from fer_bench.methods.ssmfar.losses import FLOOR
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.sweepfile import read_sweep

ROOT = Path(__file__).parents[1]
SWEEP = "label_fraction"
PAGE, FIGURE = "evidence-ssmfar.md", "evidence-ssmfar-thresholds.png"
THRESHOLD, BELIEVED = "threshold/", "share/believed"
WAYS = ("skip", "pseudo", "oracle")
"""What unlabelled rows teach, as `unlabelled_rows` names it: nothing, pseudo-labels, their hidden labels."""


@dataclass(frozen=True)
class Arm:
    """All repetitions of one dataset, label fraction and use of the rows without a label.

    Attributes:
        records: One per seed.
        uar: Mean test UAR with its interval.
        sd: Spread of the test UAR over seeds, None for a single one.
        histories: The epochs of each repetition.
    """

    records: tuple[Record, ...]
    uar: Value
    sd: float | None
    histories: tuple[pd.DataFrame, ...]

    @property
    def labelled(self) -> int:
        """Labelled training rows."""
        rows = self.records[0].rows
        return rows["train"] - rows.get("unlabelled", 0)

    @property
    def seen(self) -> float:
        """How often each labelled row was seen in training, on average."""
        train, rows = self.records[0].settings["train"], self.records[0].rows
        size, there = int(train["batch_size"]), rows.get("unlabelled", 0)
        drawn = min(rows["train"], train["epoch_rows"] or rows["train"])
        if there:  # whole batches with a labelled part, see `SeparateOrder`
            drawn = max(1, drawn // size) * (size - min(size // 2, there))
        return int(train["max_epochs"]) * drawn / self.labelled


Arms = dict[tuple[str, float, str], Arm]


def read_arms(store: Store, sweep: SweepConfig) -> Arms:
    """Return the arms of a sweep by dataset, label fraction and what unlabelled rows taught.

    Runs of other settings do not count. Of several with the same settings and seed, trained by different
    versions of the code, the last one finished does.

    Raises:
        StoreError: The store has no finished run of the sweep, or mixes synthetic and real data.
    """
    records = [r for r in finished_runs(store, "ssmfar", sweep) if r.dataset in sweep.datasets]
    grouped: dict[tuple[str, float, str], dict[int, Record]] = defaultdict(dict)
    for change in sweep.variants.values():
        for record in runs_of_variant(records, sweep, change):
            fraction = record.settings["train"]["label_fraction"]
            way = record.settings["method"]["unlabelled_rows"]
            grouped[record.dataset, fraction, way][record.seed] = record
    refuse_empty(grouped, store, SWEEP)
    return {key: _arm(store, key[0], [of[s] for s in sorted(of)]) for key, of in sorted(grouped.items())}


def _arm(store: Store, dataset: str, records: list[Record]) -> Arm:
    scores = [score for r in records if (score := r.score(dataset)) is not None]
    given = [
        answers(store.predictions(r, dataset), s.label_set) for r, s in zip(records, scores, strict=True)
    ]
    sd = mean_and_sd([s.uar for s in scores])[1]
    uar = estimate(given, dataset, seeds=[r.seed for r in records]).values["uar"]
    folders = [store.run_dir(r.method, r.dataset, r.key).path for r in records]
    return Arm(tuple(records), uar, sd, tuple(pd.read_csv(folder / "metrics.csv") for folder in folders))


def difference(one: Arm, other: Arm) -> Value:
    """Return the difference of two arms, with its interval over test units and seeds where there is one."""
    found = intervals.difference(one.uar, other.uar)
    return Value(one.uar.value - other.uar.value, None) if found is None else found


def page(arms: Arms, sweep: SweepConfig) -> str:
    """Return the page as markdown."""
    made = sum(len(arm.records) for arm in arms.values())
    whole = len(sweep.datasets) * len(sweep.seeds) * len(sweep.variants)
    first = next(iter(arms.values())).records[0]
    drawn = first.data_kind == "synthetic"
    banner = "**SYNTHETIC DATA.** Drawn faces; this says nothing about real ones." if drawn else "Real data."
    lines = [
        "# ssmfar: what rows without a label bring",
        "",
        f"{banner} Profile {first.profile}{_changed(first)}.",
        *(f"{text[0].upper()}{text[1:]}." for text in first.warnings if text.startswith("the backbone")),
        f"Written by `benchmarks/evidence_ssmfar.py` from {made} of the {whole} runs of the sweep `{SWEEP}`.",
        "",
        "Test UAR in %, checkpoint chosen on validation rows. Labels are hidden in training rows only, the",
        "same ones in every repetition. All arms take the same steps, with the same labelled rows as half",
        "of each batch: *without* has nothing else (`unlabelled_rows=skip`), *pseudo-labels* adds as many",
        "rows without a label (the method), *oracle* adds the same rows with their hidden labels as",
        "pseudo-labels, all believed: a control, no result; rows that never had a label stay without.",
        "*Seen* is how often each labelled row was, on average. Where unlabelled rows have valence, arousal",
        "or action units, what the other heads learn from them counts in the differences too. Brackets are",
        "95 % intervals over test units (pictures or videos) and seeds, paired for differences; sd is over",
        "seeds. *Believed* is the share of unlabelled rows whose pseudo-label reached the threshold of its",
        "class in the last epoch: at 0 the unlabelled rows act through the consistency of the two views",
        "alone.",
        "",
        *_verdict(arms),
        *_untested(arms),
    ]
    header = ("labels", "labelled rows", "seen", "seeds", "without", "sd", "pseudo-labels", "sd", "believed")
    more = ("oracle", "sd", "pseudo-labels - without", "oracle - without")
    for dataset in dict.fromkeys(key[0] for key in arms):
        lines += [
            f"## {dataset}",
            "",
            f"| {' | '.join((*header, *more))} |",
            f"|{'--:|' * len((*header, *more))}",
        ]
        for fraction in sorted({key[1] for key in arms if key[0] == dataset}):
            lines.append(_line(fraction, {way: arms.get((dataset, fraction, way)) for way in WAYS}))
        lines.append("")
    lines += ["## Thresholds", "", f"![Thresholds per class over epochs]({FIGURE})", ""]
    return "\n".join(lines)


def _verdict(arms: Arms) -> list[str]:
    """Say in how many rows of the tables each use of unlabelled rows is better or worse than none."""
    lines = []
    for way, name in (("pseudo", "Pseudo-labels"), ("oracle", "The oracle")):
        found = []
        for (dataset, fraction, used), arm in arms.items():
            without = arms.get((dataset, fraction, "skip"))
            if used == way and without is not None and arm.records[0].rows.get("unlabelled"):
                found.append(difference(arm, without).interval)
        if found := [interval for interval in found if interval is not None]:
            better, worse = sum(i.low > 0 for i in found), sum(i.high < 0 for i in found)
            lines.append(
                f"**{name}** against none, in {len(found)} comparisons: better in {better}, worse in "
                f"{worse}, not told apart in {len(found) - better - worse}."
            )
    return [*lines, "Intervals are not adjusted for their number.", ""] if lines else []


def _changed(record: Record) -> str:
    """Return where the pictures are not of the profile's size, for the head of the page."""
    size, usual = record.settings["method"]["size"], resolve_settings("ssmfar", record.profile)[0]
    return "" if size == usual.model_dump()["size"] else f", on pictures of {size} pixels"


def _untested(arms: Arms) -> list[str]:
    """Say which parts of the method these runs never used."""
    used = [h for (_, _, way), arm in arms.items() if way == "pseudo" for h in arm.histories]
    believed = max((h[BELIEVED].max() for h in used if BELIEVED in h), default=0.0)
    thresholds = [h.filter(like=THRESHOLD).to_numpy().max() for h in used if any(h.filter(like=THRESHOLD))]
    if believed > 0:
        return []
    text = "**No pseudo-label was believed in any of these runs"
    if thresholds and max(thresholds) < FLOOR + 1e-6:
        text += f" and no threshold left its floor of {FLOOR:g}"
    return [
        f"{text}.**",
        "In so few epochs the network is never sure enough. What unlabelled rows do here, they do through",
        "the consistency loss and the other heads: pseudo-labels and adaptive thresholds are not tested.",
        "",
    ]


def _line(fraction: float, of: dict[str, Arm | None]) -> str:
    shown = next(arm for arm in of.values() if arm is not None)
    without, used, oracle = (of[way] for way in WAYS)
    numbers = sorted({len(arm.records) for arm in of.values() if arm is not None})
    seeds = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    cells = [f"{100 * fraction:g} %", str(shown.labelled), f"{shown.seen:.0f} x", seeds]
    cells += [*_score(without), *_score(used), "-" if used is None else _believed(used), *_score(oracle)]
    hides = bool(shown.records[0].rows.get("unlabelled"))
    cells += [_change(arm, without) if hides else "no such rows" for arm in (used, oracle)]
    return f"| {' | '.join(cells)} |"


def _score(arm: Arm | None) -> tuple[str, str]:
    return ("-", "-") if arm is None else (percent(arm.uar), points(arm.sd))


def _change(one: Arm | None, other: Arm | None) -> str:
    if one is None or other is None:
        return "-"
    change = difference(one, other)
    text = f"{100 * change.value:+.1f}"
    if change.interval is None:
        return text
    return f"{text} [{100 * change.interval.low:+.1f}, {100 * change.interval.high:+.1f}]"


def _believed(arm: Arm) -> str:
    shares = [h[BELIEVED].iloc[-1] for h in arm.histories if BELIEVED in h]
    return f"{100 * float(np.mean(shares)):.0f} %" if shares else "-"


def draw(arms: Arms, path: Path) -> None:
    """Draw the thresholds of the first seed over epochs, one panel per dataset and label fraction."""
    panels = {
        (dataset, fraction): arm.histories[0]
        for (dataset, fraction, way), arm in arms.items()
        if way == "pseudo" and any(name.startswith(THRESHOLD) for name in arm.histories[0].columns)
    }
    datasets = list(dict.fromkeys(dataset for dataset, _ in panels)) or ["none"]
    fractions = sorted({fraction for _, fraction in panels}) or [1.0]
    figure = new_figure(2.3 * len(fractions) + 1.4, 2.2 * len(datasets) + 0.5)
    axes: Any = figure.subplots(len(datasets), len(fractions), squeeze=False, sharex=True, sharey=True)
    named: dict[str, Any] = {}
    for line, dataset in enumerate(datasets):
        for column, fraction in enumerate(fractions):
            axis, history = axes[line][column], panels.get((dataset, fraction))
            axis.set_title(f"{dataset}, {100 * fraction:g} % of labels", fontsize=8)
            if history is None:
                axis.text(0.5, 0.5, "no unlabelled rows", ha="center", transform=axis.transAxes, fontsize=8)
                continue
            classes = sorted(c for c in history.columns if c.startswith(THRESHOLD))
            for place, name in enumerate(classes):
                label = name.removeprefix(THRESHOLD)
                (named[label],) = axis.plot(history["epoch"] + 1, history[name], color=f"C{place}", lw=1.2)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("threshold", fontsize=9)
    kind = "SYNTHETIC DATA" if next(iter(arms.values())).records[0].data_kind == "synthetic" else "real data"
    figure.suptitle(f"ssmfar: threshold per class, first seed ({kind})", fontsize=9)
    figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=7, frameon=False)
    save_figure(figure, path)


def main(arguments: list[str] | None = None) -> None:
    """Write the page and the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-evidence"))
    parser.add_argument("--sweep", default=SWEEP)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    given = parser.parse_args(arguments)
    store = Store(given.runs_dir)
    sweep = read_sweep(given.sweep)
    arms = read_arms(store, sweep)
    draw(arms, given.out / FIGURE)
    write_text(given.out / PAGE, page(arms, sweep))
    print(f"wrote {given.out / PAGE} and {given.out / FIGURE}")


if __name__ == "__main__":
    main()
