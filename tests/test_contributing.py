"""The tutorial in CONTRIBUTING.md, executed as somebody else's package would be."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench import datasets
from fer_bench.cli import main as cli
from fer_bench.emotions import LABEL_SETS

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Add a dataset")[2].partition("\n## ")[0]


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return found


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the example as a package of its own, with the entry point that the tutorial shows."""
    site = tmp_path / "site"
    (site / "tenfaces-1.0.dist-info").mkdir(parents=True)
    (site / "tenfaces.py").write_text(block("python"))
    (site / "tenfaces-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tenfaces\nVersion: 1.0\n"
    )
    group, line = block("toml").strip().splitlines()
    assert group == '[project.entry-points."fer_bench.datasets"]'
    points = f"[fer_bench.datasets]\n{line.replace(chr(34), '')}\n"
    (site / "tenfaces-1.0.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(site))
    datasets._registry.cache_clear()
    yield
    datasets._registry.cache_clear()
    sys.modules.pop("tenfaces", None)


@pytest.fixture
def data(tmp_path):
    pictures = tmp_path / "data" / "tenfaces" / "pictures"
    pictures.mkdir(parents=True)
    lines = []
    for person in range(10):
        for emotion in LABEL_SETS["7"]:
            name = f"{len(lines):03d}"
            noise = np.random.default_rng(len(lines)).integers(0, 256, (24, 24, 3)).astype(np.uint8)
            cv2.imwrite(str(pictures / f"{name}.png"), noise)
            lines.append(f"{name},P{person},{emotion[:2]}")
    (pictures.parent / "labels.csv").write_text("\r\n".join(lines))
    return tmp_path / "data"


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            sys.exit(cli.main())
        return stopped.value.code or 0, capsys.readouterr().out

    return run


def test_the_example_is_short():
    assert len(block("python").splitlines()) < 60


def test_it_keeps_every_contract(installed, data, call):
    assert "tenfaces" in datasets.names()
    code, out = call("check", "dataset", "tenfaces", "--data-root", data, "--json")
    document = json.loads(out)
    assert (code, [c for c in document["checks"] if not c["ok"]]) == (0, [])
    assert {c["name"] for c in document["checks"]} >= {"card", "locate", "index", "protocols", "pictures"}


def test_it_is_described_verified_and_split_like_any_other(installed, data, call):
    assert "twins" in call("data", "describe", "tenfaces")[1]
    code, out = call("data", "verify", "-d", "tenfaces", "--data-root", data, "--json")
    (report,) = json.loads(out)["reports"]
    assert (code, report["rows"], report["findings"]) == (0, 70, [])
    code, out = call("data", "split", "-d", "tenfaces", "--fold", 2, "--data-root", data, "--json")
    assert json.loads(out)["counts"] == {"train": 56, "val": 7, "test": 7}


def test_a_wrong_list_is_one_message(installed, data, call, capsys):
    file = data / "tenfaces" / "labels.csv"
    file.write_text(file.read_text().replace("004,P0,", "004;P0;"))
    code, out = call("data", "split", "-d", "tenfaces", "--data-root", data, "--json")
    document = json.loads(out)
    assert (code, document["line"], document["file"]) == (2, 5, str(file))


def test_a_built_in_name_cannot_be_taken_over(installed):
    assert datasets.get("oulu").__module__ == "fer_bench.datasets.oulu"
