"""Write what the stored runs of gcn say into its README: a table, and two figures in docs/figures.

    fer-bench sweep gcn_evidence --runs-dir runs-evidence
    python benchmarks/evidence_gcn.py --runs-dir runs-evidence

Nothing is trained here, and the same store gives the same bytes. The models are scored on drawn people whom
no fold has (`gcn_people.py`); these are drawn on first use. With `--sweep FILE` the variants of that sweep
are printed as a table instead, on real data with the paper's claims beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gcn_arms import Arm, Arms, read_arms
from gcn_figures import Faces, draw_gains, draw_references
from gcn_people import SEEDS, Beside, People, answers_of, faces_drawn, mean_errors, model_of, people_of
from readme_section import figure_table, write_section
from sweep_runs import refuse_empty

from fer_bench.config import SweepConfig
from fer_bench.evaluation.estimates import Estimate, estimate
from fer_bench.evaluation.intervals import Value, difference
from fer_bench.leaderboard.markup import percent, signed_percent, with_interval
from fer_bench.methods.base import Method
from fer_bench.methods.claims import claims_of
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.sweepfile import SWEEPS, read_sweep

ROOT = Path(__file__).parents[1]
README = ROOT / "fer_bench" / "methods" / "gcn" / "README.md"
FIGURES = ROOT / "docs" / "figures"
SECTION = "gcn_evidence"
PLAIN, SCRATCH, PRETRAINED, CONTROL, ENROLLED = (
    "plain encoder",
    "gcn from scratch",
    "gcn pre-trained",
    "control",
    "gcn enrolled",
)
"""Variants of the sweep."""
ROWS: tuple[tuple[str, str, Beside], ...] = (
    (PLAIN, PLAIN, "generated"),
    (SCRATCH, SCRATCH, "generated"),
    ("control: plain encoder, started from the generator's encoder", CONTROL, "generated"),
    (PRETRAINED, PRETRAINED, "generated"),
    (f"{ENROLLED}: own neutral frame", ENROLLED, "own"),
    (f"{ENROLLED}: neutral frame of another person", ENROLLED, "other"),
    (f"{ENROLLED}: generated reference", ENROLLED, "generated"),
)
"""Lines of the table: the name, the variant, and what its faces are compared with."""
AGAINST = (PLAIN, ROWS[2][0])
"""Lines that the others are compared with."""
Models = dict[tuple[int, int], Method]


def _any_record(arms: Arms) -> Record:
    """Return a run of a table, for what all of them have in common."""
    return next(iter(next(iter(arms.values())).values())).first


def _banner(arms: Arms) -> str:
    first = _any_record(arms)
    if first.data_kind == "synthetic":
        drawn = first.generator or {}
        return (
            f"**SYNTHETIC DATA** (drawn faces, size {drawn.get('size')}; this says nothing about real ones), "
            f"profile {first.profile}."
        )
    return f"Real data, profile {first.profile}."


def variants_table(store: Store, arms: Arms, sweep: SweepConfig) -> str:
    """Return the paper's table: variants down, datasets across, UAR and accuracy in each cell."""
    claimed = _claims(arms)
    columns = [(dataset, claim) for dataset in arms for claim in ((False, True) if claimed else (False,))]
    rows = []
    for name in sweep.variants:
        cells = []
        for dataset, claim in columns:
            arm = arms[dataset].get(name)
            if claim:
                cells.append(claimed.get((dataset, name.partition(" ")[0]), "-"))
            elif arm is None:
                cells.append("-")
            else:
                scores = arm.estimate(store).values
                done = len({fold for fold, _ in arm.records})
                part = "" if done == arm.folds else f", {done} of {arm.folds} folds"
                cells.append(f"{100 * scores['uar'].value:.1f} ({100 * scores['accuracy'].value:.1f}{part})")
        rows.append((name, *cells))
    header = (
        "variant",
        *(f"{dataset}: paper (accuracy)" if claim else dataset for dataset, claim in columns),
    )
    return "\n".join([_banner(arms), "", *figure_table(header, rows)])


def _claims(arms: Arms) -> dict[tuple[str, str], str]:
    """Return the paper's numbers by dataset and variant; none beside synthetic data or other profiles."""
    first = _any_record(arms)
    found = claims_of("gcn")
    if found is None or (first.data_kind, first.profile) != ("real", "paper"):
        return {}
    same = [c for c in found.claims if c.source == (c.target,)]
    return {(c.target, c.variant or PLAIN.partition(" ")[0]): c.value for c in same}


