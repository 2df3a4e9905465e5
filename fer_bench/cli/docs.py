"""The command `docs`: the pages of the documentation, which come with the package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import AsJson, check_name
from fer_bench.distribution import PACKAGE, ROOT

EPILOG = (
    "Examples: fer-bench docs; fer-bench docs sweeps; fer-bench docs gcn; fer-bench docs ckplus; "
    "fer-bench docs emotion-ferplus-8"
)


def pages() -> dict[str, Path]:
    """Return the file of every page by its name: of the suite, each method, model card and dataset."""
    packaged = PACKAGE / "pages"
    root = packaged if packaged.is_dir() else ROOT
    found = {file.stem.lower(): file for file in sorted(root.glob("*.md"))}
    found |= {
        file.stem: file for pattern in ("*.md", "*.ipynb") for file in sorted((root / "docs").glob(pattern))
    }
    found |= {file.parent.name: file for file in sorted((PACKAGE / "methods").glob("*/README.md"))}
    found |= {file.stem: file for file in sorted((PACKAGE / "models" / "cards").glob("*.yaml"))}
    datasets = sorted((root / "docs" / "datasets").glob("*.md"))
    return found | {"datasets" if file.stem == "README" else file.stem: file for file in datasets}


def title(file: Path) -> str:
    """Return the heading of a page."""
    lines = file.read_text(encoding="utf-8").splitlines()
    if file.suffix == ".yaml":
        return next(line.removeprefix("title: ") for line in lines if line.startswith("title: "))
    if file.suffix == ".ipynb":
        lines = [line for cell in json.loads("\n".join(lines))["cells"][:1] for line in cell["source"]]
    return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), file.stem)


def docs(
    name: Annotated[str | None, typer.Argument(help="A page; without it, all are listed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a page of the documentation; without a name, list them.

    A terminal shows it set; elsewhere it is the text of the file, so that `fer-bench docs quickstart >
    quickstart.ipynb` gives the notebook.
    """
    known = pages()
    if name is None:
        rows = [{"name": one, "title": title(file), "file": str(file)} for one, file in known.items()]
        if as_json:
            typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
            return
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            typer.echo(f"{row['name']:{width}}  {row['title']}")
        return
    check_name(name, tuple(known), "page", "fer-bench docs")
    file = known[name]
    text = file.read_text(encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"name": name, "title": title(file), "file": str(file), "text": text}))
    elif sys.stdout.isatty() and file.suffix == ".md":
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    else:
        typer.echo(text, nl=False)
