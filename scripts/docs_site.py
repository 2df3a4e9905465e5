"""Hook of mkdocs: pages that lie outside docs/, their links, the navigation and the API reference.

Every page stays where GitHub shows it. Here it gets its place on the site, and each relative link becomes one
to the place of what it names. A link to something that does not exist stays as it is, and
`mkdocs build --strict` refuses it.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\(|(?:src|href)=\")([^)\s\"#]+)")
FENCE = re.compile(r"^ *(```|~~~)")
ITEM = re.compile(r"^ *([-*+]|\d+\.) ")
NOTEBOOK = "docs/quickstart.ipynb"
TOP = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "leaderboard/README.md": "leaderboard/index.md",
    NOTEBOOK: "quickstart.md",
}
REFERENCE = {
    "Runs, stores and scores": ("fer_bench.api", "fer_bench.config", "fer_bench.errors"),
    "Data": (
        "fer_bench.emotions",
        "fer_bench.data.card",
        "fer_bench.data.reading.dataset",
        "fer_bench.data.protocols",
        "fer_bench.data.batch",
        "fer_bench.data.loading.datamodule",
    ),
    "Methods": ("fer_bench.methods.base", "fer_bench.methods.claims"),
    "Results": ("fer_bench.results.record", "fer_bench.results.scores", "fer_bench.results.predictions"),
    "Evaluation": (
        "fer_bench.evaluation.metrics",
        "fer_bench.evaluation.transfer",
        "fer_bench.evaluation.scoring",
    ),
    "Launchers": ("fer_bench.runs.launchers.base",),
}
NAV: list[tuple[str, list[str]]] = [
    ("Start", ["index.md", "getting-started.md", "quickstart.md"]),
    (
        "How to",
        [
            "tutorial.md",
            "own-pictures.md",
            "predict.md",
            "explain.md",
            "data.md",
            "sweeps.md",
            "small.md",
            "outside-models.md",
            "export.md",
            "submit.md",
            "own-method.md",
            "own-dataset.md",
            "own-metric.md",
            "own-launcher.md",
        ],
    ),
    (
        "Leaderboard",
        [
            "leaderboard/index.md",
            "reading-the-board.md",
            "robustness.md",
            "audit.md",
            "statistics.md",
            "coverage.md",
        ],
    ),
    ("Methods", []),
    ("Datasets", []),
    (
        "Background",
        [
            "synthetic.md",
            "alignment.md",
            "quick-defaults.md",
            "quick-epochs.md",
            "light-models.md",
            "speed.md",
            "evidence-ssmfar.md",
        ],
    ),
    ("Python", ["api.md"]),
    ("Project", ["changelog.md", "contributing.md", "security.md"]),
]


def methods() -> list[str]:
    """Return the methods that have a page."""
    return sorted(file.parent.name for file in ROOT.glob("fer_bench/methods/*/README.md"))


def board_pages() -> list[str]:
    """Return the pages of the leaderboard beside its first one: methods, and a page per dataset."""
    return sorted(file.name for file in ROOT.glob("leaderboard/*.md") if file.name != "README.md")


def places() -> dict[str, str]:
    """Return the place on the site of every page, by its path in the repository."""
    found = dict(TOP)
    found |= {f"fer_bench/methods/{name}/README.md": f"methods/{name}.md" for name in methods()}
    found |= {f"leaderboard/{name}": f"leaderboard/{name}" for name in board_pages()}
    docs = ROOT / "docs"
    return found | {
        f"docs/{path}": path for path in (str(f.relative_to(docs)) for f in sorted(docs.rglob("*.md")))
    }


def links(text: str) -> Iterator[str]:
    """Yield the relative targets of a page's links, outside of code."""
    for line, code in lines(text):
        if not code:
            yield from (
                target for _, target in LINK.findall(line) if "://" not in target and ":" not in target
            )


def lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a page, and whether each is code."""
    code = False
    for line in text.splitlines():
        fence = bool(FENCE.match(line))
        yield line, code or fence
        code ^= fence


def resolved(source: str, target: str) -> str:
    """Return the path in the repository that a link on a page names."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return f"{path}/README.md" if (ROOT / path / "README.md").is_file() else path


def for_site(text: str, source: str) -> str:
    """Return a page as Python-Markdown reads it, with links to places on the site.

    GitHub starts a list below a line of text and renders markdown within `<details>`; Python-Markdown needs
    an empty line and an attribute for that.
    """
    known = places()
    here, out = known[source], list[str]()

    def moved(found: re.Match[str]) -> str:
        start, target = found.groups()
        path = resolved(source, target)
        if ":" in target or not (ROOT / path).is_file():
            return found[0]
        return start + posixpath.relpath(
            known.get(path, path.removeprefix("docs/")), posixpath.dirname(here) or "."
        )

    for line, code in lines(text):
        if not code:
            before = out[-1] if out else ""
            in_text = bool(before.strip()) and not before.startswith((" ", ">")) and not ITEM.match(before)
            if in_text and ITEM.match(line):
                out.append("")
            line = LINK.sub(moved, line).replace("<details>", '<details markdown="1">')
        out.append(line)
    return "\n".join(out) + "\n"


def notebook_page() -> str:
    """Return the tutorial notebook as a page: its texts and its code, without outputs."""
    parts = []
    for cell in json.loads((ROOT / NOTEBOOK).read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts)


def reference_pages() -> dict[str, str]:
    """Return the pages of the API reference by place."""
    return {
        f"reference/{title.lower().split(',')[0].replace(' ', '-')}.md": f"# {title}\n\n"
        + "\n\n".join(f"::: {module}" for module in modules)
        for title, modules in REFERENCE.items()
    }


def methods_page() -> str:
    """Return the list of methods, from the headings of their pages."""
    out = [
        "# Methods",
        "",
        "Each page lists where a method comes from and every deviation from its paper.",
        "",
    ]
    for name in methods():
        text = (ROOT / f"fer_bench/methods/{name}/README.md").read_text(encoding="utf-8")
        out.append(f"- [{text.splitlines()[0].removeprefix('# ')}]({name}.md)")
    return "\n".join(out)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write the navigation; pages of docs/ that it does not name come under Background."""
    pages = set(places().values())
    datasets = [path for path in pages if path.startswith("datasets/")]
    listed = dict(NAV) | {
        "Methods": ["methods/index.md", *(f"methods/{name}.md" for name in methods())],
        "Datasets": sorted(datasets, key=lambda path: (not path.endswith("README.md"), path)),
    }
    listed["Leaderboard"] = [*listed["Leaderboard"], *(f"leaderboard/{name}" for name in board_pages())]
    listed["Python"] = [*listed["Python"], *reference_pages()]
    named = {page for chapter in listed.values() for page in chapter}
    listed["Background"] = [*listed["Background"], *sorted(pages - named)]
    config.nav = [{title: chapter} for title, chapter in listed.items()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages and files from outside docs/."""
    made = {"methods/index.md": methods_page(), **reference_pages()}
    known = places()
    for source, place in known.items():
        text = notebook_page() if source == NOTEBOOK else (ROOT / source).read_text(encoding="utf-8")
        if not source.startswith("docs/") or source == NOTEBOOK:
            made[place] = text
        for target in links(text):
            path = resolved(source, target)
            added = path in known or path.startswith("docs/") or files.get_file_from_path(path) is not None
            if (ROOT / path).is_file() and not added:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Move the links of a page, unless it is one that was made here."""
    source = {place: source for source, place in places().items()}.get(page.file.src_uri)
    return markdown if source is None else for_site(markdown, source)


def on_post_build(config: MkDocsConfig) -> None:
    """Say where the site is."""
    print(f"the site is in {os.path.relpath(config.site_dir)}/; open index.html")
