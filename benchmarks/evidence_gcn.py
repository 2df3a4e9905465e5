"""Write what the stored runs of gcn say into its README: two tables, and three figures in docs/figures.

    fer-bench sweep gcn_evidence --runs-dir runs-evidence
    fer-bench sweep gcn_people --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_evidence --people 80 --seed 0 --seed 1 --runs-dir runs-evidence
    python benchmarks/evidence_gcn.py --runs-dir runs-evidence

Nothing is trained here, and the same store gives the same bytes. The models are scored on drawn people whom
no fold has (`gcn_people.py`); these are drawn on first use. With `--sweep FILE` the variants of that sweep
are printed as a table instead, on real data with the paper's claims beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from gcn_arms import Arm, Arms, read_arms
from gcn_figures import Faces, draw_gains, draw_people, draw_references
from gcn_gains import curves, gains_table, read_points
from gcn_people import SEEDS, People, faces_drawn, mean_errors, people_of
from gcn_scores import AGAINST, PLAIN, PRETRAINED, ROWS, SCRATCH, above, common_runs, score, trained_models
from readme_section import figure_table, write_section
from sweep_runs import refuse_empty

from fer_bench import allocator
from fer_bench.config import SweepConfig
from fer_bench.evaluation.estimates import Estimate
from fer_bench.leaderboard.markup import percent
from fer_bench.methods.claims import claims_of
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.sweepfile import SWEEPS, read_sweep

ROOT = Path(__file__).parents[1]
README = ROOT / "fer_bench" / "methods" / "gcn" / "README.md"
FIGURES = ROOT / "docs" / "figures"
SECTION, PEOPLE_SECTION = "gcn_evidence", "gcn_people"


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
                *("" if other is None else above(uar, other) for other in others),
                errors.get(variant, "") if beside == "generated" else "",
                f"{(arm.first.multiply_adds or 0) / 1e6:.1f} M",
            )
        )
    header = ("", "seeds x folds", "UAR", "accuracy", "minus plain", "minus control")
    any_score = next(iter(scores.values()))
    tested = f"{any_score.n:,} pictures of {any_score.units} people whom no fold has."
    table = figure_table((*header, "generation error", "multiply-adds"), rows)
    return "\n".join([f"{_banner({'oulu': dict(arms)})} {tested}", "", *table])


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
    parser.add_argument("--size", default="quick", help="size of the stand-in that was trained on")
    given = parser.parse_args(arguments)
    allocator.keep_memory()  # as runs do: models take minutes to answer
    store = Store(given.runs_dir)
    sweep = read_sweep(given.sweep or SWEEPS / f"{SECTION}.yaml")
    arms = read_arms(store, sweep, None if given.sweep else given.size)
    refuse_empty(arms, store, str(given.sweep or SECTION))
    if given.sweep is not None:
        print(variants_table(store, arms, sweep))
        return
    mine = common_runs(arms["oulu"])
    people = people_of("oulu", next(iter(mine.values())).first.protocol, given.people)
    write_evidence(store, mine, people, given.readme, given.figures)
    print(f"wrote {SECTION} to {given.readme}, and two figures to {given.figures}")
    points = read_points(store, sweep, read_sweep(SWEEPS / f"{PEOPLE_SECTION}.yaml"), people, given.size)
    if len(points) < 2:
        print(f"no runs with other numbers of people: {PEOPLE_SECTION} was not trained")
        return
    banner = f"{_banner({'oulu': points[0].arms})} UAR in % on the same people as above."
    write_section(given.readme, PEOPLE_SECTION, f"{banner}\n\n{gains_table(points)}")
    draw_people(curves(points), given.figures / "gcn-people.png")
    print(f"wrote {PEOPLE_SECTION} and its figure")


def write_evidence(
    store: Store, arms: Mapping[str, Arm], people: Sequence[People], readme: Path, figures: Path
) -> None:
    """Write the table of all variants, and the figures of errors and of references."""
    models = trained_models(store, arms)
    scores = score(models, people)
    found = {name: mean_errors(each, people[0]) for name, each in models.items()}
    drawn = {name: each.generated for name, each in found.items() if each is not None}
    shown = {name: f"{error:.4f}" for name, error in drawn.items()}
    copied = next(each.copied for each in found.values() if each is not None)
    table = evidence_table(arms, scores, shown)
    text = f"{table}\n\nGeneration error of the input itself in the place of a reference: {copied:.4f}."
    write_section(readme, SECTION, text)
    points = {
        name: (drawn[name], scores[name].values["uar"]) for name in (SCRATCH, PRETRAINED) if name in scores
    }
    own = ROWS[4][0]
    points |= {own: (0.0, scores[own].values["uar"])} if own in scores else {}
    plain = {name: scores[name].values["uar"].value for name in AGAINST if name in scores}
    draw_gains(points, plain, figures / "gcn-generation-error.png")
    pictures: dict[str, Faces] = {}
    for name in (SCRATCH, PRETRAINED):
        drawn = faces_drawn(models[name][0].model, people[0]) if name in models else None
        pictures |= {} if drawn is None else {name.removeprefix("gcn "): drawn}
    draw_references(pictures, next(iter(arms.values())).first.classes, figures / "gcn-references.png")


if __name__ == "__main__":
    main()
