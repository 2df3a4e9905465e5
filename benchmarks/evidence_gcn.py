"""Write what the stored runs of gcn say into its README: tables, and two figures in docs/figures.

    python benchmarks/sweep_synthetic.py gcn_evidence --size full --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_evidence_mmi --size full --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_references --size full --runs-dir runs-evidence
    fer-bench sweep gcn_adapted --runs-dir runs-evidence
    fer-bench sweep gcn_variants --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_defaults --population development --runs-dir runs-development
    python benchmarks/evidence_gcn.py --runs-dir runs-evidence --development runs-development

Nothing is trained here, and the same stores give the same bytes. A table is left as it is while its runs are
absent. With `--sweep FILE` the table of variants of that sweep is printed instead, beside real data with the
paper's claims.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from gcn_arms import Arm, Arms, difference, read_arms
from gcn_figures import Faces, draw_errors, draw_references, errors_of, faces_of
from readme_section import figure_table, write_section
from sweep_runs import refuse_empty

from fer_bench.config import SweepConfig
from fer_bench.errors import StoreError
from fer_bench.evaluation.statistics import mean_and_sd
from fer_bench.leaderboard.markup import percent, points
from fer_bench.methods.claims import claims_of
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.sweepfile import SWEEPS, read_sweep
from fer_bench.workspace.sources import DataRoots, find_roots
from fer_bench.workspace.workspace import Workspace

ROOT = Path(__file__).parents[1]
README = ROOT / "fer_bench" / "methods" / "gcn" / "README.md"
FIGURES = ROOT / "docs" / "figures"
PLAIN = "plain encoder"
FULL = ("gcn_evidence", "gcn_evidence_mmi", "gcn_references")
"""Sweeps on a stand-in with as many people as the real datasets have."""


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


def evidence_table(store: Store, arms: Arms) -> str:
    """Return gcn beside the encoder alone, per dataset."""
    rows = []
    for dataset, by_name in arms.items():
        for name, arm in by_name.items():
            found = arm.estimate(store)
            rows.append(
                (
                    dataset,
                    name,
                    str(arm.seeds()),
                    percent(found.values["uar"]),
                    points(found.seed_sd("uar")),
                    f"{100 * found.values['accuracy'].value:.1f}",
                    _size(arm.first),
                    "" if name == PLAIN or PLAIN not in by_name else difference(store, arm, by_name[PLAIN]),
                )
            )
    header = ("dataset", "", "seeds", "UAR", "sd", "accuracy", "parameters, multiply-adds", "gcn - plain")
    return "\n".join([_banner(arms), "", *figure_table(header, rows)])


def _size(record: Record) -> str:
    parameters, work = record.parameters, record.multiply_adds
    return f"{parameters or 0:,}, {(work or 0) / 1e6:.1f} M"


def adapted_table(store: Store, arms: Arms) -> str:
    """Return what hiding the pairs does, per dataset."""
    rows = []
    for dataset, by_name in arms.items():
        for name, arm in by_name.items():
            found = arm.estimate(store)
            marked = "yes" if arm.first.adapted else "no"
            others = [other for other in (PLAIN, "adapted") if other != name and name != PLAIN]
            against = {o: difference(store, arm, by_name[o]) for o in others if o in by_name}
            rows.append(
                (
                    dataset,
                    name,
                    marked,
                    str(arm.seeds()),
                    percent(found.values["uar"]),
                    points(found.seed_sd("uar")),
                    against.get(PLAIN, ""),
                    against.get("adapted", ""),
                )
            )
    header = ("dataset", "", "marked adapted", "seeds", "UAR", "sd", "minus plain encoder", "minus adapted")
    return "\n".join([_banner(arms), "", *figure_table(header, rows)])


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


def _workspace_of(arms: Arms, data_root: str | None) -> Workspace:
    """Return the data of these runs: those of the data root, or the stand-in of their size."""
    drawn = _any_record(arms).generator
    if drawn is None or data_root:
        return Workspace(find_roots(data_root))
    return Workspace(DataRoots(None, {}, "the synthetic stand-in"), size=drawn["size"])


def references_table(store: Store, arms: Arms, drawn: Mapping[str, Faces]) -> str:
    """Return how far generated references are from the true ones, beside the inputs themselves.

    Args:
        store: Where the runs are.
        arms: The runs of one dataset.
        drawn: What they drew, by variant.
    """
    rows = []
    for dataset, by_name in arms.items():
        for name, arm in by_name.items():
            errors = errors_of(drawn[name])
            uar = arm.estimate(store).values["uar"].value
            rows.append(
                (dataset, name, f"{errors.generated:.4f}", f"{errors.copied:.4f}", f"{100 * uar:.1f}")
            )
    header = ("dataset", "generator", "error of the generated", "error of the input", "UAR")
    return "\n".join([_banner(arms), "", *figure_table(header, rows)])


def defaults_table(arms: Arms) -> str:
    """Return validation UAR of every alternative and its difference from the default, over seeds.

    Raises:
        StoreError: The runs are not of the development population.
    """
    rows = []
    for dataset, by_name in arms.items():
        for name, arm in by_name.items():
            if (arm.first.generator or {}).get("population") != "development":
                raise StoreError(
                    "defaults are chosen on the development population",
                    value=str(arm.first.generator),
                    hint="python benchmarks/sweep_synthetic.py gcn_defaults --population development "
                    "--runs-dir runs-development",
                )
            mean, sd = mean_and_sd(list(_validation(arm).values()))
            against, spread = "", "-"
            if "default" in by_name and name != "default":
                base, mine = _validation(by_name["default"]), _validation(arm)
                moved = [mine[key] - base[key] for key in mine if key in base]
                if moved:
                    centre, sd_moved = mean_and_sd(moved)
                    against, spread = f"{100 * centre:+.1f}", points(sd_moved)
            rows.append((name, dataset, str(arm.seeds()), f"{100 * mean:.1f}", points(sd), against, spread))
    header = ("alternative", "dataset", "seeds", "validation UAR", "sd", "minus default", "sd of that")
    banner = f"{_banner(arms)} Development population, validation rows only."
    return "\n".join([banner, "", *figure_table(header, rows)])


def _validation(arm: Arm) -> dict[tuple[int, int], float]:
    found = {key: record.selection["val"].val_uar for key, record in arm.records.items()}
    return {key: value for key, value in found.items() if value is not None}


def main(arguments: list[str] | None = None) -> None:
    """Write what the stores have runs for, and say what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-evidence"))
    parser.add_argument("--development", type=Path, default=Path("runs-development"))
    parser.add_argument("--sweep", default=None, help="print the variants of this sweep alone")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    given = parser.parse_args(arguments)
    store, development = Store(given.runs_dir), Store(given.development)
    if given.sweep is not None:
        sweep = read_sweep(given.sweep)
        arms = read_arms(store, sweep)
        refuse_empty(arms, store, str(given.sweep))
        print(variants_table(store, arms, sweep))
        return
    sweeps = {name: read_sweep(SWEEPS / f"{name}.yaml") for name in SECTIONS}
    sweeps |= {name: read_sweep(SWEEPS / f"{name}.yaml") for name in ("gcn_evidence_mmi", "gcn_references")}
    found = {
        name: read_arms(
            development if name == "gcn_defaults" else store,
            sweep,
            size=None if given.data_root else ("full" if name in FULL else "quick"),
        )
        for name, sweep in sweeps.items()
    }
    for name, arms in found.items():
        if not arms:
            print(f"missing: no finished run of the sweep {name}")
    found["gcn_evidence"] |= found.pop("gcn_evidence_mmi")
    for name, write in SECTIONS.items():
        if arms := found[name]:
            write_section(given.readme, name, write(store, arms, sweeps[name]))
            print(f"wrote {name} to {given.readme}")
    if variants := found["gcn_variants"]:
        _draw_errors(store, variants, given.data_root, given.figures)
    if references := found["gcn_references"]:
        _write_references(store, references, given.data_root, given.readme, given.figures)


