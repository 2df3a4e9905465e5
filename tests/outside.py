"""The examples in CONTRIBUTING.md, installed as packages of somebody else."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path

from fer_bench import datasets, methods, provenance
from fer_bench.evaluation import metrics
from fer_bench.evaluation.rescore import code_version
from fer_bench.runs import launchers

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def block(section, language):
    """Return the one block of a language in a section."""
    text = TEXT.partition(f"## {section}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found


@contextmanager
def installed(section, folder, monkeypatch):
    """Install the example of a section with the entry point that it shows; yield its module's name."""
    header, line = block(section, "toml").strip().splitlines()
    group = re.fullmatch(r'\[project\.entry-points\."(.+)"\]', header)[1]
    name, target = (part.strip(' "') for part in line.split("="))
    module = target.partition(":")[0]
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(block(section, "python"))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(folder))
    _forget()
    yield module
    _forget()
    sys.modules.pop(module, None)


def _forget():
    for registry in (datasets.REGISTRY, methods.REGISTRY, launchers.REGISTRY, metrics.OTHERS):
        registry.refresh()
    vars(datasets).pop("TenFacesDataModule", None)
    provenance.forget()
    metrics.registry.cache_clear()
    code_version.cache_clear()
