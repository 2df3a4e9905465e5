"""The examples in docs/own-*.md, installed as packages of somebody else."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path

from fer_bench import datasets, methods, provenance
from fer_bench.evaluation import metrics
from fer_bench.evaluation.rescore import code_version
from fer_bench.runs import launchers

FILES = sorted((Path(__file__).parents[1] / "docs").glob("own-*.md"))
TEXTS = {text.partition("\n")[0].removeprefix("# "): text for text in (f.read_text("utf-8") for f in FILES)}


def block(page, language):
    """Return the one block of a language on the page of a title."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXTS[page], re.DOTALL)
    return found


@contextmanager
def installed(page, folder, monkeypatch):
    """Install the example of a page with the entry point that it shows; yield its module's name."""
    header, line = block(page, "toml").strip().splitlines()
    group = re.fullmatch(r'\[project\.entry-points\."(.+)"\]', header)[1]
    name, target = (part.strip(' "') for part in line.split("="))
    module = target.partition(":")[0]
    files = {f"{module}.py": block(page, "python")}
    with installed_files(files, {name: target}, group, folder, monkeypatch):
        yield module


@contextmanager
def installed_files(files, points, group, folder, monkeypatch, distribution="outside"):
    """Install modules with entry points of a group for this process."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(folder))
    _forget()
    try:
        yield
    finally:
        sys.path[:] = [place for place in sys.path if place != str(folder)]
        _forget()
    tops = {name.partition("/")[0].removesuffix(".py") for name in files}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def _forget():
    for package in (datasets, methods, launchers):
        package.REGISTRY.refresh()
    metrics.OTHERS.refresh()
    vars(datasets).pop("TenFacesDataModule", None)
    provenance.forget()
    metrics.registry.cache_clear()
    code_version.cache_clear()
