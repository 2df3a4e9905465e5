"""The command line. Torch is imported only inside a command, so that help answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fer_bench import __version__
from fer_bench.cli.data import check_app, data_app
from fer_bench.cli.importing import EPILOG, import_
from fer_bench.cli.options import (
    AsJson,
    CropOption,
    DataRoot,
    FacesOption,
    Jobs,
    announce_roots,
    check_name,
    find_roots_of,
    say,
)
from fer_bench.cli.pretrain import register_pretrain
from fer_bench.cli.run import (
    announce_profiles,
    choose_launcher,
    exit_by,
    open_workspace,
    print_record,
    read_folds,
    read_protocols,
    read_targets,
    work_off,
)
from fer_bench.cli.runs import (
    Compile,
    Devices,
    Exclude,
    LauncherOption,
    LauncherSet,
    Nodes,
    RunsPerGpu,
    Tensorboard,
    Tf32,
    Timeout,
    Wandb,
    print_plan,
    register_runs,
)
from fer_bench.cli.scores import register
from fer_bench.errors import DataError, FerBenchError, UsageError

app = typer.Typer(
    name="fer-bench",
    help="A benchmark suite for facial expression recognition.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples: fer-bench run --method gcn --dataset oulu; fer-bench sweep benchmarks/quick.yaml; "
    "fer-bench leaderboard",
)
app.add_typer(data_app, name="data")
app.add_typer(check_app, name="check")

RunsDir = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="The run store.")]
ProfileOption = Annotated[
    Literal["quick", "paper"] | None,
    typer.Option("--profile", help="Default: quick for synthetic data, paper for real data."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to train and test.")
]
PrecisionOption = Annotated[
    Literal["auto", "32", "bf16-mixed", "16-mixed", "bf16-true"] | None,
    typer.Option("--precision", help="Default auto: bf16-mixed on GPUs that have it, else 32."),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command(
    epilog="Examples: fer-bench run --method gcn --dataset oulu; "
    "fer-bench run --method resemotenet --dataset fer2013 --data-root ~/datasets --seed 1; "
    "fer-bench run --method gcn --dataset ckplus --fold all --set method.lr=1e-3 --json"
)
def run(
    method: Annotated[str, typer.Option("--method", "-m", help="Method, see `fer-bench list methods`.")],
    dataset: Annotated[
        str,
        typer.Option("--dataset", "-d", help="Dataset to train on, a union as ckplus+oulu, or folder:PATH."),
    ],
    data_root: DataRoot = None,
    runs_dir: RunsDir = Path("runs"),
    profile: ProfileOption = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Protocol, see `fer-bench data describe`.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option("--fold", help="Fold number or all; default: the profile's.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Repetition: initialisation, order, augmentation."),
    ] = 0,
    targets: Annotated[str, typer.Option("--targets", help="all, none, or names with commas.")] = "all",
    max_epochs: Annotated[
        int | None, typer.Option("--max-epochs", min=1, help="Instead of the profile's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as method.lr=1e-3."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    exclude: Exclude = None,
    crop: CropOption = None,
    faces: FacesOption = None,
    jobs: Jobs = None,
    devices: Devices = None,
    nodes: Nodes = None,
    tf32: Tf32 = None,
    compile: Compile = None,
    launcher: LauncherOption = "local",
    launcher_set: LauncherSet = None,
    runs_per_gpu: RunsPerGpu = 1,
    timeout: Timeout = None,
    wandb: Wandb = "off",
    tensorboard: Tensorboard = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete what is stored of this run and start anew.")
    ] = False,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep optimiser state and the last checkpoint.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a method on a dataset, test it there and on every other dataset, and store the result.

    Exit codes: 0 done, 1 the run failed, 2 wrong usage or data. A finished run is not repeated; a killed one
    resumes. With --json one record is printed, or {"runs": [...]} when there are several folds.
    """
    from fer_bench import datasets, methods
    from fer_bench.data.crops.choice import read_crops
    from fer_bench.datasets import source_name

    check_name(method, methods.names(), "method", "fer-bench list methods")
    name, roots = find_roots_of(dataset, data_root)
    if "+" in name:
        name = source_name(name)
    else:
        check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
    wanted = read_targets(targets)
    announce_roots(roots, quiet=as_json)

    from fer_bench.runs.launchers import check_nodes
    from fer_bench.runs.plan import default_profile, folds_to_run, plan_run, resolve_device, resolve_settings

    resolve_settings(method, profile or "quick", settings or (), max_epochs)  # refuse typing errors at once
    work = choose_launcher(launcher, launcher_set, jobs, runs_per_gpu, timeout, wandb, tensorboard, None)
    check_nodes(launcher, devices or 1, nodes or 1)
    place = resolve_device(device, elsewhere=launcher != "local")
    crops = read_crops(crop or (), faces, datasets.names())
    with open_workspace(roots, exclude, crops, quiet=as_json) as workspace:
        chosen = profile or default_profile(workspace.source(name).kind)
        protocol_name, folds = folds_to_run(workspace.source(name).dataset.card, protocol, chosen, fold)
        planned = [
            plan_run(
                workspace,
                method=method,
                dataset=name,
                protocol=protocol_name,
                fold=number,
                seed=seed,
                profile=chosen,
                overrides=settings or (),
                max_epochs=max_epochs,
                targets=wanted,
                device=place,
                precision=precision or "auto",
                tf32=bool(tf32),
                compile=bool(compile),
                devices=devices or 1,
                nodes=nodes or 1,
                keep_checkpoints=keep_checkpoints,
            )
            for number in folds
        ]
        if profile is None:
            announce_profiles(planned, quiet=as_json)
        if workspace.source(name).kind == "synthetic" and not roots.is_synthetic:
            say("SYNTHETIC DATA: the data root holds drawn faces, no photographs", quiet=as_json)
        records, all_well = work_off(planned, workspace, runs_dir, work, force=force, quiet=as_json)
    if as_json:
        documents = [record.model_dump(mode="json") for record in records]
        typer.echo(
            json.dumps(
                documents[0] if len(documents) == 1 else {"runs": documents}, indent=2, allow_nan=False
            )
        )
    else:
        for record in records:
            print_record(record, runs_dir)
    exit_by(records, all_well)


