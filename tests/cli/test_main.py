import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fer_bench
from fer_bench import distribution
from fer_bench.cli import main as cli

SMALL = [
    "--profile",
    "quick",
    "--max-epochs",
    "2",
    "--set",
    "method.width=0.03",
    "--set",
    "train.batch_size=16",
]


class TestHelp:
    def test_answers_without_torch(self):
        code = (
            "import sys; sys.argv = ['fer-bench', '--help']\n"
            "from fer_bench.cli.main import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            "print('torch' in sys.modules, 'pandas' in sys.modules)"
        )
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took = time.perf_counter() - started
        assert done.stdout.rstrip().endswith("False False")
        assert took < 5  # the acceptance limit is 0.5 s on an idle machine

    def test_every_command_has_an_example(self):
        runner = CliRunner()
        groups = {(): cli.app, ("data",): cli.data.data_app}
        for prefix, group in groups.items():
            for command in group.registered_commands:
                name = command.name or command.callback.__name__
                shown = runner.invoke(cli.app, [*prefix, name, "--help"])
                assert shown.exit_code == 0
                assert "Example" in shown.stdout, name
                assert "fer-bench" in shown.stdout, name

    def test_version(self, run_cli):
        said = run_cli("--version")[1].strip()
        assert said == f"{fer_bench.__version__} (commit {distribution.commit()})"


class TestLists:
    def test_methods_datasets_profiles(self, run_cli):
        assert {row["name"] for row in json.loads(run_cli("list", "methods", "--json")[1])} >= {
            "gcn",
            "resemotenet",
        }
        assert len(json.loads(run_cli("list", "datasets", "--json")[1])) >= 9
        assert "quick" in run_cli("list", "profiles")[1]

    def test_a_list_with_a_slip_is_suggested(self, run_cli):
        code, _, err = run_cli("list", "metods")
        assert code == 2
        assert "did you mean methods or models?" in err

    def test_describe_and_stats(self, run_cli, tiny_root):
        assert "Folder tree" in run_cli("data", "describe", "oulu")[1]
        table = json.loads(run_cli("data", "stats", "-d", "rafdb", "--data-root", tiny_root, "--json")[1])
        assert table["rafdb"]["train"]["rows"] > table["rafdb"]["val"]["rows"] > 0

    def test_plots_and_sheets_say_which_generator_drew_the_faces(
        self, run_cli, tiny_root, tmp_path, monkeypatch
    ):
        from fer_bench.data.audit import figures
        from fer_bench.synthetic import GENERATOR_VERSION

        titles = []
        for name in ("draw_stats", "draw_sheet"):
            monkeypatch.setattr(figures, name, lambda *given, title, **more: titles.append(title))
        for name, option in (("stats", "--plots"), ("sheet", "--out")):
            given = ("-d", "rafdb", "--data-root", tiny_root, option, tmp_path / "figures")
            code, _, err = run_cli("data", name, *given)
            assert code == 0, err
        assert len(titles) == 2
        assert all("SYNTHETIC" in t and f"generator version {GENERATOR_VERSION}" in t for t in titles)

    @pytest.mark.parametrize("command", [("stats",), ("sheet", "--out", "sheets")])
    def test_a_root_without_any_dataset_is_an_error(self, run_cli, tmp_path, command):
        code, out, err = run_cli("data", *command, "--data-root", tmp_path)
        assert code == 2
        assert out == ""
        assert "no dataset was found here" in err


