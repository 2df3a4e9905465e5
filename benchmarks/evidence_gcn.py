"""Write what the stored runs of gcn say into its README: tables, and two figures in docs/figures.

    python benchmarks/sweep_synthetic.py gcn_evidence --size full --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_evidence_mmi --size full --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_references --size full --runs-dir runs-evidence
    fer-bench sweep benchmarks/gcn_adapted.yaml --runs-dir runs-evidence
    fer-bench sweep benchmarks/gcn_variants.yaml --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_defaults --population development --runs-dir runs-development
    python benchmarks/evidence_gcn.py --runs-dir runs-evidence --development runs-development

Nothing is trained here, and the same stores give the same bytes. A table is left as it is while its runs are
absent. With `--sweep FILE` the table of variants of that sweep is printed instead, beside real data with the
paper's claims.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gcn_figures import Faces, draw_errors, draw_references, errors_of, faces_of
from readme_section import figure_table, write_section

from fer_bench import datasets
from fer_bench.config import SweepConfig
from fer_bench.errors import StoreError
from fer_bench.evaluation.estimates import Estimate, answers, difference_interval, estimate
from fer_bench.evaluation.pairs import compare, uar_of
from fer_bench.evaluation.statistics import mean_and_sd
from fer_bench.evaluation.stored import read_scored
from fer_bench.leaderboard.markup import percent, points
from fer_bench.methods.claims import claims_of
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.resolve import resolve_folds, resolve_settings
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.workspace.sources import DataRoots, find_roots
from fer_bench.workspace.workspace import Workspace

FOLDER = Path(__file__).parent
README = FOLDER.parent / "fer_bench" / "methods" / "gcn" / "README.md"
FIGURES = FOLDER.parent / "docs" / "figures"
PLAIN = "plain encoder"
FULL = ("gcn_evidence", "gcn_evidence_mmi", "gcn_references")
"""Sweeps on a stand-in with as many people as the real datasets have."""


@dataclass(frozen=True)
class Arm:
    """The finished runs of one variant on one dataset.

    Attributes:
        dataset: Trained and tested on.
        name: Of the variant in its sweep file.
        records: By fold and seed.
        folds: How many folds the sweep has.
    """

    dataset: str
    name: str
    records: Mapping[tuple[int, int], Record]
    folds: int

    @property
    def first(self) -> Record:
        """The run of the first fold and seed."""
        return self.records[min(self.records)]

    def seeds(self) -> int:
        """Return how many repetitions there are."""
        return len({seed for _, seed in self.records})

    def only(self, other: Arm) -> Arm:
        """Return the runs that have a partner of the same fold and seed in another arm."""
        kept = {key: record for key, record in self.records.items() if key in other.records}
        return Arm(self.dataset, self.name, kept, self.folds)

    def estimate(self, store: Store) -> Estimate:
        """Return the test scores, averaged over folds and then over seeds."""
        given = []
        for record in self.records.values():
            score = record.score(self.dataset, record.headline)
            assert score is not None
            predictions = read_scored(store, record, self.dataset, record.headline)
            given.append(answers(predictions, score.label_set))
        return estimate(given, self.dataset, seeds=[seed for _, seed in self.records])


Arms = dict[str, dict[str, Arm]]
"""By dataset and variant."""


def read_arms(store: Store, sweep: SweepConfig, size: str | None = None) -> Arms:
    """Return the finished runs of a sweep file by what they were set to, whatever code trained them.

    Of several runs with the same settings, fold and seed the last one finished counts.

    Args:
        store: Where the runs are.
        sweep: What was to run.
        size: Leave out synthetic runs on a stand-in of another size.

    Raises:
        StoreError: A damaged record, or synthetic and real data in one store.
    """
    found: Arms = {}
    records = [
        r
        for r in store.records()
        if (r.method, r.profile, r.status) == ("gcn", sweep.profile, "done")
        and (size is None or r.generator is None or r.generator["size"] == size)
    ]
    if len({r.data_kind for r in records}) > 1:
        raise StoreError("the store mixes synthetic and real data", file=store.root)
    for dataset in sweep.datasets:
        card = datasets.get(dataset).card
        protocol, folds = resolve_folds(sweep, dataset, card, sweep.profile)
        for name, change in sweep.variants.items():
            settings, train = resolve_settings("gcn", sweep.profile, (*sweep.set, *change))
            wanted = (dataset, settings.model_dump(mode="json"), train.model_dump(mode="json"))
            mine = sorted(
                (
                    r
                    for r in records
                    if (r.dataset, r.settings["method"], r.settings["train"]) == wanted
                    and r.seed in sweep.seeds
                    and r.protocol == protocol
                    and r.fold in folds
                ),
                key=lambda r: float(r.timing["finished_at"]),
            )
            if mine:
                by_run = {(r.fold, r.seed): r for r in mine}
                found.setdefault(dataset, {})[name] = Arm(
                    dataset, name, dict(sorted(by_run.items())), len(folds)
                )
    return found


def difference(store: Store, first: Arm, second: Arm) -> str:
    """Return how much better the first is, in points of UAR, with its interval and the exchange test.

    Over the folds and seeds that both have; resamples of test units are paired.
    """
    first, second = first.only(second), second.only(first)
    if not first.records:
        return "-"
    one, other = first.estimate(store), second.estimate(store)
    a, b = one.values["uar"], other.values["uar"]
    text = f"{100 * (a.value - b.value):+.1f}"
    found = difference_interval(a, b)
    if found is None:
        return text
    assert one.terms is not None
    assert other.terms is not None
    sums = {"first": uar_of(one.terms, a.value), "second": uar_of(other.terms, b.value)}
    (test,) = compare(sums).tests
    return f"{text} [{100 * found.low:+.1f}, {100 * found.high:+.1f}], p = {test.p:.2g}"


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
    parser.add_argument("--sweep", type=Path, default=None, help="print the variants of this sweep alone")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    given = parser.parse_args(arguments)
    store, development = Store(given.runs_dir), Store(given.development)
    if given.sweep is not None:
        sweep = read_sweep(given.sweep)
        arms = read_arms(store, sweep)
        if not arms:
            raise StoreError(
                "no finished run of this sweep",
                file=store.root,
                hint=f"fer-bench sweep {given.sweep} --runs-dir {given.runs_dir}",
            )
        print(variants_table(store, arms, sweep))
        return
    sweeps = {name: read_sweep(FOLDER / f"{name}.yaml") for name in SECTIONS}
    sweeps |= {name: read_sweep(FOLDER / f"{name}.yaml") for name in ("gcn_evidence_mmi", "gcn_references")}
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
            print(f"missing: no finished run of benchmarks/{name}.yaml")
    found["gcn_evidence"] |= found.pop("gcn_evidence_mmi")
    for name, write in SECTIONS.items():
        if arms := found[name]:
            write_section(given.readme, name, write(store, arms, sweeps[name]))
            print(f"wrote {name} to {given.readme}")
    if variants := found["gcn_variants"]:
        workspace = _workspace_of(variants, given.data_root)
        points = {
            (dataset, name): (
                errors_of(faces_of(store, workspace, arm.first)),
                arm.estimate(store).values["uar"],
            )
            for dataset, by_name in variants.items()
            for name, arm in by_name.items()
            if name != PLAIN
        }
        plain = {
            dataset: by_name[PLAIN].estimate(store).values["uar"].value
            for dataset, by_name in variants.items()
            if PLAIN in by_name
        }
        draw_errors(
            points, plain, _any_record(variants).data_kind, given.figures / "gcn-generation-error.png"
        )
        print(f"wrote gcn-generation-error.png to {given.figures}")
    if references := found["gcn_references"]:
        workspace = _workspace_of(references, given.data_root)
        (by_name,) = references.values()
        drawn = {name: faces_of(store, workspace, arm.first) for name, arm in by_name.items()}
        write_section(given.readme, "gcn_references", references_table(store, references, drawn))
        draw_references(drawn, _any_record(references), given.figures / "gcn-references.png")
        print(f"wrote gcn_references to {given.readme} and gcn-references.png to {given.figures}")


SECTIONS: dict[str, Callable[[Store, Arms, SweepConfig], str]] = {
    "gcn_evidence": lambda store, arms, _: evidence_table(store, arms),
    "gcn_variants": variants_table,
    "gcn_adapted": lambda store, arms, _: adapted_table(store, arms),
    "gcn_defaults": lambda _, arms, __: defaults_table(arms),
}


if __name__ == "__main__":
    main()