@app.command(
    epilog="Examples: fer-bench sweep benchmarks/quick.yaml; "
    "fer-bench sweep benchmarks/paper.yaml --data-root ~/datasets --dry-run"
)
def sweep(
    file: Annotated[
        Path | None, typer.Argument(help="Sweep file, see benchmarks/; none when the options say it all.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="Instead of the file's: a method or a grid, gcn[lr=1e-3,1e-4]."),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="Instead of the file's: a source.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", min=0, max=2**31 - 1, help="Instead of the file's.")
    ] = None,
    profile: Annotated[
        Literal["quick", "paper"] | None,
        typer.Option(
            "--profile", help="Instead of the file's; without one, quick for synthetic data, else paper."
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="[DATASET=]NAME",
            help="Instead of the file's: of all sources, or of one.",
        ),
    ] = None,
    fold: Annotated[
        list[str] | None, typer.Option("--fold", help="Instead of the file's: fold numbers, or all.")
    ] = None,
    targets: Annotated[
        str | None, typer.Option("--targets", help="Instead of the file's: all, none, or names with commas.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, after those of the file."),
    ] = None,
    data_root: DataRoot = None,
    runs_dir: RunsDir = Path("runs"),
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    exclude: Exclude = None,
    crop: CropOption = None,
    faces: FacesOption = None,
    jobs: Jobs = None,
    devices: Devices = None,
    nodes: Nodes = None,
    tf32: Tf32 = None,
    compile: Compile = None,
    launcher: LauncherOption = "local",
    launcher_set: LauncherSet = None,
    runs_per_gpu: RunsPerGpu = 1,
    timeout: Timeout = None,
    wandb: Wandb = "off",
    tensorboard: Tensorboard = False,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep optimiser states and last checkpoints.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would run, what is done and about how long it takes."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Work off a sweep: methods x datasets x folds x seeds. What is finished is never repeated.

    Exit codes: 0 all runs are done, 1 a run is not, 2 wrong usage or data.
    """
    from fer_bench import datasets
    from fer_bench.data.crops.choice import read_crops
    from fer_bench.runs.launchers import check_nodes
    from fer_bench.runs.sweep import UNUSABLE, expand, read_sweep
    from fer_bench.runs.sweepfile import check_sweep

    given = {
        "profile": profile,
        "folds": None if fold is None else read_folds(fold),
        "methods": method,
        "datasets": dataset,
        "seeds": seed,
        "targets": None if targets is None else read_targets(targets),
        "devices": devices,
        "nodes": nodes,
        "tf32": tf32,
        "compile": compile,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if file is None and not (method and dataset):
        raise UsageError(
            "a sweep needs a file, or --method and --dataset", hint="fer-bench sweep benchmarks/quick.yaml"
        )
    config = check_sweep(changes) if file is None else read_sweep(file, changes)
    changed = {"set": (*config.set, *(settings or ())), "protocols": read_protocols(protocol or (), config)}
    config, group = config.model_copy(update=changed), config.name
    work = choose_launcher(launcher, launcher_set, jobs, runs_per_gpu, timeout, wandb, tensorboard, group)
    check_nodes(launcher, config.devices, config.nodes)
    _, roots = find_roots_of("", data_root)
    announce_roots(roots, quiet=as_json)

    from fer_bench.results.store import Store
    from fer_bench.runs.plan import resolve_device
    from fer_bench.runs.remaining import match, summaries

    crops = read_crops((*config.crop, *(crop or ())), faces or config.faces, datasets.names())
    with open_workspace(roots, exclude, crops, quiet=as_json) as workspace:
        planned, missing = expand(
            config,
            workspace,
            device=resolve_device(device, elsewhere=launcher != "local"),
            precision=precision,
            keep_checkpoints=keep_checkpoints,
        )
        if "profile" not in config.model_fields_set:
            announce_profiles(planned, quiet=as_json)
        for name, reason in missing.items():
            say(f"missing: {name}: {reason}", quiet=as_json)
        if dry_run:
            store = Store(runs_dir)
            print_plan(match(planned, summaries(store), store, workspace), missing, as_json=as_json)
            return
        records, all_well = work_off(
            planned, workspace, runs_dir, work, force=False, quiet=as_json, skip_damaged=True
        )
    if as_json:
        typer.echo(
            json.dumps({"runs": [r.model_dump(mode="json") for r in records], "missing": missing}, indent=2)
        )
    else:
        done = sum(record.status == "done" for record in records)
        typer.echo(f"{done} of {len(planned)} runs are done in {runs_dir}; next: fer-bench leaderboard")
    if any(reason.startswith(UNUSABLE) for reason in missing.values()):
        raise typer.Exit(2)
    exit_by(records, all_well)


@app.command(epilog="Example: fer-bench leaderboard --runs-dir runs --out leaderboard")
def leaderboard(
    runs_dir: RunsDir = Path("runs"),
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the pages go.")] = Path(
        "leaderboard"
    ),
) -> None:
    """Write the leaderboard from the run store. The same store gives the same bytes."""
    if not runs_dir.is_dir():
        raise UsageError(
            "there is no run store", file=runs_dir, hint="fer-bench run, or make bench, makes one"
        )
    from fer_bench.leaderboard.page import write_leaderboard
    from fer_bench.results.store import Store

    written = write_leaderboard(Store(runs_dir), out)
    typer.echo(f"wrote {len(written)} files; open {out / 'README.md'}")


@app.command(
    name="list", epilog="Examples: fer-bench list methods; fer-bench list datasets; fer-bench list profiles"
)
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets or profiles.")],
    as_json: AsJson = False,
) -> None:
    """List the methods, datasets or profiles."""
    from fer_bench import datasets, methods
    from fer_bench.config import PROFILES

    check_name(what, ("methods", "datasets", "profiles"), "list", "fer-bench list --help")
    if what == "methods":
        rows = [(name, entry.title, entry.source) for name, entry in methods.registry().items()]
    elif what == "datasets":
        cards = [datasets.get(name).card for name in datasets.names()]
        rows = [
            (c.name, c.title, f"{c.setting}, {len(c.emotions)} emotions, {c.default_protocol}") for c in cards
        ]
    else:
        rows = [(name, text, "") for name, text in PROFILES.items()]
    if as_json:
        typer.echo(
            json.dumps([{"name": n, "title": t, "note": s} for n, t, s in rows], indent=2, ensure_ascii=False)
        )
        return
    width = max(len(name) for name, _, _ in rows)
    for name, title, note in rows:
        typer.echo(f"{name:{width}}  {title}{f' ({note})' if note else ''}")


def _face_detector() -> str:
    """Return which detector searches pictures without boxes, and what is better."""
    from fer_bench.data.crops.detectors import yunet_file

    try:
        file = yunet_file()
    except DataError as error:
        return f"{error.message}: {error.file}"
    return str(file) if file else "OpenCV's cascade (weak); YuNet: fer-bench data fetch-detector"


@app.command(epilog="Examples: fer-bench doctor; FER_BENCH_DATA=~/datasets fer-bench doctor")
def doctor(data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """Show versions, devices, the data roots that were found and what is missing.

    Exit code 2 when a data root is given that cannot be used; what can be said is said all the same.
    """
    from fer_bench import datasets
    from fer_bench.files import cache_root, usable_cores
    from fer_bench.runs import environment
    from fer_bench.workspace.sources import available, open_source

    found: list[str] = []
    missing: dict[str, str] = {}
    kinds: set[str] = set()
    problem: FerBenchError | None = None
    origin = ""
    try:
        _, roots = find_roots_of("", data_root)
        origin = roots.origin
        found, missing = available(datasets.names(), roots)
        kinds = {"synthetic"} if roots.is_synthetic else {open_source(name, roots).kind for name in found}
    except FerBenchError as error:
        problem = error
    facts: dict[str, Any] = {
        **environment.describe(),
        "cores": usable_cores(),
        "cache": str(cache_root()),
        "face_detector": _face_detector(),
        "data": origin if problem is None else f"cannot be used: {problem.file or ''}: {problem.message}",
        "data_kind": " and ".join(sorted(kinds)) or "none",
        "found": found,
        "missing": missing,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    for name, value in facts.items() if not as_json else ():
        if name == "missing":
            for dataset, reason in value.items():
                typer.echo(f"{'missing':24} {dataset}: {reason}")
        else:
            typer.echo(f"{name:24} {', '.join(value) if isinstance(value, list) else value}")
    if problem is not None:
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; expected errors become one message without traceback."""
    try:
        app()
    except FerBenchError as error:
        if "--json" in sys.argv:
            document = {"error": error.message, "file": _text(error.file), "line": error.line}
            print(json.dumps({**document, "value": _text(error.value), "hint": error.hint}, indent=2))
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as stopped:
        print(f"stopped; {stopped or 'the same command goes on where it was'}", file=sys.stderr)
        sys.exit(130)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# Registered last, so that help lists the commands of daily use first.
register_runs(app)
register(app)
register_pretrain(app)
app.command("import", epilog=EPILOG)(import_)


if __name__ == "__main__":
    main()