class TestRun:
    def test_json_is_one_document_and_nothing_else(self, run_cli, tiny_root):
        code, out, err = run_cli(
            "run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *SMALL, "--json"
        )
        record = json.loads(out)
        assert code == 0
        assert err == ""
        assert record["status"] == "done"
        assert record["data_kind"] == "synthetic"
        assert {s["target"] for s in record["scores"]} == {"oulu", "ckplus", "rafdb"}
        assert set(record["missing"]) == {"mmi", "affectnet7", "expw", "affwild2"}
        score = record["scores"][0]
        wanted = {
            "target",
            "selection",
            "label_set",
            "n",
            "kept_share",
        }
        assert wanted <= set(score)
        assert {"accuracy", "uar", "macro_f1", "transfer"} <= set(score["metrics"])

    def test_second_call_repeats_nothing(self, run_cli, tiny_root, tmp_path):
        command = (
            "run",
            "-m",
            "resemotenet",
            "-d",
            "oulu",
            "--data-root",
            tiny_root,
            *SMALL,
            "--targets",
            "none",
        )
        assert run_cli(*command)[0] == 0
        stamp = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.parquet")}
        code, out, err = run_cli(*command)
        assert code == 0
        assert "finished already" in err
        assert "done" in out
        assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.parquet")} == stamp

    def test_all_folds_are_listed(self, run_cli, tiny_root):
        code, out, _ = run_cli(
            *("run", "-m", "resemotenet", "-d", "oulu", "--data-root", tiny_root, *SMALL),
            *("--targets", "none", "--fold", "all", "--json", "--max-epochs", "1"),
        )
        assert code == 0
        assert [r["fold"] for r in json.loads(out)["runs"]] == [1, 2, 3, 4]

    def test_a_failed_run_exits_with_one(self, run_cli, tiny_root):
        code, out, err = run_cli(
            *(
                "run",
                "-m",
                "resemotenet",
                "-d",
                "oulu",
                "--data-root",
                tiny_root,
                *SMALL,
                "--targets",
                "none",
            ),
            *("--set", "method.recipe=repo", "--set", "method.lr=1e30"),
        )
        assert code == 1
        assert "diverged" in out
        assert "NaN or infinite" in err
        assert "log.txt" in err

    @pytest.mark.parametrize("fault", ["truncated", "missing"])
    def test_leave_out_a_broken_or_absent_picture_by_name(self, run_cli, tiny_root, tmp_path, fault):
        root = tmp_path / "root"
        shutil.copytree(tiny_root / "rafdb", root / "rafdb")
        victim = sorted(root.rglob("train_*_aligned.jpg"))[0]
        if fault == "truncated":
            victim.write_bytes(victim.read_bytes()[:200])
        else:
            victim.unlink()
        command = (
            "run",
            "-m",
            "resemotenet",
            "-d",
            "rafdb",
            "--data-root",
            root,
            *SMALL,
            "--targets",
            "none",
        )
        code, _, err = run_cli(*command)
        assert code == 2
        assert victim.name in err
        assert fault in err
        assert "--write-exclude" in err
        code, _, _ = run_cli(
            "data", "verify", "-d", "rafdb", "--data-root", root, "--write-exclude", "bad.txt"
        )
        assert code == 2
        assert victim.name in Path("bad.txt").read_text()
        code, out, _ = run_cli(*command, "--exclude", "bad.txt", "--json")
        assert code == 0
        assert any("left out by name" in w for w in json.loads(out)["warnings"])

    @pytest.mark.long
    def test_sigkill_and_again(self, run_cli, tiny_root, tmp_path):
        command = ["run", "-m", "gcn", "-d", "oulu", "--data-root", str(tiny_root), "--profile", "quick"]
        command += ["--max-epochs", "60", "--targets", "none", "--set", "method.lr=1e-3"]
        process = subprocess.Popen(
            [sys.executable, "-m", "fer_bench.cli.main", *command],
            cwd=tmp_path,
            env=os.environ,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not list(tmp_path.rglob("metrics.csv")):
                time.sleep(0.2)
            assert list(tmp_path.rglob("metrics.csv"))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        (record,) = tmp_path.rglob("record.json")
        assert json.loads(record.read_text())["status"] == "running"
        assert not list(tmp_path.rglob("*.parquet"))
        code, out, _ = run_cli(*command, "--json")
        assert code == 0
        assert json.loads(out)["status"] == "done"


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["run", "-m", "gnc", "-d", "oulu"], ["unknown method", "'gnc'", "did you mean gcn"]),
            (["run", "-m", "gcn", "-d", "olu"], ["unknown dataset", "'olu'", "did you mean oulu"]),
            (["run", "-m", "gcn", "-d", "oulu:/x"], ["only folder takes a path"]),
            (["run", "-m", "gcn", "-d", "folder:/nowhere"], ["/nowhere", "does not exist"]),
            (
                ["run", "-m", "gcn", "-d", "oulu", "--targets", "rafbd"],
                ["unknown target", "did you mean rafdb"],
            ),
            (
                ["run", "-m", "gcn", "-d", "oulu", "--set", "method.lrr=1"],
                ["unknown setting", "did you mean lr"],
            ),
            (["run", "-m", "gcn", "-d", "oulu", "--set", "method.lr=x"], ["method.lr=x"]),
            (["run", "-m", "gcn", "-d", "oulu", "--data-root", "/nowhere"], ["/nowhere", "fer-bench doctor"]),
            (
                ["run", "-m", "gcn", "-d", "fer2013", "--data-root", "."],
                ["FER2013", "fer-bench data describe"],
            ),
            (["sweep", "absent.yaml"], ["absent.yaml", "the sweep file does not exist"]),
            (["data", "describe", "okplus"], ["did you mean ckplus"]),
            (["data", "verify", "-d", "ckplsu"], ["did you mean ckplus"]),
        ],
    )
    def test_one_message_exit_two_no_traceback(self, run_cli, arguments, words):
        code, _, err = run_cli(*arguments)
        assert code == 2
        assert "Traceback" not in err
        for word in words:
            assert word in err

    def test_unknown_fold_and_protocol(self, run_cli, tiny_root):
        base = ("run", "-m", "gcn", "-d", "oulu", "--data-root", tiny_root, "--profile", "quick")
        assert "1 to 4" in run_cli(*base, "--fold", "9")[2]
        code, _, err = run_cli(*base, "--protocol", "6-4folds")
        assert code == 2
        assert "did you mean 6-4fold" in err

    def test_json_errors_are_json(self, run_cli):
        code, out, err = run_cli("run", "-m", "gnc", "-d", "oulu", "--json")
        assert code == 2
        assert json.loads(out)["value"] == "gnc"
        assert "unknown method" in err

    def test_a_malformed_label_line_is_named(self, run_cli, tiny_root, tmp_path):
        shutil.copytree(tiny_root / "rafdb", tmp_path / "root" / "rafdb")
        (labels,) = (tmp_path / "root").rglob("list_patition_label.txt")
        lines = labels.read_text().splitlines()
        lines[4] = lines[4].split()[0] + " 9"
        labels.write_text("\n".join(lines))
        code, _, err = run_cli("run", "-m", "gcn", "-d", "rafdb", "--data-root", tmp_path / "root")
        assert code == 2
        assert f"{labels}, line 5" in err
        assert "9" in err

    def test_an_empty_class_folder(self, run_cli, tmp_path):
        (tmp_path / "mine" / "happy").mkdir(parents=True)
        code, _, err = run_cli("run", "-m", "gcn", "-d", f"folder:{tmp_path / 'mine'}")
        assert code == 2
        assert "happy" in err


