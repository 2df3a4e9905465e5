"""The commands over data, as a process would call them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fer_bench import datasets
from fer_bench.cli import cache as cli_cache
from fer_bench.cli import check as cli_check
from fer_bench.cli import data as cli_data
from fer_bench.cli import main as cli
from fer_bench.data.audit.describe import as_markdown, index_page
from fer_bench.data.packs import pack as pack_module
from fer_bench.data.packs.pack import open_pack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faces(tmp_path):
    root = tmp_path / "faces"
    for i in range(24):
        name = ("happy", "sad")[i % 2]
        split = "test" if i >= 16 else "train"
        (root / split / name).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (24, 24, 3)).astype(np.uint8)
        cv2.imwrite(str(root / split / name / f"{i:02d}.png"), noise)
    return root


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    for opened in pack_module._in_use.values():
        opened.close()
    pack_module._in_use.clear()


def test_every_command_has_an_example():
    groups = {
        ("data",): cli_data.data_app,
        ("data", "cache"): cli_cache.cache_app,
        ("check",): cli_check.check_app,
    }
    for prefix, group in groups.items():
        for command in group.registered_commands:
            name = command.name or command.callback.__name__
            shown = CliRunner().invoke(cli.app, [*prefix, name, "--help"])
            assert shown.exit_code == 0
            assert "Example" in shown.stdout, name


class TestVerify:
    def test_clean_is_0_warnings_are_0_errors_are_2(self, run_cli, faces):
        command = ("data", "verify", "-d", f"folder:{faces}")
        code, out, _ = run_cli(*command)
        assert (code, out.splitlines()[0]) == (0, "folder: 24 usable rows")
        assert "error:" not in out
        assert out.splitlines()[-1] == "1 checked: 0 error(s), 0 warning(s)"
        shutil.copy(faces / "train" / "happy" / "00.png", faces / "train" / "happy" / "copy.png")
        code, out, _ = run_cli(*command, "--json")
        (report,) = json.loads(out)["reports"]
        assert code == 0
        found = {f["kind"]: f for f in report["findings"] if f["severity"] == "warning"}
        assert set(found) == {"duplicate"} or set(found) == {"leak"}
        (faces / "train" / "happy" / "00.png").write_bytes(b"")
        code, out, _ = run_cli(*command)
        assert code == 2
        assert "1 file(s) cannot be decoded (4.00% of rows)" in out
        assert "--write-exclude" in out

    def test_copies_of_test_pictures_can_be_left_out(self, run_cli, faces):
        for i in (0, 2):
            shutil.copy(faces / "test" / "happy" / "16.png", faces / "train" / "happy" / f"{i:02d}.png")
        code, out, _ = run_cli(
            "data", "verify", "-d", f"folder:{faces}", "--write-exclude", "a.txt", "--with-copies"
        )
        assert code == 2
        assert "pixel by pixel the same on both sides of the split" in out
        lines = Path("a.txt").read_text().splitlines()
        assert lines == ["folder: train/happy/00.png", "folder: train/happy/02.png"]
        run_cli("data", "verify", "-d", f"folder:{faces}", "--write-exclude", "b.txt")
        assert Path("b.txt").read_text() == ""

    def test_clean_synthetic_trees_have_neither_errors_nor_copies(self, run_cli, tiny_root):
        code, out, _ = run_cli("data", "verify", "--dataset", "all", "--data-root", tiny_root, "--json")
        document = json.loads(out)
        assert code == 0
        assert {report["dataset"] for report in document["reports"]} == {"oulu", "ckplus", "rafdb"}
        kinds = {f["kind"] for report in document["reports"] for f in report["findings"]}
        assert not kinds & {"leak", "near-leak", "duplicate", "conflict", "unreadable", "outside", "group"}
        assert "mmi" in document["missing"]

    def test_a_half_copied_dataset_among_others_is_an_error_not_a_missing_one(
        self, run_cli, tiny_root, tmp_path
    ):
        root = tmp_path / "root"
        shutil.copytree(tiny_root / "oulu", root / "oulu")
        (root / "raf-db/basic/Image").mkdir(parents=True)
        shutil.copytree(tiny_root / "ckplus", root / "kdef")
        code, out, _ = run_cli("data", "verify", "--dataset", "all", "--data-root", root)
        assert code == 2
        assert "oulu (synthetic):" in out
        (told,) = [line for line in out.split("rafdb: 0 usable rows")[1].splitlines() if "error:" in line][:1]
        assert f"{root / 'raf-db'}: RAF-DB was not found here" in told
        assert "instead" not in told
        assert f"{root / 'kdef'}: KDEF was not found here in its official layout." in out
        assert "It looks like ckplus" in out.partition("KDEF was not found")[2]
        assert "jaffe: missing, not found below the data root" in out
        assert "folder: missing" not in out
        assert out.splitlines()[-1].startswith("3 checked: 2 error(s), ")

    def test_a_root_without_any_dataset_is_no_success(self, run_cli, tmp_path):
        command = ("data", "verify", "--dataset", "all", "--data-root", tmp_path)
        code, out, err = run_cli(*command)
        assert (code, out) == (2, "")
        assert "no dataset was found here" in err
        assert "fer-bench data describe NAME" in err
        code, out, _ = run_cli(*command, "--json")
        assert (code, json.loads(out)["file"]) == (2, str(tmp_path))

    def test_fresh_looks_again(self, run_cli, faces):
        command = ("data", "verify", "-d", f"folder:{faces}", "--json")
        run_cli(*command)
        kinds = [f["kind"] for f in json.loads(run_cli(*command)[1])["reports"][0]["findings"]]
        assert "resumed" in kinds
        kinds = [f["kind"] for f in json.loads(run_cli(*command, "--fresh")[1])["reports"][0]["findings"]]
        assert "resumed" not in kinds

    def test_a_name_that_is_not_utf8_is_one_message(self, run_cli, faces):
        odd = os.fsencode(faces / "train" / "happy") + b"/caf\xe9.png"
        try:
            shutil.copy(os.fsencode(faces / "train" / "happy" / "00.png"), odd)
        except OSError:
            pytest.skip("this file system takes no such name")
        code, out, err = run_cli("data", "verify", "-d", f"folder:{faces}")
        assert code == 2
        assert "not valid UTF-8" in out
        code, out, err = run_cli("data", "verify", "-d", f"folder:{faces}", "--json")
        assert code == 2
        assert "not valid UTF-8" in json.loads(out)["reports"][0]["findings"][0]["message"]
        assert "Traceback" not in err


class TestSynth:
    def test_the_pace_is_told_once_and_what_is_there_is_kept(self, run_cli, tmp_path):
        command = (
            "data",
            "synth",
            "--dataset",
            "expw",
            "--size",
            "tiny",
            "--out",
            tmp_path / "a",
            "--jobs",
            "1",
        )
        code, out, err = run_cli(*command)
        assert code == 0
        told, wrote = out.splitlines()
        assert re.fullmatch(r"drew \d+ faces in \d+ s, \d+ faces per second and core", told)
        assert wrote.startswith("wrote ")
        assert re.search(r"drawing expw: \d+ pictures", err)
        assert (tmp_path / "a/expw/synthetic-truth.parquet").is_file()
        code, out, err = run_cli(*command)
        assert (code, err) == (0, "")
        assert out.splitlines() == [wrote]

    def test_what_was_stopped_goes_on(self, run_cli, tmp_path, monkeypatch):
        from fer_bench.synthetic.layouts import writing as frame

        def stop(*_):
            raise KeyboardInterrupt

        command = ("data", "synth", "-d", "fer2013", "--size", "tiny", "--out", tmp_path / "a", "--jobs", "1")
        monkeypatch.setattr(frame, "write_truth", stop)
        code, _, err = run_cli(*command)
        assert code
        assert "the same command goes on" in err
        monkeypatch.undo()
        code, out, err = run_cli(*command)
        assert code == 0
        assert "fer2013: going on where an earlier writer stopped" in err
        assert out.startswith("wrote ")  # nothing had to be drawn


class TestSplit:
    def test_the_file_has_the_hash_that_is_said(self, run_cli, tiny_root):
        command = ("data", "split", "-d", "rafdb", "--data-root", tiny_root)
        code, out, err = run_cli(*command, "--out", "split.csv")
        mark = hashlib.sha256(Path("split.csv").read_bytes()).hexdigest()[:16]
        assert (code, out) == (0, "")
        assert f"hash {mark}" in err
        rows = list(csv.DictReader(Path("split.csv").read_text().splitlines()))
        assert {row["role"] for row in rows} == {"train", "val", "test"}
        assert run_cli(*command)[1] == Path("split.csv").read_text()
        document = json.loads(run_cli(*command, "--json")[1])
        assert document["hash"] == mark
        assert len(document["rows"]) == len(rows) == sum(document["counts"].values())
        described = json.loads(run_cli("data", "describe", "rafdb", "--json")[1])
        assert document["protocol_hash"] == described["protocol_hashes"][document["protocol"]]
        assert document["protocol_hash"] in run_cli("data", "describe", "rafdb")[1]

    def test_folds_differ_and_an_unknown_one_is_refused(self, run_cli, tiny_root):
        command = ("data", "split", "-d", "oulu", "--protocol", "6-4fold", "--data-root", tiny_root)
        hashes = {json.loads(run_cli(*command, "--fold", i, "--json")[1])["hash"] for i in (1, 2, 3, 4)}
        assert len(hashes) == 4
        code, _, err = run_cli(*command, "--fold", 5)
        assert code == 2
        assert "no such fold" in err


class TestCache:
    def test_list_and_prune(self, run_cli, faces, own_cache):
        from fer_bench.datasets.folder import Folder

        assert run_cli("data", "cache", "list")[1].startswith("0 in ")
        open_pack(Folder(faces), 24)
        run_cli("data", "verify", "-d", f"folder:{faces}")
        listed = json.loads(run_cli("data", "cache", "list", "--json")[1])
        assert [(e["kind"], e["dataset"], e["state"]) for e in listed["entries"]] == [
            ("pack", "folder", "current"),
            ("check", "folder", "current"),
        ]
        out = run_cli("data", "cache", "list")[1]
        assert "detect and align by MTCNN +20% 24px v2" in out
        assert "in use" in out
        assert run_cli("data", "cache", "prune")[0] == 2
        assert json.loads(run_cli("data", "cache", "prune", "--stale", "--json")[1])["removed"] == []
        assert json.loads(run_cli("data", "cache", "prune", "-d", "oulu", "--json")[1])["removed"] == []
        assert json.loads(run_cli("data", "cache", "prune", "--older-than", 1, "--json")[1])["removed"] == []
        document = json.loads(run_cli("data", "cache", "prune", "--all", "--dry-run", "--json")[1])
        assert [len(document[name]) for name in ("removed", "in_use")] == [1, 1]
        assert len(json.loads(run_cli("data", "cache", "list", "--json")[1])["entries"]) == 2
        out = run_cli("data", "cache", "prune", "--all")[1]
        assert "removed 1" in out
        assert "kept, in use" in out
        assert [e["kind"] for e in json.loads(run_cli("data", "cache", "list", "--json")[1])["entries"]] == [
            "pack"
        ]

    def test_check(self, run_cli, faces, own_cache):
        from fer_bench.datasets.folder import Folder

        assert run_cli("data", "cache", "list", "--check")[0] == 0
        open_pack(Folder(faces), 24)
        code, out, _ = run_cli("data", "cache", "list", "--check")
        assert code == 0
        assert "damaged" not in out
        (file,) = (own_cache / "packs").glob("*/pixels.npy")
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        assert run_cli("data", "cache", "list")[0] == 0, "without the option no pixel is read"
        code, out, _ = run_cli("data", "cache", "list", "--check", "-d", "folder")
        assert code == 2
        assert "(its pixels are not those that were packed)" in out
        assert f"1 damaged; delete them, they are built again when needed:\n  {file.parent}\n" in out
        assert run_cli("data", "cache", "list", "--check", "-d", "oulu")[0] == 0
        code, out, _ = run_cli("data", "cache", "list", "--check", "--json")
        (entry,) = json.loads(out)["entries"]
        assert (code, entry["state"], entry["path"]) == (2, "damaged", str(file.parent))


class TestCheck:
    def test_a_built_in_dataset(self, run_cli, tiny_root):
        code, out, _ = run_cli("check", "dataset", "rafdb", "--data-root", tiny_root)
        assert code == 0
        assert all(line.startswith("ok ") for line in out.splitlines())

    def test_an_absent_one(self, run_cli, tiny_root):
        code, out, _ = run_cli("check", "dataset", "expw", "--data-root", tiny_root)
        assert code == 2
        assert out.startswith("BROKEN opens")
        assert run_cli("check", "dataset", "nothing")[0] == 2


class TestDocs:
    def test_the_committed_pages_are_those_of_the_cards(self):
        folder = ROOT / "docs" / "datasets"
        cards = [datasets.get(name).card for name in datasets.BUILT_IN]
        expected = {f"{card.name}.md": as_markdown(card) for card in cards}
        expected["README.md"] = index_page(cards)
        found = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
        assert set(found) == set(expected)
        stale = sorted(name for name in expected if found[name] != expected[name])
        assert not stale, "fer-bench data docs writes them anew"

    def test_they_are_written_where_wanted(self, run_cli):
        assert run_cli("data", "docs", "--out", "pages")[0] == 0
        assert len(list(Path("pages").iterdir())) == len(datasets.BUILT_IN) + 1

    def test_nothing_breaks_a_table_or_hides_as_html(self):
        for name in datasets.BUILT_IN:
            for line in as_markdown(datasets.get(name).card).splitlines():
                prose = "".join(line.split("`")[::2])
                assert "<" not in prose, line
                if line.startswith("| "):
                    cells = line.replace("\\|", "").count("|")
                    assert cells in (4, 6, 7), line


def test_a_read_only_root_is_enough(run_cli, tiny_root, tmp_path, own_cache):
    """Everything derived goes to the cache: a dataset mounted read-only can be packed and checked."""
    root = tmp_path / "mounted"
    shutil.copytree(tiny_root / "rafdb", root / "rafdb")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert run_cli("data", "verify", "-d", "rafdb", "--data-root", root)[0] == 0
        open_pack(datasets.get("rafdb")(root), 24)
        assert (
            run_cli("data", "split", "-d", "rafdb", "--data-root", root, "--out", tmp_path / "s.csv")[0] == 0
        )
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert len(list((own_cache / "packs").iterdir())) == 1
