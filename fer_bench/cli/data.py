"""Commands over data: describe, check, split, draw, count and document datasets, and keep the cache small."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.cli.cache import cache_app
from fer_bench.cli.options import AsJson, DataRoot, Jobs, announce_roots, check_name, find_roots_of, say
from fer_bench.errors import DataError

if TYPE_CHECKING:
    from fer_bench.data.reading.dataset import FaceDataset
    from fer_bench.workspace.sources import DataRoots, Source

data_app = typer.Typer(
    help="Describe, check, split, draw and count the datasets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: fer-bench data describe oulu",
)
data_app.add_typer(cache_app, name="cache")
check_app = typer.Typer(
    help="Check that a dataset keeps the contracts of this package.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: fer-bench check dataset oulu",
)


@data_app.command(epilog="Example: fer-bench data describe ckplus")
def describe(name: Annotated[str, typer.Argument(help="Dataset.")], as_json: AsJson = False) -> None:
    """Print a dataset's card: licence, how to obtain it, folder tree, classes, protocols and quirks."""
    from fer_bench import datasets
    from fer_bench.data.audit.describe import as_text
    from fer_bench.data.audit.split_file import protocol_hash

    card = datasets.get(name).card
    if as_json:
        hashes = {protocol.name: protocol_hash(card, protocol) for protocol in card.protocols}
        document = {**card.model_dump(mode="json"), "protocol_hashes": hashes}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo(as_text(card))