def _draw_errors(store: Store, arms: Arms, data_root: str | None, figures: Path) -> None:
    workspace = _workspace_of(arms, data_root)
    points = {
        (dataset, name): (
            errors_of(faces_of(store, workspace, arm.first)),
            arm.estimate(store).values["uar"],
        )
        for dataset, by_name in arms.items()
        for name, arm in by_name.items()
        if name != PLAIN
    }
    plain = {
        dataset: by_name[PLAIN].estimate(store).values["uar"].value
        for dataset, by_name in arms.items()
        if PLAIN in by_name
    }
    draw_errors(points, plain, _any_record(arms).data_kind, figures / "gcn-generation-error.png")
    print(f"wrote gcn-generation-error.png to {figures}")


def _write_references(store: Store, arms: Arms, data_root: str | None, readme: Path, figures: Path) -> None:
    workspace = _workspace_of(arms, data_root)
    (by_name,) = arms.values()
    drawn = {name: faces_of(store, workspace, arm.first) for name, arm in by_name.items()}
    write_section(readme, "gcn_references", references_table(store, arms, drawn))
    draw_references(drawn, _any_record(arms), figures / "gcn-references.png")
    print(f"wrote gcn_references to {readme} and gcn-references.png to {figures}")


SECTIONS: dict[str, Callable[[Store, Arms, SweepConfig], str]] = {
    "gcn_evidence": lambda store, arms, _: evidence_table(store, arms),
    "gcn_variants": variants_table,
    "gcn_adapted": lambda store, arms, _: adapted_table(store, arms),
    "gcn_defaults": lambda _, arms, __: defaults_table(arms),
}


if __name__ == "__main__":
    main()
