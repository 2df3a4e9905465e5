"""The command line. Torch is imported only inside a command, so that help answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli import check, data, docs, hints, listing, run, runs, scores
from fer_bench.cli.audit import EPILOG as AUDIT_EPILOG
from fer_bench.cli.audit import audit
from fer_bench.cli.card import EPILOG as CARD_EPILOG
from fer_bench.cli.card import card
from fer_bench.cli.distill import EPILOG as DISTILL_EPILOG
from fer_bench.cli.distill import distill
from fer_bench.cli.doctor import EPILOG as DOCTOR_EPILOG
from fer_bench.cli.doctor import doctor
from fer_bench.cli.efficiency import EPILOG as EFFICIENCY_EPILOG
from fer_bench.cli.efficiency import efficiency
from fer_bench.cli.evaluate import EPILOG as EVALUATE_EPILOG
from fer_bench.cli.evaluate import evaluate
from fer_bench.cli.explain import EPILOG as EXPLAIN_EPILOG
from fer_bench.cli.explain import explain
from fer_bench.cli.export import EPILOG as EXPORT_EPILOG
from fer_bench.cli.export import export
from fer_bench.cli.importing import EPILOG, import_
from fer_bench.cli.monitor import EPILOG as MONITOR_EPILOG
from fer_bench.cli.monitor import monitor
from fer_bench.cli.options import AsJson, RunsDir, check_name, open_store, say
from fer_bench.cli.predict import EPILOG as PREDICT_EPILOG
from fer_bench.cli.predict import predict
from fer_bench.cli.pretrain_generator import EPILOG as PRETRAIN_EPILOG
from fer_bench.cli.pretrain_generator import pretrain_generator
from fer_bench.cli.robustness import EPILOG as ROBUSTNESS_EPILOG
from fer_bench.cli.robustness import robustness
from fer_bench.cli.similarity import EPILOG as SIMILARITY_EPILOG
from fer_bench.cli.similarity import similarity
from fer_bench.distribution import LIGHT, NAME, commit, is_light, version
from fer_bench.errors import FerBenchError

app = typer.Typer(
    name="fer-bench",
    help="A benchmark suite for facial expression recognition.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples: fer-bench run --method gcn --dataset oulu; fer-bench sweep quick; "
    "fer-bench leaderboard; fer-bench docs",
)
run.register(app)
app.command(epilog=EVALUATE_EPILOG)(evaluate)
app.command(epilog=PREDICT_EPILOG)(predict)
app.command(epilog=MONITOR_EPILOG)(monitor)
app.command(epilog=EXPORT_EPILOG)(export)
app.command(epilog=DISTILL_EPILOG)(distill)
app.command(name="pretrain-generator", epilog=PRETRAIN_EPILOG)(pretrain_generator)
app.command(epilog=CARD_EPILOG)(card)
app.command(epilog=EXPLAIN_EPILOG)(explain)
app.command(epilog=ROBUSTNESS_EPILOG)(robustness)
app.command(epilog=AUDIT_EPILOG)(audit)
app.command(epilog=SIMILARITY_EPILOG)(similarity)
app.command(epilog=EFFICIENCY_EPILOG)(efficiency)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and the commit and stop.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"{version()}{'' if commit() is None else f' (commit {commit()})'}")
        raise typer.Exit


@app.command(
    epilog="Examples: fer-bench leaderboard --runs-dir runs --out leaderboard; "
    "fer-bench leaderboard --difference 2; fer-bench leaderboard --latex tables.tex --csv tables; "
    "fer-bench leaderboard --serve"
)
def leaderboard(
    runs_dir: RunsDir = Path("runs"),
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the pages go.")] = Path(
        "leaderboard"
    ),
    difference: Annotated[
        float,
        typer.Option(
            "--difference", min=0.1, max=50, help="Say how many more seeds would show so many points of UAR."
        ),
    ] = 5.0,
    latex: Annotated[
        Path | None,
        typer.Option("--latex", metavar="FILE", help="Also write the main tables for a paper (booktabs)."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="DIR", help="Also write the same tables as one CSV file each."),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then show index.html in the browser, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of --serve; default a free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether --serve opens the browser.")
    ] = True,
) -> None:
    """Write the leaderboard from the run store. The same store gives the same bytes."""
    store = open_store(runs_dir)
    from fer_bench.files import cpu_seconds, write_text
    from fer_bench.leaderboard.page import read_board, write_pages
    from fer_bench.leaderboard.wording import seeds_needed

    board = read_board(store)
    written = write_pages(board, out)
    if latex is not None:
        from fer_bench.leaderboard.latex import latex_tables

        write_text(latex, latex_tables(board))
        written.append(latex)
    if csv is not None:
        from fer_bench.leaderboard.paper import write_tables

        written += write_tables(board, csv)
    for section in board.sections:
        lines = seeds_needed(section.own_columns, difference / 100)
        if lines:
            typer.echo(
                f"{section.data_kind}, {section.profile}: 95 % interval of a difference of two methods"
            )
            typer.echo("\n".join(f"  {line}" for line in lines))
    took = f"{cpu_seconds():.1f} CPU-seconds"
    typer.echo(f"wrote {len(written)} files in {took}; open {out / 'index.html'} or {out / 'README.md'}")
    if serve:
        from fer_bench.leaderboard.html.serve import serve as serve_board

        serve_board(out, port=port, browser=browser, say=say)


@app.command(
    name="list", epilog="Examples: fer-bench list methods; fer-bench list datasets; fer-bench list sweeps"
)
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, models, sweeps or profiles.")],
    as_json: AsJson = False,
) -> None:
    """List the methods, datasets, outside models with a card, sweeps or profiles."""
    from fer_bench import datasets, methods
    from fer_bench.config import PROFILES

    known = ("methods", "datasets", "models", "sweeps", "profiles")
    check_name(what, known, "list", "fer-bench list methods")
    if what == "methods":
        rows = [(name, (e := methods.entry(name)).title, e.source) for name in methods.names()]
    elif what == "datasets":
        usable, rows = datasets.REGISTRY.usable(), []
        for name in datasets.names():
            if name in usable:
                c = usable[name].card
                note = f"{c.setting}, {len(c.emotions)} emotions, {c.default_protocol}"
                rows.append((name, c.title, note))
            else:
                rows.append((name, f"cannot be used: fer-bench check dataset {name}", ""))
    elif what == "models":
        from fer_bench.models import REGISTRY
        from fer_bench.models.card import shipped_card, shipped_names

        known_models = [(name, (card := shipped_card(name)).title, card.source) for name in shipped_names()]
        rows = known_models + [
            (name, f"entry point {REGISTRY.targets[name]}", "") for name in REGISTRY.names()
        ]
    elif what == "sweeps":
        from fer_bench.runs.sweepfile import SWEEPS, packaged_sweeps

        rows = [(name, text, str(SWEEPS / f"{name}.yaml")) for name, text in packaged_sweeps().items()]
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


def main() -> None:
    """Run the command line; expected errors become one message without traceback."""
    try:
        app()
    except FerBenchError as error:
        if "--json" in sys.argv:
            document = {"error": error.message, "file": _text(error.file), "line": error.line}
            hint = None if error.hint is None else hints.complete(error.hint)
            print(json.dumps({**document, "value": _text(error.value), "hint": hint}, indent=2))
        print(f"error: {hints.complete(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if not is_light():
            raise
        problem = f"this command needs {error.name}, which {LIGHT} leaves out"
        print(f"error: {problem}\n  pip install {NAME} instead of {LIGHT}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print(f"stopped; {stopped or 'the same command goes on where it was'}", file=sys.stderr)
        sys.exit(130)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# Registered last, so that help lists the commands of daily use first.
app.command(epilog=DOCTOR_EPILOG)(doctor)
app.command("docs", epilog=docs.EPILOG)(docs.docs)
listing.register(app)
runs.register(app)
scores.register(app)
app.add_typer(data.data_app, name="data")
app.add_typer(check.check_app, name="check")
app.command("import", epilog=EPILOG)(import_)
hints.register(app)


if __name__ == "__main__":
    main()
