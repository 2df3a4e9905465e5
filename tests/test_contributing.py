"""The tutorials that CONTRIBUTING.md names, executed as packages of somebody else."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest

from fer_bench import datasets
from fer_bench.cli import main as cli
from fer_bench.emotions import LABEL_SETS
from tests.outside import block, installed


@pytest.fixture
def tenfaces(tmp_path, monkeypatch):
    with installed("Add a dataset", tmp_path / "site", monkeypatch) as name:
        yield name


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
    assert len(block("Add a dataset", "python").splitlines()) < 60


def test_it_keeps_every_contract(tenfaces, data, call):
    assert "tenfaces" in datasets.names()
    code, out = call("check", "dataset", "tenfaces", "--data-root", data, "--json")
    document = json.loads(out)
    assert (code, [c for c in document["checks"] if not c["ok"]]) == (0, [])
    assert {c["name"] for c in document["checks"]} >= {"card", "locate", "index", "protocols", "pictures"}


def test_it_is_described_verified_and_split_like_any_other(tenfaces, data, call):
    assert "twins" in call("data", "describe", "tenfaces")[1]
    code, out = call("data", "verify", "-d", "tenfaces", "--data-root", data, "--json")
    (report,) = json.loads(out)["reports"]
    assert (code, report["rows"], report["findings"]) == (0, 70, [])
    code, out = call("data", "split", "-d", "tenfaces", "--fold", 2, "--data-root", data, "--json")
    assert json.loads(out)["counts"] == {"train": 56, "val": 7, "test": 7}


def test_a_wrong_list_is_one_message(tenfaces, data, call, capsys):
    file = data / "tenfaces" / "labels.csv"
    file.write_text(file.read_text().replace("004,P0,", "004;P0;"))
    code, out = call("data", "split", "-d", "tenfaces", "--data-root", data, "--json")
    document = json.loads(out)
    assert (code, document["line"], document["file"]) == (2, 5, str(file))


def test_a_built_in_name_cannot_be_taken_over(tenfaces):
    assert datasets.get("oulu").__module__ == "fer_bench.datasets.oulu"


def test_it_has_a_datamodule(tenfaces, data):
    from fer_bench.datasets import TenFacesDataModule

    module = TenFacesDataModule(data, fold=2, image_size=24, batch_size=8)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert (batch["image"].shape, batch["image"].dtype.is_floating_point) == ((8, 3, 24, 24), True)


@pytest.fixture
def plain(tmp_path, monkeypatch):
    with installed("Add a method", tmp_path / "site", monkeypatch) as name:
        yield name


def test_a_method_of_another_package_is_run_and_stored_like_any_other(plain, tiny_root, tmp_path, call):
    options = ("-m", "plain", "-d", "oulu", "--targets", "rafdb", "--data-root", tiny_root, "--max-epochs", 2)
    code, out = call("run", *options, "--profile", "quick", "--runs-dir", tmp_path / "runs", "--json")
    record = json.loads(out)
    assert (code, record["status"], {s["target"] for s in record["scores"]}) == (0, "done", {"oulu", "rafdb"})
    assert "plain" in call("list", "methods")[1]


def test_its_key_follows_its_code(plain, tiny_root, tmp_path):
    from fer_bench import provenance
    from fer_bench.runs.keys import method_code_hash

    def hashed():
        provenance.forget()  # as a new process does
        return method_code_hash("plain")

    file, first = tmp_path / "site" / "plainmethod.py", hashed()
    file.write_text(file.read_text().replace('"""Plain:', '"""Very plain:'))
    assert hashed() == first
    file.write_text(file.read_text().replace("nn.ReLU()", "nn.GELU()"))
    assert hashed() != first


def test_what_cannot_be_imported_is_named(tmp_path, monkeypatch, call):
    with installed("Add a launcher", tmp_path / "site", monkeypatch) as name:
        (tmp_path / "site" / f"{name}.py").write_text("import nowhere_to_be_found\n")
        code, out = call("sweep", "-m", "gcn", "-d", "oulu", "--launcher", "inline", "--json")
        assert (code, "nowhere_to_be_found" in json.loads(out)["error"]) == (2, True)