class TestSweep:
    FILE = """
    profile: quick
    methods: [resemotenet]
    datasets: [oulu, rafdb, mmi]
    targets: [rafdb, affwild2]
    seeds: [0, 1]
    set: [method.width=0.03, train.batch_size=16, train.max_epochs=1]
    """

    @pytest.mark.long
    def test_runs_what_is_there_and_repeats_nothing(self, run_cli, tiny_root, tmp_path):
        (tmp_path / "s.yaml").write_text(self.FILE)
        code, out, err = run_cli("sweep", "s.yaml", "--data-root", tiny_root, "--dry-run")
        assert (code, out.count("to do")) == (0, 4)
        assert "missing: mmi" in err
        assert [line.rsplit("seed ", 1)[1] for line in out.splitlines()] == ["0)", "0)", "1)", "1)"]
        code, out, err = run_cli("sweep", "s.yaml", "--data-root", tiny_root)
        assert code == 0
        assert "4 of 4 runs are done" in out
        assert err.count("] done") == 4
        code, out, _ = run_cli("sweep", "s.yaml", "--data-root", tiny_root, "--dry-run")
        assert out.count("done") == 4
        code, out, err = run_cli("sweep", "s.yaml", "--data-root", tiny_root)
        assert "4 of 4 run(s) are finished already" in err
        code, out, _ = run_cli("leaderboard")
        assert code == 0
        page = (tmp_path / "leaderboard" / "README.md").read_text()
        assert "SYNTHETIC" in page
        assert "resemotenet" in page
        assert "leaderboard/index.html" in out
        assert "resemotenet" in (tmp_path / "leaderboard" / "index.html").read_text(encoding="utf-8")

    def test_one_failure_does_not_stop_the_rest(self, run_cli, tiny_root, tmp_path):
        (tmp_path / "s.yaml").write_text(
            "profile: quick\nmethods: [resemotenet]\ndatasets: [oulu]\ntargets: none\n"
            "set: [method.width=0.03, method.recipe=repo, method.lr=1e30, train.max_epochs=1]\n"
        )
        code, out, err = run_cli("sweep", "s.yaml", "--data-root", tiny_root)
        assert code == 1
        assert "0 of 1 runs are done" in out
        assert "diverged" in err
        run_cli("leaderboard")
        assert "diverged" in (tmp_path / "leaderboard" / "README.md").read_text()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("methods: [gnc]", ["gnc", "did you mean gcn"]),
            ("datasets: [rafbd]", ["rafbd", "did you mean rafdb"]),
            ("method: [gcn]", ["did you mean methods"]),
            ("profile: huge", ["profile"]),
            ("- a", ["mapping"]),
            ("a: [", ["cannot be read"]),
        ],
    )
    def test_bad_files_are_named(self, run_cli, tmp_path, text, words):
        (tmp_path / "s.yaml").write_text(text)
        code, _, err = run_cli("sweep", "s.yaml")
        assert code == 2
        assert "s.yaml" in err
        for word in words:
            assert word in err
