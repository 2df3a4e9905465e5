"""`fer-bench audit`: what the field's bad habits add to a score."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_bench.cli.options import WorkOptions, announce_roots, say, takes_work_options
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fer_bench.cli.terminal import SweepDisplay
    from fer_bench.runs.plan import PlannedRun

EPILOG = (
    "Examples: fer-bench audit --dataset oulu; fer-bench audit -m gcn -d ckplus --data-root ~/datasets; "
    "fer-bench audit -d rafdb --habit leaked-test --habit best-seed --seed 0 --seed 1; "
    "What was measured: fer-bench docs audit"
)
SEEDS = [0, 1, 2]


@takes_work_options
def audit(
    dataset: Annotated[
        list[str], typer.Option("--dataset", "-d", help="Dataset to train on and to test on.")
    ],
    options: WorkOptions,
    method: Annotated[str, typer.Option("--method", "-m", help="Method, with a grid's settings.")] = "erm",
    habit: Annotated[
        list[str] | None,
        typer.Option(
            "--habit",
            help="Only this habit; default all: frame-folds, peek, augment-first, flip-test, leaked-test, "
            "bgr, class-order, train9, best-seed.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the table as a markdown page.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many runs it takes.")] = False,
) -> None:
    """Score one method on the same data under bad habits: how many points does each buy?

    Frames instead of people in the folds, the epoch or the seed chosen on the test rows, test pictures or
    their augmented copies in training, no validation part, a flip at test time, exchanged colours, another
    dataset's class order. All folds are tested, with seeds 0, 1 and 2 unless --seed says otherwise. Runs go
    to folders of their own below --runs-dir (honest/, frame-folds/, ...), which no board mixes with others.
    """
    from fer_bench.audit.habits import chosen_habits
    from fer_bench.audit.measure import Audit
    from fer_bench.audit.report import document, page, row
    from fer_bench.cli.terminal import Preparation, SweepDisplay
    from fer_bench.distribution import version
    from fer_bench.files import write_text
    from fer_bench.runs.sweepfile import check_sweep
    from fer_bench.workspace.sources import find_roots

    for name, given in (("--fold", options.fold), ("--targets", options.targets)):
        if given is not None:
            raise UsageError("the audit tests every fold of the dataset itself", value=name)
    habits = chosen_habits(habit or ())
    changes = {"seeds": SEEDS, **options.changes(), "methods": [method], "datasets": dataset}
    config = options.added_to(check_sweep(changes))
    roots = find_roots(options.data_root, follow_links=options.follow_links)
    quiet = options.as_json
    announce_roots(roots, quiet=quiet)
    with closing(Preparation(quiet=quiet)) as display:
        opened = Audit(
            config, habits, roots, options.run_options("audit"), options.runs_dir, announce=display
        )
    if dry_run:
        for arm, planned in opened.plans.items():
            typer.echo(f"{arm}: {len(planned.runs)} runs in {options.runs_dir / arm}")
        return

    def show(to_do: Sequence[PlannedRun], finished: int) -> SweepDisplay:
        if finished:
            say(f"{finished} of {finished + len(to_do)} run(s) are finished already", quiet=quiet)
        return SweepDisplay(to_do, quiet=quiet)

    opened.train(show)
    found = opened.measure(options.device or "auto")
    if quiet:
        typer.echo(json.dumps([document(one) for one in found], indent=2, allow_nan=False))
    else:
        for one in found:
            title, without, with_it, buys = row(one)
            scores = f"{without} -> {with_it}: " if with_it else ""
            typer.echo(f"{one.dataset}: {title}: {scores}{buys}")
    if out is not None:
        text = page(
            found,
            method=method,
            kind=opened.kind,
            profile=opened.profile,
            command=shlex.join(["fer-bench", *sys.argv[1:]]),
            version=version(),
        )
        write_text(out, text)
        say(f"wrote {out}", quiet=quiet)
