"""Commands over data: describe, check, split, draw, count and document datasets, and keep the cache small."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.cli.cache import cache_app
from fer_bench.cli.options import (
    AsJson,
    Classes,
    DataRoot,
    Drop,
    Fold,
    FollowLinks,
    Jobs,
    ProtocolName,
    announce_roots,
    check_name,
    named_classes,
    say,
)
from fer_bench.cli.verify import Datasets, nothing_in, verify

if TYPE_CHECKING:
    from fer_bench.workspace.sources import Source

data_app = typer.Typer(
    help="Describe, check, split, draw and count the datasets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: fer-bench data describe oulu",
)
data_app.add_typer(cache_app, name="cache")


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


data_app.command(
    epilog="Examples: fer-bench data verify --dataset rafdb --data-root ~/datasets; "
    "fer-bench data verify --dataset all"
)(verify)


@data_app.command(epilog="Example: fer-bench data synth --dataset all --size quick --out faces")
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
    from fer_bench.cli.terminal import Preparation, format_seconds
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
        wall = format_seconds(sum(each.seconds for each in drawn))
        typer.echo(f"drew {faces} faces in {wall}, {rate:.0f} faces per second and core")
    typer.echo(f"wrote {out}; use it with --data-root {out}")


@data_app.command(
    epilog="Examples: fer-bench data stats --dataset ckplus; fer-bench data stats --dataset all --plots plots"
)
def stats(
    dataset: Datasets = "all",
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    protocol: ProtocolName = None,
    fold: Fold = 1,
    classes: Classes = None,
    drop: Drop = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Also plot what the rows hold, a PNG each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count rows per role and class under a protocol; plot them with affect, action units and people."""
    from fer_bench.data.audit.describe import split_counts
    from fer_bench.data.protocols import find_protocol

    opened = _opened(dataset, data_root, classes, drop, follow_links=follow_links, quiet=as_json)
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
    dataset: Datasets = "all",
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    protocol: ProtocolName = None,
    classes: Classes = None,
    drop: Drop = None,
    people: Annotated[int, typer.Option("--people", min=1, help="Lines of the sheet.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which rows are shown.")] = 0,
) -> None:
    """Draw a contact sheet: whole pictures, a sequence, and the crops that networks see, by class.

    A sheet of real data shows real people: keep it as the dataset's licence says.
    """
    from fer_bench.data.audit.figures import draw_sheet
    from fer_bench.data.protocols import find_protocol

    opened = _opened(dataset, data_root, classes, drop, follow_links=follow_links)
    for name, source in opened.items():
        file = out / f"{name}.jpg"
        chosen = find_protocol(source.dataset.card, protocol)
        draw_sheet(source.dataset, chosen, file, title=_title(source), people=people, seed=seed)
        typer.echo(f"drew {file}")


def _opened(
    dataset: str,
    data_root: str | None,
    classes: Path | None,
    drop: list[str] | None,
    *,
    follow_links: bool,
    quiet: bool = False,
) -> dict[str, Source]:
    """Return the datasets that a command is asked for, `all` being those that are there."""
    from fer_bench import datasets
    from fer_bench.workspace.sources import open_source, recognised, split_source

    name, roots = split_source(dataset, data_root, follow_links=follow_links)
    roots = named_classes(roots, classes, drop, ["folder" if name == "all" else name])
    announce_roots(roots, quiet=quiet)
    if name == "all":
        wanted, _ = recognised(roots)
        if not wanted:
            raise nothing_in(roots, "drawn or counted")
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
    follow_links: FollowLinks = False,
    protocol: ProtocolName = None,
    fold: Fold = 1,
    classes: Classes = None,
    drop: Drop = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the rows there as CSV.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print or write which row trains, validates and tests, with the split's hash.

    The hash is the beginning of the SHA-256 of the CSV lines with a label, and the same on every machine.
    """
    from fer_bench import datasets
    from fer_bench.data.audit.split_file import freeze, protocol_hash
    from fer_bench.data.protocols import find_protocol
    from fer_bench.files import write_text
    from fer_bench.workspace.sources import open_source, split_source

    name, roots = split_source(dataset, data_root, follow_links=follow_links)
    roots = named_classes(roots, classes, drop, [name])
    check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
    announce_roots(roots, quiet=as_json)
    source = open_source(name, roots).dataset
    frozen = freeze(source, protocol, fold)
    if out is not None:
        write_text(out, frozen.csv)
    title = f"{frozen.dataset}/{frozen.protocol}, fold {frozen.fold}"
    counts = ", ".join(f"{number} {role}" for role, number in frozen.counts.items())
    if frozen.unlabelled:
        counts += f" (and {frozen.unlabelled} rows with affect or action units only)"
    if as_json:
        document = {
            "dataset": frozen.dataset,
            "protocol": frozen.protocol,
            "protocol_hash": protocol_hash(source.card, find_protocol(source.card, frozen.protocol)),
            "fold": frozen.fold,
            "hash": frozen.hash,
            "counts": frozen.counts,
            "unlabelled": frozen.unlabelled,
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

    It is used where `--detector yunet` asks for it: it is faster than MTCNN, which comes with the package and
    needs no download. No other command on data uses the network.
    """
    from fer_bench.data.crops.yunet import fetch_yunet

    typer.echo(f"{fetch_yunet()}: used by runs with --detector yunet")