def score(models: Mapping[str, Models], people: Sequence[People]) -> dict[str, Estimate]:
    """Return the scores of every line of the table, averaged over folds and then over seeds."""
    found = {}
    for name, variant, beside in ROWS:
        if mine := models.get(variant):
            given = [answers_of(method, people, beside) for method in mine.values()]
            seeds = [seed for _, seed in mine]
            found[name] = estimate(given, "oulu", seeds=seeds, training=variant)
    return found


def evidence_table(
    arms: Mapping[str, Arm],
    scores: Mapping[str, Estimate],
    errors: Mapping[str, str],
) -> str:
    """Return the table: UAR of every line, its differences from the encoders alone, its generation error.

    Args:
        arms: The runs by variant.
        scores: What `score` returned.
        errors: Generation error by variant, as text.
    """
    rows = []
    for name, variant, beside in ROWS:
        if name not in scores:
            continue
        arm, found = arms[variant], scores[name]
        uar = found.values["uar"]
        known = [scores.get(other) if other != name else None for other in AGAINST]
        others = [None if other is None else other.values["uar"] for other in known]
        rows.append(
            (
                name,
                f"{arm.seeds()} x {len({fold for fold, _ in arm.records})}",
                percent(uar),
                f"{100 * found.values['accuracy'].value:.1f}",
                *("" if other is None else _against(uar, other) for other in others),
                errors.get(variant, "") if beside == "generated" else "",
                f"{(arm.first.multiply_adds or 0) / 1e6:.1f} M",
            )
        )
    header = ("", "seeds x folds", "UAR", "accuracy", "minus plain", "minus control")
    any_score = next(iter(scores.values()))
    tested = f"{any_score.n:,} pictures of {any_score.units} people whom no fold has."
    table = figure_table((*header, "generation error", "multiply-adds"), rows)
    return "\n".join([f"{_banner({'oulu': dict(arms)})} {tested}", "", *table])


def _against(first: Value, second: Value) -> str:
    found = difference(first, second)
    if found is None:
        return f"{100 * (first.value - second.value):+.1f}"
    return with_interval(found, signed_percent)


def only(arm: Arm, common: set[tuple[int, int]]) -> Arm:
    """Return the runs of the folds and seeds that all variants have."""
    return replace(arm, records={key: record for key, record in arm.records.items() if key in common})


def main(arguments: list[str] | None = None) -> None:
    """Write what the store has runs for, and say what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-evidence"))
    parser.add_argument("--sweep", default=None, help="print the variants of this sweep alone")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--people", type=int, nargs="+", default=SEEDS, help="seeds of the tested people")
    given = parser.parse_args(arguments)
    store = Store(given.runs_dir)
    sweep = read_sweep(given.sweep or SWEEPS / f"{SECTION}.yaml")
    arms = read_arms(store, sweep)
    refuse_empty(arms, store, str(given.sweep or SECTION))
    if given.sweep is not None:
        print(variants_table(store, arms, sweep))
        return
    (mine,) = arms.values()
    common = set.intersection(*({*arm.records} for arm in mine.values()))
    mine = {name: only(arm, common) for name, arm in mine.items()}
    people = people_of("oulu", next(iter(mine.values())).first.protocol, given.people)
    models = {
        name: {key: model_of(store, record) for key, record in arm.records.items()}
        for name, arm in mine.items()
    }
    scores = score(models, people)
    found = {name: mean_errors(each, people[0]) for name, each in models.items()}
    shown = {name: f"{each.generated:.4f}" for name, each in found.items() if each is not None}
    copied = next(each.copied for each in found.values() if each is not None)
    table = evidence_table(mine, scores, shown)
    text = f"{table}\n\nGeneration error of the input itself in the place of a reference: {copied:.4f}."
    write_section(given.readme, SECTION, text)
    points = {
        name: (found[name].generated, scores[name].values["uar"])  # type: ignore[union-attr]
        for name in (SCRATCH, PRETRAINED)
        if name in scores
    }
    own = ROWS[4][0]
    points |= {own: (0.0, scores[own].values["uar"])} if own in scores else {}
    plain = {name: scores[name].values["uar"].value for name in AGAINST if name in scores}
    draw_gains(points, plain, given.figures / "gcn-generation-error.png")
    pictures: dict[str, Faces] = {}
    for name in (SCRATCH, PRETRAINED):
        drawn = faces_drawn(next(iter(models[name].values())), people[0]) if name in models else None
        pictures |= {} if drawn is None else {name.removeprefix("gcn "): drawn}
    draw_references(pictures, next(iter(mine.values())).first.classes, given.figures / "gcn-references.png")
    print(f"wrote {SECTION} to {given.readme}, and two figures to {given.figures}")


if __name__ == "__main__":
    main()