@data_app.command(
    epilog="Examples: fer-bench data verify --dataset rafdb --data-root ~/datasets; "
    "fer-bench data verify --dataset all"
)
def verify(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset, folder:PATH, or all.")] = "all",
    data_root: DataRoot = None,
    write_exclude: Annotated[
        Path | None,
        typer.Option("--write-exclude", metavar="FILE", help="List unreadable files for --exclude."),
    ] = None,
    with_copies: Annotated[
        bool,
        typer.Option("--with-copies", help="Also list training pictures whose pixels are a test picture's."),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Look at every picture, also those looked at before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check layout, labels, counts, protocol and every picture; all problems in one report.

    Finds unreadable and one-coloured pictures, faces outside their picture, copies inside and across splits
    (exact, scaled, recompressed or mirrored), subjects on both sides, names that give labels away, and copies
    with more pictures than were published. A check that was stopped goes on where it was.

    Exit code 2 when something is wrong, 0 with warnings only.
    """
    from fer_bench import datasets
    from fer_bench.cli.terminal import Preparation
    from fer_bench.data.audit.verify import verify as check
    from fer_bench.files import write_text
    from fer_bench.workspace.sources import available

    name, roots = find_roots_of(dataset, data_root)
    announce_roots(roots, quiet=as_json)
    if name == "all":
        wanted, missing = available(datasets.names(), roots)
        for each in _broken(missing, wanted, roots):
            wanted.append(each)
            del missing[each]
        if "folder" not in roots.named:
            missing.pop("folder", None)
        if not wanted:
            raise _nothing_in(roots, "checked")
    else:
        check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
        wanted, missing = [name], {}
    display = Preparation(quiet=as_json)
    reports = []
    for each in wanted:
        reports.append(
            check(
                partial(_open, each, roots),
                each,
                is_real=_is_real(each, roots),
                fresh=fresh,
                progress=partial(display, f"checking {each}"),
            )
        )
    display.close()
    if write_exclude is not None:
        lines = [
            f"{report.dataset}: {name}\n"
            for report in reports
            for name in (*report.unreadable, *(report.copies if with_copies else ()))
        ]
        write_text(write_exclude, "".join(lines))
    if as_json:
        typer.echo(json.dumps({"reports": [r.as_dict() for r in reports], "missing": missing}, indent=2))
    else:
        for report in reports:
            typer.echo("\n".join(report.lines()))
        for each, reason in missing.items():
            typer.echo(f"{each}: missing, {reason}")
        errors, warnings = (sum(r.number_of(kind) for r in reports) for kind in ("error", "warning"))
        more = f", {len(missing)} missing (fer-bench data describe NAME: how to get one)" if missing else ""
        typer.echo(f"{len(reports)} checked: {errors} error(s), {warnings} warning(s){more}")
    if any(report.has_errors for report in reports):
        raise typer.Exit(2)


@data_app.command(epilog="Example: fer-bench data synth --dataset all --size quick --out /tmp/faces")
def synth(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Gets one folder per dataset.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset or all.")] = "all",
    size: Annotated[
        Literal["tiny", "quick", "full"], typer.Option("--size", help="How many faces.")
    ] = "quick",
    population: Annotated[
        Literal["benchmark", "development"],
        typer.Option("--population", help="Who is drawn and by which camera."),
    ] = "benchmark",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Generator seed.")] = 0,
    jobs: Jobs = None,
) -> None:
    """Write the synthetic stand-in in the official layouts.

    What is there already is kept, and what was stopped or killed goes on where it was. Every dataset gets a
    table of what was drawn, synthetic-truth.parquet.
    """
    from fer_bench.cli.terminal import Preparation, seconds
    from fer_bench.files import usable_cores
    from fer_bench.synthetic import layouts

    if dataset != "all":
        check_name(dataset, layouts.names(), "synthetic dataset", "fer-bench list datasets")
    display, drawn = Preparation(), list[layouts.Drawing]()
    try:
        for name in layouts.names() if dataset == "all" else (dataset,):
            layouts.write(
                name,
                out,
                size=size,
                population=population,
                seed=seed,
                jobs=jobs or usable_cores(),
                progress=partial(display, f"drawing {name}"),
                report=drawn.append,
                notice=say,
            )
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was")
        raise
    finally:
        display.close()
    if faces := sum(each.faces for each in drawn):
        rate = faces / max(1e-9, sum(each.processor_seconds for each in drawn))
        wall = seconds(sum(each.seconds for each in drawn))
        typer.echo(f"drew {faces} faces in {wall}, {rate:.0f} faces per second and core")
    typer.echo(f"wrote {out}; use it with --data-root {out}")


@data_app.command(
    epilog="Examples: fer-bench data stats --dataset ckplus; fer-bench data stats --dataset all --plots plots"
)
def stats(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset, folder:PATH, or all.")] = "all",
    data_root: DataRoot = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Protocol; default: the dataset's.")
    ] = None,
    fold: Annotated[int, typer.Option("--fold", min=1, help="Fold.")] = 1,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Also plot what the rows hold, a PNG each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count rows per role and class under a protocol; plot them with affect, action units and people."""
    from fer_bench.data.audit.describe import split_counts
    from fer_bench.data.protocols import find_protocol

    opened = _opened(dataset, data_root, quiet=as_json)
    tables = {name: split_counts(source.dataset, protocol, fold) for name, source in opened.items()}
    if plots is not None:
        from fer_bench.data.audit.figures import draw_stats

        for name, source in opened.items():
            data, file = source.dataset, plots / f"{name}.png"
            roles = data.roles(find_protocol(data.card, protocol), fold)
            title = f"{_title(source)}, {tables[name].attrs['protocol']}"
            draw_stats(data, tables[name], roles, file, title=title)
            say(f"plotted {file}", quiet=as_json)
    if as_json:
        typer.echo(
            json.dumps({n: json.loads(t.to_json(orient="index")) for n, t in tables.items()}, indent=2)
        )
        return
    for each, table in tables.items():
        typer.echo(f"{each}, {table.attrs['protocol']}\n{table.to_string()}\n")


@data_app.command(
    epilog="Examples: fer-bench data sheet -d oulu --out sheets; "
    "fer-bench data sheet -d folder:~/pictures --out sheets"
)
def sheet(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Gets one picture per dataset.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset, folder:PATH, or all.")] = "all",
    data_root: DataRoot = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Protocol; default: the dataset's.")
    ] = None,
    people: Annotated[int, typer.Option("--people", min=1, help="Lines of the sheet.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which rows are shown.")] = 0,
) -> None:
    """Draw a contact sheet: whole pictures, a sequence, and the crops that networks see, by class.

    A sheet of real data shows real people: keep it as the dataset's licence says.
    """
    from fer_bench.data.audit.figures import draw_sheet
    from fer_bench.data.protocols import find_protocol

    for name, source in _opened(dataset, data_root).items():
        file = out / f"{name}.jpg"
        chosen = find_protocol(source.dataset.card, protocol)
        draw_sheet(source.dataset, chosen, file, title=_title(source), people=people, seed=seed)
        typer.echo(f"drew {file}")


def _opened(dataset: str, data_root: str | None, *, quiet: bool = False) -> dict[str, Source]:
    """Return the datasets that a command is asked for, `all` being those that are there."""
    from fer_bench import datasets
    from fer_bench.workspace.sources import available, open_source

    name, roots = find_roots_of(dataset, data_root)
    announce_roots(roots, quiet=quiet)
    if name == "all":
        wanted, _ = available(datasets.names(), roots)
        if not wanted:
            raise _nothing_in(roots, "drawn or counted")
    else:
        check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
        wanted = [name]
    return {each: open_source(each, roots) for each in wanted}


def _title(source: Source) -> str:
    """Return what a figure of a dataset is called; whatever is drawn says so."""
    name = source.dataset.card.title
    if source.generator is None:
        return name
    generator = source.generator
    return (
        f"SYNTHETIC DATA laid out as {name} (generator version {generator['generator_version']}, "
        f"{generator['size']}, {generator['population']})"
    )


@data_app.command(
    epilog="Examples: fer-bench data split --dataset ckplus --protocol 7-10fold --fold 3; "
    "fer-bench data split -d rafdb --out rafdb.csv"
)
def split(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset or folder:PATH.")],
    data_root: DataRoot = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Protocol; default: the dataset's.")
    ] = None,
    fold: Annotated[int, typer.Option("--fold", min=1, help="Fold.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the rows there as CSV.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print or write which row trains, validates and tests, with the split's hash.

    The hash is the beginning of the SHA-256 of the CSV file, and the same on every machine.
    """
    from fer_bench import datasets
    from fer_bench.data.audit.split_file import freeze, protocol_hash
    from fer_bench.data.protocols import find_protocol
    from fer_bench.files import write_text

    name, roots = find_roots_of(dataset, data_root)
    check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
    announce_roots(roots, quiet=as_json)
    source = _open(name, roots)
    frozen = freeze(source, protocol, fold)
    if out is not None:
        write_text(out, frozen.csv)
    title = f"{frozen.dataset}/{frozen.protocol}, fold {frozen.fold}"
    counts = ", ".join(f"{number} {role}" for role, number in frozen.counts.items())
    if as_json:
        document = {
            "dataset": frozen.dataset,
            "protocol": frozen.protocol,
            "protocol_hash": protocol_hash(source.card, find_protocol(source.card, frozen.protocol)),
            "fold": frozen.fold,
            "hash": frozen.hash,
            "counts": frozen.counts,
            **({} if out else {"rows": json.loads(frozen.rows.to_json(orient="records"))}),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if out is None:
        typer.echo(frozen.csv, nl=False)
    say(f"{title}: {counts}; hash {frozen.hash}{'' if out is None else f'; wrote {out}'}")


@data_app.command(epilog="Example: fer-bench data docs --out docs/datasets")
def docs(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the pages go.")] = Path(
        "docs/datasets"
    ),
) -> None:
    """Write a page per dataset, and one that lists them, from the cards."""
    from fer_bench import datasets
    from fer_bench.data.audit.describe import as_markdown, index_page
    from fer_bench.files import write_text

    cards = [datasets.get(name).card for name in datasets.BUILT_IN]
    for card in cards:
        write_text(out / f"{card.name}.md", as_markdown(card))
    write_text(out / "README.md", index_page(cards))
    typer.echo(f"wrote {len(cards) + 1} pages into {out}")


@data_app.command(name="fetch-detector", epilog="Example: fer-bench data fetch-detector")
def fetch_detector() -> None:
    """Download the face detector YuNet (233 kB, MIT licence) into the cache; checked by its hash.

    Without it, pictures that have neither boxes nor landmarks are searched by a weak detector. Nothing else
    uses the network.
    """
    from fer_bench.data.crops.detectors import fetch_yunet

    typer.echo(f"{fetch_yunet()}: packs are cut out anew with it where faces are searched for")


@check_app.command(name="dataset", epilog="Example: fer-bench check dataset oulu --data-root ~/datasets")
def check_dataset(
    name: Annotated[str, typer.Argument(help="Dataset, also of another package, or folder:PATH.")],
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Run the contract suite: card, reader, index, paths, protocols and decoding of a dataset.

    Exit code 2 when a promise is broken. `fer-bench data verify` looks at the data, this looks at the reader.
    """
    from fer_bench import datasets
    from fer_bench.data.audit.contract import check_contract

    name, roots = find_roots_of(name, data_root)
    check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
    announce_roots(roots, quiet=as_json)
    results = check_contract(name, partial(_open, name, roots))
    if as_json:
        typer.echo(json.dumps({"dataset": name, "checks": [vars(r) for r in results]}, indent=2))
    else:
        for result in results:
            typer.echo(f"{'ok    ' if result.ok else 'BROKEN'} {result.name:10} {result.message}")
    if not all(result.ok for result in results):
        raise typer.Exit(2)


def _open(name: str, roots: DataRoots) -> FaceDataset:
    from fer_bench.workspace.sources import open_source

    return open_source(name, roots).dataset


def _nothing_in(roots: DataRoots, done: str) -> DataError:
    return DataError(
        f"no dataset was found here, so nothing was {done}",
        file=roots.root,
        hint="fer-bench data describe NAME prints the folders and files that a dataset consists of",
    )


def _broken(missing: Collection[str], found: Collection[str], roots: DataRoots) -> list[str]:
    """Return missing datasets for which there is a folder of that name: it holds something else, or a part.

    A folder is counted for the first dataset it is called like, and only if no dataset was found in it.
    """
    taken = {folder for name in found for folder in _folders_for(name, roots)}
    broken: list[str] = []
    for name in missing:
        folders = set(_folders_for(name, roots)) - taken
        if folders:
            broken.append(name)
            taken |= folders
    return broken


def _folders_for(name: str, roots: DataRoots) -> list[Path]:
    """Return the folder that the user named for a dataset, or those below the root called like it."""
    from fer_bench import datasets

    if name in roots.named:
        return [roots.named[name]] if roots.named[name].is_dir() else []
    return [] if roots.root is None else datasets.get(name).named_folders(roots.root)


def _is_real(name: str, roots: DataRoots) -> bool:
    """Return whether published counts apply; what cannot be opened is reported by the check itself."""
    from fer_bench.errors import FerBenchError
    from fer_bench.workspace.sources import open_source

    try:
        return open_source(name, roots).kind == "real"
    except FerBenchError:
        return not roots.is_synthetic
